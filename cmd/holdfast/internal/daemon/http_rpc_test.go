package daemon

import (
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
