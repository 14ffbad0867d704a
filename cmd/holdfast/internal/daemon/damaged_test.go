package daemon

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
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

// withCore runs fn on what a command opens in a directory.
func withCore(t *testing.T, d *datadir.Dir, fn func(*core)) {
	t.Helper()
	lock, err := lockForServer(t.Context(), d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c, err := openCore(t.Context(), d, lock, testConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fn(c)
	if err := errors.Join(c.store.Close(), lock.Close()); err != nil {
		t.Fatal(err)
	}
}

// Over HTTP a login to an account that cannot be read is answered as a fault of the server.
func TestLoginToDamagedAccount(t *testing.T) {
	const password = "correct horse battery"
	d := testDataDir(t)
	var id uuid.UUID
	withCore(t, d, func(c *core) {
		for _, email := range []string{"bob@example.org", "alice@example.org"} {
			a, err := c.auth.AddAccount(t.Context(), auth.NewAccount{Email: email, Password: password, Admin: email == "bob@example.org"})
			if err != nil {
				t.Fatal(err)
			}
			id = uuid.MustParse(a.ID) // alice's in the end
		}
	})
	spoilRecord(t, d.Shown, append([]byte{0x40}, id[:]...)...)
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
	// An admin sees both.
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
