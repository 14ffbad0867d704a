package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store"
)

// atRest is the content of a data directory while nobody uses it.
type atRest struct {
	store *store.Store
	auth  *auth.Service
}

// withStore runs fn on what is in a directory.
func withStore(t *testing.T, dir string, fn func(atRest)) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := store.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), lock, store.Config{MinFreeSpace: 64 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := auth.OpenKeys(filepath.Join(dir, "tokens.key"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(auth.Config{Log: slog.New(slog.DiscardHandler)}, s, keys)
	if err != nil {
		t.Fatal(err)
	}
	fn(atRest{s, a})
	if err := errors.Join(s.Close(), lock.Close()); err != nil {
		t.Fatal(err)
	}
}

// holdfast runs a command in this process, with no terminal.
func holdfast(t *testing.T, dir string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	c := &cli{
		stdin: os.Stdin, stdout: &out, stderr: &errOut,
		environ: []string{"HOLDFAST_STORE_MIN_FREE_SPACE=64MiB"},
		getenv:  func(string) string { return "" },
	}
	cmd := c.command()
	cmd.SetArgs(append(args, "--data", dir))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

// A missing block is found, with the pin that needs it, and a repair makes that pin pinning
// again. The space of removed pins comes back.
func TestStoreCommandsOnDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	here, gone := blocks.NewBlock(bytes.Repeat([]byte("a"), 5000)), blocks.NewBlock(bytes.Repeat([]byte("b"), 6000))
	var id string
	withStore(t, dir, func(c atRest) {
		ctx := t.Context()
		a, err := c.auth.AddAccount(ctx, auth.NewAccount{Email: "alice@example.org", Password: "correct horse battery"})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.store.Add(ctx, a.ID, pin.Spec{CID: here.Cid().String(), Root: here.Cid()})
		if err != nil {
			t.Fatal(err)
		}
		id = r.ID
		attempt, _, err := c.store.Begin(ctx, r.DAG())
		if err == nil {
			err = c.store.Write(ctx, stored(attempt, here, gone))
		}
		if err == nil {
			_, _, err = c.store.Complete(ctx, r.DAG(), attempt, pin.Totals{Blocks: 2, Bytes: 11_000})
		}
		if err == nil {
			err = c.store.Blockstore().DeleteBlock(ctx, gone.Cid())
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	want := func(what, got string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(got, p) {
				t.Errorf("%s is %q, want %q in it", what, got, p)
			}
		}
	}
	stdout, _, err := holdfast(t, dir, "store", "stats")
	if err != nil {
		t.Fatal(err)
	}
	want("stats", stdout, "11 KiB in 2 blocks", "1, of which 1 are complete")

	stdout, _, err = holdfast(t, dir, "store", "verify")
	if err == nil || err.Error() != "damaged: 1 block" {
		t.Errorf("verify: error %v", err)
	}
	root := pin.DAGOf(here.Cid()).String()
	want("verify", stdout, "missing b", "in "+root, "pin "+id+" of alice@example.org", "0 corrupt, 1 missing")
	stdout, _, err = holdfast(t, dir, "store", "verify", "--json")
	if err == nil {
		t.Error("verify --json is no error")
	}
	want("verify --json", stdout, `"missing": 1`, `"requestid": "`+id+`"`, `"complete": true`)

	_, stderr, err := holdfast(t, dir, "store", "verify", "--repair")
	if err != nil {
		t.Fatal(err)
	}
	want("verify --repair", stderr, "to be fetched again when the server runs (`holdfast serve`): 1 DAG")
	stdout, _, err = holdfast(t, dir, "pin", "ls")
	if err != nil {
		t.Fatal(err)
	}
	want("pin ls", stdout, id+"  pinning")

	if _, _, err = holdfast(t, dir, "pin", "rm", id); err != nil {
		t.Fatal(err)
	}
	stdout, _, err = holdfast(t, dir, "store", "reclaim")
	if err != nil {
		t.Fatal(err)
	}
	want("reclaim", stdout, "deleted 1 block of 4.9 KiB")
	stdout, _, err = holdfast(t, dir, "store", "stats", "--json")
	if err != nil {
		t.Fatal(err)
	}
	want("stats --json", stdout, "\"live\": {\n    \"blocks\": 0", "\"dead\": {\n    \"blocks\": 0")
}

// stored is blocks that an attempt holds itself.
func stored(a pin.Attempt, bs ...blocks.Block) graph.Batch {
	var batch graph.Batch
	for _, b := range bs {
		batch.Blocks = append(batch.Blocks, graph.Block{Hash: b.Cid().Hash(), Data: b.RawData()})
		batch.Links = append(batch.Links, graph.Link{
			Holder: graph.HolderOf(a), Ref: graph.Ref{Hash: b.Cid().Hash(), Size: len(b.RawData())}, Codec: b.Cid().Type(),
		})
	}
	return batch
}
