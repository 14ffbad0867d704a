package e2e

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestWrongToken makes Kubo use a token that is not valid.
func TestWrongToken(t *testing.T) {
	t.Parallel()
	kubo := sharedSource(t)
	s := serve(t, newData(t))
	ctx := within(t, 60*patience)
	good := login(t, s).Token
	middle := len(good) / 2
	other := byte('A')
	if good[middle] == other {
		other = 'B'
	}
	for name, token := range map[string]string{
		"wrong-word":     "letmein",
		"wrong-altered":  good[:middle] + string(other) + good[middle+1:],
		"wrong-unsigned": good[:strings.LastIndexByte(good, '.')+1],
	} {
		must(kubo.Run(ctx, nil, "pin", "remote", "service", "add", name, s.Endpoint(), token))(t)
		_, err := kubo.Run(ctx, nil, "pin", "remote", "ls", "--service="+name)
		if err == nil || !strings.Contains(err.Error(), "UNAUTHORIZED") {
			t.Errorf("%s: remote ls gives %v, want UNAUTHORIZED", name, err)
		}
		_, err = rig.NewClient(s.HTTP, token).List(ctx, nil)
		if e := wantStatus(t, err, 401, "UNAUTHORIZED"); e.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	_, err := rig.NewClient(s.HTTP, "").List(ctx, nil)
	wantStatus(t, err, 401, "UNAUTHORIZED")
}

// TestWrongPassword: the client gets no token, and does not learn whether the account exists.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := serve(t, newData(t))
	ctx := within(t, 30*patience)
	_, err := rig.Login(ctx, s.HTTP, email, "wrong")
	known := wantLoginFailure(t, err)
	_, err = rig.Login(ctx, s.HTTP, "nobody@example.org", "wrong")
	if unknown := wantLoginFailure(t, err); unknown != known {
		t.Errorf("a wrong password says %q and an unknown account %q", known, unknown)
	}
}

func wantLoginFailure(t *testing.T, err error) string {
	t.Helper()
	e := asStatus(t, err)
	if e.Code != 401 || e.Reason == "" {
		t.Errorf("got %v, want status 401 with a reason", e)
	}
	return e.Error()
}

// TestRevokedToken revokes a device token while the server runs: the next
// request with it is refused, and other tokens still work.
func TestRevokedToken(t *testing.T) {
	t.Parallel()
	kubo := sharedSource(t)
	d := newData(t)
	s := serve(t, d)
	ctx := within(t, 60*patience)
	laptop := must(d.AddToken(ctx, email, "laptop"))(t)
	desktop := must(d.AddToken(ctx, email, "desktop"))(t)
	must(kubo.Run(ctx, nil, "pin", "remote", "service", "add", "revoked", s.Endpoint(), laptop))(t)
	must(kubo.Run(ctx, nil, "pin", "remote", "ls", "--service=revoked"))(t)

	var tokens []struct{ ID, Name string }
	check(t, json.Unmarshal([]byte(must(d.Run(ctx, nil, "token", "ls", email, "--json"))(t)), &tokens))
	id := ""
	for _, token := range tokens {
		if token.Name == "laptop" {
			id = token.ID
		}
	}
	if id == "" {
		t.Fatalf("token ls does not list the laptop's: %+v", tokens)
	}
	must(d.Run(ctx, nil, "token", "revoke", id))(t)

	_, err := rig.NewClient(s.HTTP, laptop).List(ctx, nil)
	wantStatus(t, err, 401, "UNAUTHORIZED")
	if _, err := kubo.Run(ctx, nil, "pin", "remote", "ls", "--service=revoked"); err == nil || !strings.Contains(err.Error(), "UNAUTHORIZED") {
		t.Errorf("remote ls with a revoked token gives %v, want UNAUTHORIZED", err)
	}
	must(rig.NewClient(s.HTTP, desktop).List(ctx, nil))(t)
	must(login(t, s).List(ctx, nil))(t)
}

// TestAnotherAccountsRequest: a request of another account looks as if it did not exist.
func TestAnotherAccountsRequest(t *testing.T) {
	t.Parallel()
	d := newData(t)
	s := serve(t, d)
	ctx := within(t, 60*patience)
	const stranger = "barnacle@example.org"
	check(t, d.AddUser(ctx, stranger, password)) // while the server runs
	other := rig.NewClient(s.HTTP, must(rig.Login(ctx, s.HTTP, stranger, password))(t))
	mine := login(t, s)

	p := rig.Pin{CID: rig.IdentityCID([]byte("mine")), Name: "mine"}
	made := must(mine.Add(ctx, p))(t)
	_, err := other.Get(ctx, made.RequestID)
	wantStatus(t, err, 404, "NOT_FOUND")
	_, err = other.Replace(ctx, made.RequestID, p)
	wantStatus(t, err, 404, "NOT_FOUND")
	wantStatus(t, other.Remove(ctx, made.RequestID), 404, "NOT_FOUND")
	if all := must(other.All(ctx))(t); len(all) != 0 {
		t.Errorf("the other account lists %+v", all)
	}
	if got := must(mine.Get(ctx, made.RequestID))(t); got.Pin.Name != "mine" {
		t.Errorf("the request is now %+v", got)
	}
}

// TestQuota pins more than an account may hold, and then as much as it may hold.
func TestQuota(t *testing.T) {
	t.Parallel()
	kubo := sharedSource(t)
	d := allowPrivate(newData(t))
	s := serve(t, d)
	ctx := within(t, 120*patience)
	c := login(t, s)
	must(d.Run(ctx, nil, "user", "quota", email, "1MiB"))(t)
	large := must(kubo.AddFile(ctx, rig.Random(71, 8<<20), 256<<10))(t)
	small := must(kubo.AddFile(ctx, rig.Random(72, 1<<20-64<<10), 256<<10))(t)
	ps := must(c.Add(ctx, rig.Pin{CID: large, Origins: kubo.Addrs}))(t)
	ps = must(c.WaitStatus(ctx, ps.RequestID, "failed", 100*time.Millisecond))(t)
	if got := ps.Info["status_details"]; !strings.Contains(got, "quota") {
		t.Errorf("status_details is %q, want the quota", got)
	}
	pinned(t, c, rig.Pin{CID: small, Origins: kubo.Addrs}, 60*patience)
	must(d.Run(ctx, nil, "user", "quota", email, "512KiB"))(t)
	_, err := c.Add(ctx, rig.Pin{CID: large})
	wantStatus(t, err, 409, "INSUFFICIENT_FUNDS")
}

// TestQuotaOfPins asks for many pins at the same time, and again after a kill. The account may
// have five.
func TestQuotaOfPins(t *testing.T) {
	t.Parallel()
	const most, callers = 5, 40
	d := newData(t)
	s := serve(t, d)
	ctx := within(t, 120*patience)
	c := login(t, s)
	must(d.Run(ctx, nil, "user", "quota", email, "--max-pins", strconv.Itoa(most)))(t)
	var answers [callers]rig.PinStatus
	var errs [callers]error
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { answers[i], errs[i] = c.Add(ctx, rig.Pin{CID: nobodyHas(8000 + uint64(i))}) })
	}
	wg.Wait()
	var made []rig.PinStatus
	for i, err := range errs {
		if err == nil {
			made = append(made, answers[i])
			continue
		}
		e := wantStatus(t, err, 409, "INSUFFICIENT_FUNDS")
		if !strings.Contains(e.Details, "quota of pins is reached: it has 5 of 5") {
			t.Errorf("details %q", e.Details)
		}
	}
	if len(made) != most {
		t.Fatalf("%d pins were taken, want %d", len(made), most)
	}
	s.Kill()
	s = serve(t, d)
	c.Base = s.HTTP
	var me struct {
		Account struct {
			MaxPins int `json:"max_pins"`
		}
		Usage struct{ Pins int }
	}
	var raw json.RawMessage
	check(t, c.Do(ctx, "GET", "/api/auth/me", nil, 200, &raw))
	check(t, json.Unmarshal(raw, &me))
	if me.Account.MaxPins != most || me.Usage.Pins != most {
		t.Errorf("me is %s, want %d of %d pins", raw, most, most)
	}
	_, err := c.Add(ctx, rig.Pin{CID: nobodyHas(8100)})
	wantStatus(t, err, 409, "INSUFFICIENT_FUNDS")
	// One is removed and another takes its place.
	must(c.Replace(ctx, made[0].RequestID, rig.Pin{CID: nobodyHas(8101)}))(t)
	check(t, c.Remove(ctx, made[1].RequestID))
	must(c.Add(ctx, rig.Pin{CID: nobodyHas(8102)}))(t)
	_, err = c.Add(ctx, rig.Pin{CID: nobodyHas(8103)})
	wantStatus(t, err, 409, "INSUFFICIENT_FUNDS")
}
