package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/google/uuid"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/psa"
)

// spoilRecord writes nonsense under the first key of a database that begins so.
func spoilRecord(t *testing.T, dir string, prefix ...byte) {
	t.Helper()
	// As the store has it, its tables are not compressed.
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(dir, "db")).WithLogger(nil).WithCompression(options.None))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		it.Rewind()
		if !it.Valid() {
			t.Fatalf("no key begins with %x", prefix)
		}
		return txn.Set(it.Item().KeyCopy(nil), []byte{0xff})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// A pin, an account and a token that cannot be read are shown so by the commands, and can be
// written again or removed; clients see a pin that has failed, with a CID.
func TestDamagedRecords(t *testing.T) {
	const password = "correct horse battery"
	dir := filepath.Join(t.TempDir(), "data")
	var first, second pin.Request
	var alice, bob auth.Account
	var token auth.Token
	withCore(t, dir, func(c *core) {
		var err error
		check := func(e error) {
			t.Helper()
			if e != nil {
				t.Fatal(e)
			}
		}
		alice, err = c.auth.AddAccount(t.Context(), auth.NewAccount{Email: "alice@example.org", Password: password})
		check(err)
		bob, err = c.auth.AddAccount(t.Context(), auth.NewAccount{Email: "bob@example.org", Password: password})
		check(err)
		token, _, err = c.auth.AddDevice(t.Context(), bob.ID, auth.NewDevice{Name: "kubo"})
		check(err)
		root := cid.MustParse("bafkqabtimvwgy3yk")
		first, err = c.store.Add(t.Context(), alice.ID, pin.Spec{CID: root.String(), Root: root, Name: "first"})
		check(err)
		root = cid.MustParse("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy")
		second, err = c.store.Add(t.Context(), alice.ID, pin.Spec{CID: root.String(), Root: root, Name: "second"})
		check(err)
	})
	const request, login, tokens = 0x11, 0x40, 0x42 // as the package comment of store has them
	aliceID := uuid.MustParse(alice.ID)
	spoilRecord(t, dir, append([]byte{request}, aliceID[:]...)...)
	run := func(fails bool, args ...string) string {
		t.Helper()
		stdout, stderr, err := holdfast(t, dir, args...)
		if (err != nil) != fails {
			t.Errorf("%v: %v\n%s", args, err, stderr)
		}
		return stdout
	}
	want := func(got string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("%q is not in\n%s", p, got)
			}
		}
	}
	list := run(false, "pin", "ls", "--user", alice.Email)
	want(list, "damaged  "+first.Created.Format("2006-01-02T15:04:05.000Z"), first.CID, "  first ", "the server cannot read its record of this pin, which was queued",
		second.ID+"  queued")
	id, _, _ := strings.Cut(strings.Split(list, "\n")[2], " ")
	want(run(true, "store", "verify"), "damaged record: pin requestid="+id+" account="+alice.ID)
	want(run(false, "store", "stats"), "damaged records  1", "damaged record: pin requestid="+id, "pins queued      2")

	// What the PSA's clients get is one of its four statuses, and a CID.
	withCore(t, dir, func(c *core) {
		page, err := c.pins.List(t.Context(), alice.ID, pin.Query{Statuses: pin.Statuses(), Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(psa.NewPinResults(page, []string{"/ip4/127.0.0.1/tcp/1"}))
		if err != nil {
			t.Fatal(err)
		}
		var got psa.PinResults
		if err := json.Unmarshal(text, &got); err != nil || got.Count != 2 {
			t.Fatalf("%v of %s", err, text)
		}
		damaged := got.Results[1]
		if _, err := cid.Decode(damaged.Pin.CID); err != nil || damaged.Status != pin.Failed || damaged.RequestID != id || damaged.Info[pin.InfoDamaged] == "" {
			t.Errorf("a client gets %+v", damaged)
		}
	})

	want(run(false, "pin", "retry", id, "--user", alice.Email), "queued "+id)
	if list = run(false, "pin", "ls", "--user", alice.Email); strings.Contains(list, "damaged") || strings.Count(list, "queued") != 2 {
		t.Errorf("after the retry:\n%s", list)
	}
	run(false, "store", "verify")

	spoilRecord(t, dir, append([]byte{login}, aliceID[:]...)...)
	spoilRecord(t, dir, tokens)
	want(run(false, "user", "ls"), "alice@example.org  -     damaged", "bob@example.org    user  enabled")
	want(run(false, "token", "ls", bob.Email), token.ID+"  damaged")
	want(run(false, "pin", "ls", "--all"), "alice@example.org  "+id)
	_, _, err := holdfast(t, dir, "user", "disable", alice.Email)
	if err == nil || !strings.Contains(err.Error(), "cannot be read") || strings.Contains(err.Error(), auth.ErrNoAccount.Error()) {
		t.Errorf("to disable alice is %v", err)
	}
	run(false, "token", "revoke", token.ID)
	want(run(false, "user", "rm", alice.Email), "removed alice@example.org; pins removed: 2")
	if got := run(false, "user", "ls"); strings.Contains(got, "alice") {
		t.Errorf("then there are\n%s", got)
	}
	run(false, "store", "verify")
}

// Over HTTP the login to an account that cannot be read is a fault of the server's, told so.
func TestLoginToDamagedAccount(t *testing.T) {
	const password = "correct horse battery"
	d := testDataDir(t)
	var id uuid.UUID
	withCore(t, d.shown, func(c *core) {
		for _, email := range []string{"bob@example.org", "alice@example.org"} {
			a, err := c.auth.AddAccount(t.Context(), auth.NewAccount{Email: email, Password: password, Admin: email == "bob@example.org"})
			if err != nil {
				t.Fatal(err)
			}
			id = uuid.MustParse(a.ID) // alice's in the end
		}
	})
	spoilRecord(t, d.shown, append([]byte{0x40}, id[:]...)...)
	p := &Program{Config: testConfig(), Data: d, Log: slog.New(slog.DiscardHandler), Machine: testMachine()}
	defer p.Close()
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	login := func(email string) (int, string) {
		body, _ := json.Marshal(map[string]string{"email": email, "password": password})
		answer, err := http.Post(p.URL()+"/api/auth/login", "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	if status, body := login("alice@example.org"); status != http.StatusInternalServerError || !strings.Contains(body, "cannot read its record") {
		t.Errorf("alice: %d %s", status, body)
	}
	status, body := login("bob@example.org")
	var session struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &session); err != nil || status != http.StatusOK {
		t.Fatalf("bob: %d %s", status, body)
	}
	// Who is an admin sees both.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL()+"/api/admin/accounts", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+session.Access)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var list struct {
		Accounts []struct {
			ID, Email string
			Damaged   bool
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil || len(list.Accounts) != 2 || !list.Accounts[0].Damaged || list.Accounts[0].ID != id.String() || list.Accounts[1].Damaged {
		t.Errorf("%s, %v: %+v", answer.Status, err, list)
	}
}
