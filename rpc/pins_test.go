package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// becomes makes requests what they are to be, at the first look.
func becomes(status pin.Status, details string) func(*pin.View) {
	return func(v *pin.View) { v.Status, v.Details, v.Totals = status, details, pin.Totals{Blocks: 3, Bytes: 300} }
}

// requests are an account's, as "NAME STATUS".
func (w *world) requests(account string) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.pins[account] {
		all = append(all, r.Name+" "+string(r.Status))
	}
	return all
}

func TestPinAdd(t *testing.T) {
	w := newWorld(t)
	leaf := w.add(merkledag.NewRawNode([]byte("leaf")))
	root := w.dir(entry{"f", leaf})
	w.onGet = becomes(pin.Pinned, "")
	old := cid.NewCidV0(root.Cid().Hash())
	if got := string(w.good("alice", "pin/add", arg(old)+"&name=one")); got != fmt.Sprintf("{\"Pins\":[%q]}\n", old) {
		t.Errorf("pin/add answers %s", got)
	}
	if r := w.pins["alice"][0]; r.Root != old || r.CID != old.String() {
		t.Errorf("the request is for %s", r.CID)
	}
	// What is pinned is not pinned twice; it may get another name.
	w.good("alice", "pin/add", arg(root.Cid())+"&recursive=true")
	w.good("alice", "pin/add", arg(root.Cid())+"&name=one")
	if got := w.requests("alice"); !slices.Equal(got, []string{"one pinned"}) {
		t.Errorf("the account has %q", got)
	}
	w.good("alice", "pin/add", arg(root.Cid())+"&name=two")
	if got := w.requests("alice"); !slices.Equal(got, []string{"two pinned"}) {
		t.Errorf("with another name the account has %q", got)
	}
	// A path is followed in what is the account's own.
	path := arg("/ipfs/" + root.Cid().String() + "/f")
	w.refused("bob", "pin/add", path, http.StatusBadRequest, "could not find")
	a := w.ask("alice", "pin/add", path+"&"+arg(root.Cid())+"&progress=true&cid-base=base58btc")
	var last addedPins
	for dec := json.NewDecoder(bytes.NewReader(a.body)); dec.More(); {
		last = addedPins{}
		if err := dec.Decode(&last); err != nil {
			t.Fatal(err)
		}
		if len(last.Pins) == 0 && (last.Progress != 6 && last.Progress != 3 || last.Bytes != 100*last.Progress) {
			t.Errorf("the progress is %+v", last)
		}
	}
	if len(last.Pins) != 2 || !strings.HasPrefix(last.Pins[0], "z") || a.header.Get(headerChunked) != "1" {
		t.Errorf("with progress it answers %s, %v", a.body, a.header)
	}
	if got := w.requests("alice"); len(got) != 2 {
		t.Errorf("the account has %q", got)
	}
}

func TestPinAddFails(t *testing.T) {
	w := newWorld(t)
	root := w.dir()
	a := arg(root.Cid())
	w.onGet = becomes(pin.Failed, "nobody has it")
	w.refused("alice", "pin/add", a+"&name=x", http.StatusBadRequest, "nobody has it")
	// The next try has the place of the one that failed.
	w.onGet = becomes(pin.Pinned, "")
	w.good("alice", "pin/add", a)
	if got := w.requests("alice"); !slices.Equal(got, []string{"x pinned"}) {
		t.Errorf("the account has %q", got)
	}
	// Behind the first byte an error is told, too.
	looks := 0
	w.onGet = func(v *pin.View) {
		if looks++; looks < 10 { // of which the ninth comes after tellProgress
			v.Info = map[string]string{"blocks": "17", "bytes": "1234"}
			return
		}
		v.Status, v.Details = pin.Failed, "nobody has it"
	}
	answer := w.ask("bob", "pin/add", a+"&progress=true")
	if string(answer.body) != "{\"Progress\":17,\"Bytes\":1234}\n" || answer.trailer.Get(headerStreamError) != "pin: nobody has it" {
		t.Errorf("it answers %s, and behind that %v", answer.body, answer.trailer)
	}
	w.onGet = nil // it stays queued
	w.refused("carol", "pin/add", a+"&timeout=50ms", http.StatusBadRequest, "deadline exceeded")
	if got := w.requests("carol"); !slices.Equal(got, []string{" queued"}) {
		t.Errorf("a client that waits no longer leaves %q", got)
	}
	w.stopping.Store(true)
	w.refused("carol", "pin/add", a, http.StatusServiceUnavailable, "shutting down")
	w.stopping.Store(false)
	for _, tt := range []struct {
		err    error
		status int
		part   string
	}{
		{pin.ErrDenied, http.StatusUnavailableForLegalReasons, "denylist"},
		{&pin.QuotaError{Pins: true, Used: 3, Limit: 3}, http.StatusConflict, "quota of pins"},
		{pin.ErrDiskFull, http.StatusInsufficientStorage, "too full"},
		{pin.ErrTooFast, http.StatusTooManyRequests, "slow down"},
		{errors.Join(pin.ErrUnwritable, pin.ErrDamaged), http.StatusServiceUnavailable, "holdfast store verify"},
		{pin.ErrInDoubt, http.StatusInternalServerError, "look before you ask again"},
	} {
		w.refuse = tt.err
		w.refused("dora", "pin/add", a, tt.status, tt.part)
	}
	w.refuse = nil
	md5, err := multihash.Sum([]byte("x"), multihash.MD5, -1)
	if err != nil {
		t.Fatal(err)
	}
	for query, part := range map[string]string{
		a + "&recursive=false":                     "all that is below its CID",
		a + "&max-depth=1":                         "not supported by pin/add",
		a + "&fast-provide-wait=true":              "not supported by pin/add",
		a + "&name=" + strings.Repeat("x", 256):    "max 255",
		a + "&name=%ff":                            "UTF-8",
		arg(cid.NewCidV1(0x99, root.Cid().Hash())): "codec",
		arg(cid.NewCidV1(cid.Raw, md5)):            "hash",
		arg("/ipns/example.org"):                   "names are not resolved",
	} {
		w.refused("dora", "pin/add", query, http.StatusBadRequest, part)
	}
	if got := w.requests("dora"); len(got) != 0 {
		t.Errorf("what was refused left %q", got)
	}
}

// A request that is to be replaced may be gone by then: another call removed or replaced it.
func TestPinAddBesideAnother(t *testing.T) {
	local := newLocalWorld(t)
	for who, w := range map[string]*world{"alice": newWorld(t), me: local.world} {
		w.onGet = becomes(pin.Pinned, "")
		root := w.dir().Cid()
		for _, status := range []pin.Status{pin.Pinned, pin.Failed} {
			if who == me && status == pin.Failed { // which is told, and not replaced
				continue
			}
			for did, another := range map[string]func(id string) error{
				"removed": func(id string) error { return w.Remove(t.Context(), who, id) },
				"replaced": func(id string) error {
					_, err := w.Replace(t.Context(), who, id, pin.Spec{CID: root.String(), Root: root, Name: "theirs"})
					return err
				},
			} {
				w.pins[who] = nil
				w.pin(who, root, status)
				id := w.pins[who][0].ID
				w.onReplace = func() {
					if err := another(id); err != nil {
						t.Error(err)
					}
				}
				w.good(who, "pin/add", arg(root)+"&name=ours")
				if got := w.requests(who); !slices.Equal(got, []string{"ours pinned"}) {
					t.Errorf("%s, whose %s request was %s, has %q", who, status, did, got)
				}
			}
		}
	}
}

// A call that waits for a request goes on with the one that another call puts in its place.
func TestWaitingForWhatIsReplaced(t *testing.T) {
	for _, command := range []string{"pin/add", "add", "local pin/add", "local add"} {
		who, w := "alice", newWorld(t)
		var l *localWorld
		name, local := strings.CutPrefix(command, "local ")
		if local {
			l = newLocalWorld(t)
			who, w = me, l.world
		}
		c := w.rootOf("x")
		answered := make(chan answer, 1)
		go func() {
			if name == "add" {
				answered <- w.sendParts(who, "add", "pin-name=ours", part{name: "f", kind: aFile, content: "x"})
				return
			}
			answered <- w.ask(who, "pin/add", arg(c)+"&name=ours")
		}()
		await(t, func() bool { return len(w.requests(who)) == 1 })
		w.mu.Lock()
		id := w.pins[who][0].ID
		w.mu.Unlock()
		if _, err := w.Replace(t.Context(), who, id, pin.Spec{CID: c.String(), Root: c, Name: "theirs"}); err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.onGet = becomes(pin.Pinned, "")
		w.mu.Unlock()
		if l != nil {
			l.change <- pin.Change{}
		}
		if a := <-answered; a.status != http.StatusOK || !strings.Contains(string(a.body), c.String()) {
			t.Errorf("%s is answered %d %s", command, a.status, a.body)
		}
		if got := w.requests(who); !slices.Equal(got, []string{"theirs pinned"}) {
			t.Errorf("after %s the account has %q", command, got)
		}
	}
}

// Calls for the same DAG at the same time make one request.
func TestPinAddTwiceAtOnce(t *testing.T) {
	w := newWorld(t)
	w.pinAll()
	root := w.dir().Cid()
	synctest.Test(t, func(t *testing.T) {
		w.onAdd = func() { time.Sleep(time.Second) }
		e := echo.New()
		if err := Register(e.Group("/api/v0"), w.config()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for _, c := range []cid.Cid{root, root, cid.NewCidV0(root.Hash())} {
			all.Go(func() {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v0/pin/add?"+arg(c), nil)
				r.Header.Set("Authorization", "Bearer alice")
				rec := httptest.NewRecorder()
				if e.ServeHTTP(rec, r); rec.Code != http.StatusOK {
					t.Errorf("pin/add is answered %d %s", rec.Code, rec.Body)
				}
			})
		}
		all.Wait()
	})
	if got := w.requests("alice"); len(got) != 1 {
		t.Errorf("the account has %q", got)
	}
}

func TestPinRm(t *testing.T) {
	w := newWorld(t)
	root, other := w.dir(), w.add(merkledag.NewRawNode([]byte("other")))
	w.pin("alice", root.Cid(), pin.Pinned)
	w.pin("alice", cid.NewCidV0(root.Cid().Hash()), pin.Pinning)
	w.pin("alice", other.Cid(), pin.Pinned)
	w.pin("bob", root.Cid(), pin.Pinned)
	w.refused("carol", "pin/rm", arg(root.Cid()), http.StatusBadRequest, "not pinned or pinned indirectly")
	if got := string(w.good("alice", "pin/rm", arg(root.Cid()))); got != fmt.Sprintf("{\"Pins\":[%q]}\n", root.Cid()) {
		t.Errorf("pin/rm answers %s", got)
	}
	if a, b := w.requests("alice"), w.requests("bob"); len(a) != 1 || len(b) != 1 {
		t.Errorf("it left %q, and another account's %q", a, b)
	}
	w.refused("alice", "pin/rm", arg(root.Cid()), http.StatusBadRequest, "not pinned or pinned indirectly")
	// A token to look with is not one to change with.
	for command, query := range map[string]string{"pin/rm": arg(other.Cid()), "pin/add": arg(other.Cid()), "pin/update": arg(other.Cid()) + "&" + arg(root.Cid())} {
		w.refused("alice looks", command, query, http.StatusForbidden, "not for this")
	}
	w.good("alice looks", "pin/ls", "")
}

func TestPinLs(t *testing.T) {
	w := newWorld(t)
	leaf := w.add(merkledag.NewRawNode([]byte("leaf")))
	root := w.dir(entry{"f", leaf})
	for i := range pageSize + 5 { // more than a page
		c, err := v1.Sum(fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		w.pin("alice", c, pin.Pinned)
	}
	w.pin("alice", root.Cid(), pin.Pinned)
	w.pin("alice", root.Cid(), pin.Pinned) // twice
	w.pins["alice"][len(w.pins["alice"])-1].Name = "my site"
	w.pin("alice", leaf.Cid(), pin.Failed)
	w.pin("bob", leaf.Cid(), pin.Pinned)
	list := func(query string) map[string]pinType {
		t.Helper()
		var out struct{ Keys map[string]pinType }
		if err := json.Unmarshal(w.good("alice", "pin/ls", query), &out); err != nil {
			t.Fatal(err)
		}
		return out.Keys
	}
	if all := list(""); len(all) != pageSize+6 || all[root.Cid().String()] != (pinType{Type: recursive}) {
		t.Errorf("it lists %d pins, and the root as %+v", len(all), all[root.Cid().String()])
	}
	if n := bytes.Count(w.good("alice", "pin/ls", "stream=true&type=recursive&quiet=true"), []byte("\n")); n != pageSize+6 {
		t.Errorf("as a stream it lists %d pins", n)
	}
	for query, want := range map[string]string{
		"name=site":                     fmt.Sprintf("{%q:{recursive my site}}", root.Cid()),
		"name=nothing":                  "{}",
		"type=direct":                   "{}",
		arg(root.Cid()) + "&names=true": fmt.Sprintf("{%q:{recursive my site}}", root.Cid()),
		arg(leaf.Cid()):                 fmt.Sprintf("{%q:{indirect through %s }}", leaf.Cid(), root.Cid()),
		arg(root.Cid().String()+"/f") + "&t=indirect": fmt.Sprintf("{%q:{indirect through %s }}", leaf.Cid(), root.Cid()),
	} {
		got := "{"
		for c, k := range list(query) {
			got += fmt.Sprintf("%q:{%s %s}", c, k.Type, k.Name)
		}
		if got += "}"; got != want {
			t.Errorf("pin/ls %s lists %s, want %s", query, got, want)
		}
	}
	if got := string(w.good("alice", "pin/ls", arg(root.Cid())+"&stream=true")); got != fmt.Sprintf("{\"Cid\":%q,\"Type\":\"recursive\"}\n", root.Cid()) {
		t.Errorf("one as a stream is %s", got)
	}
	w.refused("bob", "pin/ls", arg(root.Cid()), http.StatusBadRequest, "path '"+root.Cid().String()+"' is not pinned")
	w.refused("alice", "pin/ls", arg(root.Cid())+"&type=direct", http.StatusBadRequest, "is not pinned")
	w.refused("alice", "pin/ls", "type=indirect", http.StatusBadRequest, "only if arguments name it")
	w.refused("alice", "pin/ls", "type=nonsense", http.StatusBadRequest, "invalid type 'nonsense'")
}

func TestPinUpdate(t *testing.T) {
	w := newWorld(t)
	from, to := w.dir(), w.dir(entry{"f", w.add(merkledag.NewRawNode([]byte("leaf")))})
	w.pin("alice", from.Cid(), pin.Pinned)
	w.pins["alice"][0].Name = "site"
	both := arg(from.Cid()) + "&" + arg(to.Cid())
	w.refused("bob", "pin/update", both, http.StatusBadRequest, "'from' cid was not recursively pinned already")
	// What cannot be had takes nothing away.
	w.onGet = becomes(pin.Failed, "nobody has it")
	w.refused("alice", "pin/update", both, http.StatusBadRequest, "nobody has it")
	if got := w.requests("alice"); !slices.Equal(got, []string{"site pinned", "site failed"}) {
		t.Errorf("after a failure the account has %q", got)
	}
	w.onGet = becomes(pin.Pinned, "")
	w.good("alice", "pin/update", both+"&unpin=false")
	if got := w.requests("alice"); !slices.Equal(got, []string{"site pinned", "site pinned"}) {
		t.Errorf("without unpin the account has %q", got)
	}
	w.refused("alice", "pin/update", both, http.StatusBadRequest, "'to' cid was already recursively pinned")
	w.good("alice", "pin/rm", arg(to.Cid()))
	if got := string(w.good("alice", "pin/update", both)); got != fmt.Sprintf("{\"Pins\":[%q,%q]}\n", from.Cid(), to.Cid()) {
		t.Errorf("pin/update answers %s", got)
	}
	if r := w.pins["alice"]; len(r) != 1 || r[0].Root != to.Cid() || r[0].Name != "site" {
		t.Errorf("it left %+v", r)
	}
	w.good("alice", "pin/update", arg(to.Cid())+"&"+arg(to.Cid()))
	if len(w.requests("alice")) != 1 {
		t.Error("an update to the same took it away")
	}
	w.refused("alice", "pin/update", arg(to.Cid()), http.StatusBadRequest, "to-path")
}
