package backup_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// Some accounts and requests are restored, with the blocks that they need and no others. What is
// not in the backup is named, and leaves the directory empty.
func TestRestoreSome(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(12)
	accounts := map[string]string{}
	requests := map[string][]pin.Request{}
	for i, email := range []string{"alice@example.org", "bob@example.org", "carol@example.org"} {
		id := uuid.NewString()
		accounts[email] = id
		must(t, o.CreateAccount(t.Context(), auth.Account{ID: id, Email: email, PasswordHash: "hash"}))
		must(t, o.CreateToken(t.Context(), auth.Token{ID: uuid.NewString(), Account: id, Kind: auth.Device, Name: "kubo"}))
		must(t, o.CreateInvite(t.Context(), auth.Invite{ID: uuid.NewString()}))
		for n, root := range roots[4*i : 4*i+4] {
			r, err := o.pinFor(t.Context(), id, net, root, fmt.Sprint(email, " ", n))
			must(t, err)
			requests[email] = append(requests[email], r)
		}
	}
	_, err := o.pinDAG(t.Context(), net, roots[11], "of an account that is gone")
	must(t, err)
	m := run(t, o, p, nil)
	for name, c := range map[string]struct {
		choice store.Choice
		emails []string
		pins   []string // IDs
		tokens int
	}{
		"all":         {store.Choice{}, []string{"alice@example.org", "bob@example.org", "carol@example.org"}, nil, 1},
		"no tokens":   {store.Choice{WithoutTokens: true}, []string{"alice@example.org", "bob@example.org", "carol@example.org"}, nil, 0},
		"one account": {store.Choice{Accounts: []string{"Bob@example.org"}}, []string{"bob@example.org"}, ids(requests["bob@example.org"]...), 1},
		"one pin":     {store.Choice{Requests: ids(requests["carol@example.org"][2])}, []string{"carol@example.org"}, ids(requests["carol@example.org"][2]), 1},
		"an account and a pin": {
			store.Choice{Accounts: []string{"alice@example.org"}, Requests: ids(requests["bob@example.org"][1]), WithoutTokens: true},
			[]string{"alice@example.org", "bob@example.org"}, ids(append(requests["alice@example.org"], requests["bob@example.org"][1])...), 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			done, waiting := restoreChoice(t, dir, p, nil, m.ID, c.choice)
			if done.Missing > 0 || waiting > 0 || len(c.pins) > 0 == (done.Blocks == m.Blocks) {
				t.Errorf("restored %+v of %d blocks, %d wait", done, m.Blocks, waiting)
			}
			back := open(t, dir)
			all, err := back.ListAccounts(t.Context())
			must(t, err)
			var emails, pins []string
			for _, a := range all {
				emails = append(emails, a.Email)
				page, err := back.Store.List(t.Context(), a.ID, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
				must(t, err)
				for _, r := range page.Requests {
					if pins = append(pins, r.ID); r.Status != pin.Pinned {
						t.Errorf("request %s is %s", r.Name, r.Status)
					}
				}
				tokens, err := back.ListTokens(t.Context(), a.ID)
				if err != nil || len(tokens) != c.tokens {
					t.Errorf("%s has tokens %v: %v", a.Email, tokens, err)
				}
			}
			slices.Sort(pins)
			slices.Sort(c.pins)
			if !slices.Equal(emails, c.emails) || len(c.pins) > 0 && !slices.Equal(pins, c.pins) || len(c.pins) == 0 && len(pins) != 12 {
				t.Errorf("restored %v with %v, want %v with %v", emails, pins, c.emails, c.pins)
			}
			if invites, err := back.ListInvites(t.Context()); err != nil || (len(invites) > 0) != (len(c.pins) == 0) {
				t.Errorf("restored invitations %v: %v", invites, err)
			}
			back.verify(t)
			st, err := back.Stats(t.Context())
			if err != nil || st.Live.Blocks != done.Blocks || st.Dead.Blocks > 0 {
				t.Errorf("there are %+v of %d blocks: %v", st, done.Blocks, err)
			}
		})
	}
	for _, c := range []store.Choice{{Accounts: []string{"dave@example.org"}}, {Requests: []string{uuid.NewString()}}} {
		dir := t.TempDir()
		target, lock, _ := beginRestoreOf(t, dir, m, c)
		_, err := backup.Restore(t.Context(), p, nil, m, target, nil)
		if none := (*store.NotInBackupError)(nil); !errors.As(err, &none) {
			t.Errorf("restored %+v: %v", c, err)
		}
		must(t, target.Close())
		must(t, lock.Close())
		if _, err := os.Stat(filepath.Join(dir, "db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the directory is not empty: %v", err)
		}
		restore(t, dir, p, nil, m.ID)
	}
}

func ids(all ...pin.Request) (out []string) {
	for _, r := range all {
		out = append(out, r.ID)
	}
	return out
}

// A restore of some goes on, and is not taken for another.
func TestRestoreSomeCutOff(t *testing.T) {
	o, p := open(t, t.TempDir()), place(t)
	roots, net := dags(6)
	var some []pin.Request
	for _, root := range roots {
		r, err := o.pinDAG(t.Context(), net, root, "")
		must(t, err)
		some = append(some, r)
	}
	m, dir, choice := run(t, o, p, nil), t.TempDir(), store.Choice{Requests: ids(some[3])}
	for cut := 1; ; cut++ {
		r, lock, end := beginRestoreOf(t, dir, m, choice)
		_, err := backup.Restore(t.Context(), p, nil, m, &cutOff{r, cut * cut}, nil)
		if err == nil {
			_, err := r.Finish(t.Context())
			must(t, err)
			end()
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		must(t, r.Close())
		if r.HasRecords() {
			if _, err := store.Restore(t.Context(), lock, m.ID, m.Layout, store.Choice{}, store.Config{}); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("began to restore another choice: %v", err)
			}
		}
		must(t, lock.Close())
	}
	back := open(t, dir)
	if got := back.pins(t); len(got) != 1 {
		t.Errorf("restored %v", got)
	}
	back.verify(t)
}
