package main

import (
	"context"
	"encoding/json"
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

// spoilRecord writes nonsense under the first key of a database with a prefix.
func spoilRecord(t *testing.T, dir string, prefix ...byte) {
	t.Helper()
	// Like in the store, tables are not compressed.
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
	withStore(t, dir, func(c atRest) {
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

	// Clients of the PSA get one of its four statuses, and a CID.
	withStore(t, dir, func(c atRest) {
		page, err := pin.NewOffline(c.store, noQuotas{}).List(t.Context(), alice.ID, pin.Query{Statuses: pin.Statuses(), Limit: 10})
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

// noQuotas lets accounts have whatever they want.
type noQuotas struct{}

func (noQuotas) Quota(context.Context, string) (pin.Quota, error) { return pin.Quota{}, nil }
