package daemon

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

// An account reads what it has pinned, and nothing else that is in the store.
func TestRPCReadsWhatTheAccountHas(t *testing.T) {
	lists, denied := t.TempDir(), blocks.NewBlock([]byte("denied"))
	if err := os.WriteFile(filepath.Join(lists, "mine.deny"), []byte("/ipfs/"+denied.Cid().String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := withGateway(t, func(c *config.Config) { c.Denylist.Dirs = []string{lists} })
	ctx := t.Context()
	account := func(email string) string {
		t.Helper()
		a, err := p.core.auth.AddAccount(ctx, auth.NewAccount{Email: email, Password: "correct horse battery staple"})
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	token := func(account string, scope auth.Scope) string {
		t.Helper()
		_, secret, err := p.core.auth.AddDevice(ctx, account, auth.NewDevice{Name: "kubo", Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	ask := func(token, command string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL()+RPCPath+"/"+command, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	alice, bob := account("alice@example.org"), account("bob@example.org")
	root, leaf := twoBlocks(t)
	request := holdFor(t, p, alice, root, leaf)
	looks, strange := token(alice, auth.ScopeRead), token(bob, auth.ScopePin)

	readLeaf, readRoot := "block/get?arg="+leaf.Cid().String(), "dag/export?arg="+root.Cid().String()
	if status, body := ask(looks, readLeaf); status != http.StatusOK || body != string(leaf.RawData()) {
		t.Errorf("a block below a root is answered %d with %d bytes", status, len(body))
	}
	if status, body := ask(looks, readRoot); status != http.StatusOK || !strings.Contains(body, string(leaf.RawData())) {
		t.Errorf("a DAG is answered %d with %d bytes", status, len(body))
	}
	for _, command := range []string{readLeaf, readRoot, "pin/ls?arg=" + root.Cid().String()} {
		if status, body := ask(strange, command); status != http.StatusBadRequest {
			t.Errorf("another account's %s is answered %d %.100q", command, status, body)
		}
	}
	if status, body := ask(looks, "pin/rm?arg="+root.Cid().String()); status != http.StatusForbidden {
		t.Errorf("a token to look with removes: %d %s", status, body)
	}
	if status, body := ask(looks, "id"); status != http.StatusOK || !strings.Contains(body, p.node.PeerID()) || strings.Contains(body, `"PublicKey":""`) {
		t.Errorf("id is answered %d %s", status, body)
	}

	holdFor(t, p, alice, denied)
	if status, body := ask(looks, "block/get?arg="+denied.Cid().String()); status != http.StatusUnavailableForLegalReasons {
		t.Errorf("what is denied is answered %d %.100q", status, body)
	}

	holdFor(t, p, bob, leaf) // so that the block stays
	if err := p.pins.Remove(ctx, alice, request); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{readLeaf, readRoot} {
		if status, body := ask(looks, command); status != http.StatusBadRequest {
			t.Errorf("after it is unpinned %s is answered %d %.100q", command, status, body)
		}
	}
	p.draining.Store(true)
	if status, body := ask(strange, readLeaf); status != http.StatusServiceUnavailable {
		t.Errorf("a server that stops answers %d %s", status, body)
	}
}

// By the socket a command reads what an account has, and one account can be left unnamed.
func TestRPCBySocket(t *testing.T) {
	p, _ := runProgram(t)
	ctx := t.Context()
	client, ok := Dial(ctx, p.Data)
	if !ok {
		t.Fatal("nobody answers on the socket")
	}
	defer client.Close()
	ask := func(account, command string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://holdfast"+RPCPath+"/"+command, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.ForAccount(account).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	if status, body := ask("", "version"); status != http.StatusNotFound || !strings.Contains(body, "account") {
		t.Errorf("without an account it answers %d %s", status, body)
	}
	add := func(email string) string {
		t.Helper()
		a, err := p.core.auth.AddAccount(ctx, auth.NewAccount{Email: email, Password: "correct horse battery staple"})
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	alice := add("alice@example.org")
	root, leaf := twoBlocks(t)
	holdFor(t, p, alice, root, leaf)
	read := "block/get?arg=" + leaf.Cid().String()
	if status, body := ask("", read); status != http.StatusOK || body != string(leaf.RawData()) {
		t.Errorf("the only account gets %d with %d bytes", status, len(body))
	}
	add("bob@example.org")
	for account, want := range map[string]int{
		"": http.StatusBadRequest, alice: http.StatusOK, "alice@example.org": http.StatusOK,
		"bob@example.org": http.StatusBadRequest, "nobody@example.org": http.StatusNotFound,
	} {
		if status, body := ask(account, read); status != want {
			t.Errorf("as %q it answers %d %s, want %d", account, status, body, want)
		}
	}
	p.draining.Store(true)
	if status, body := ask(alice, read); status != http.StatusServiceUnavailable {
		t.Errorf("a server that stops answers %d %s", status, body)
	}
}

// What repo/stat tells an account is what it has, and an admin what the server has.
func TestRPCRepoStat(t *testing.T) {
	p, _ := runProgram(t)
	ctx := t.Context()
	stat := func(email string, admin bool) (s struct{ RepoSize, StorageMax, NumObjects uint64 }) {
		t.Helper()
		a, err := p.core.auth.AddAccount(ctx, auth.NewAccount{Email: email, Password: "correct horse battery staple", Admin: admin, Quota: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		root, leaf := twoBlocks(t)
		holdFor(t, p, a.ID, root, leaf)
		scope := auth.ScopePin
		if admin {
			scope = auth.ScopeAdmin
		}
		_, token, err := p.core.auth.AddDevice(ctx, a.ID, auth.NewDevice{Name: "kubo", Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL()+RPCPath+"/repo/stat", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if err := json.NewDecoder(answer.Body).Decode(&s); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("repo/stat answers %d, %v", answer.StatusCode, err)
		}
		return s
	}
	if s := stat("alice@example.org", false); s.NumObjects != 2 || s.StorageMax != 1<<20 {
		t.Errorf("an account gets %+v", s)
	}
	if s := stat("ann@example.org", true); s.RepoSize == 0 || s.StorageMax <= s.RepoSize {
		t.Errorf("an admin gets %+v", s)
	}
}
