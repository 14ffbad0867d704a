package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/datastore/dshelp"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// withCore runs fn on what a command opens in a directory.
func withCore(t *testing.T, dir string, fn func(*core)) {
	t.Helper()
	d, err := openDataDir(dir, true, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := lockForServer(t.Context(), d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Store.MinFreeSpace = 64 << 20
	c, err := openCore(t.Context(), d, lock, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fn(c)
	if err := errors.Join(c.store.Close(), lock.Close(), d.Close()); err != nil {
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

// A block that is gone is found, with the pin that it hurts, and a repair puts
// that back to pinning; what is unpinned comes back.
func TestStoreCommandsOnDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	here, gone := blocks.NewBlock(bytes.Repeat([]byte("a"), 5000)), blocks.NewBlock(bytes.Repeat([]byte("b"), 6000))
	var id string
	withCore(t, dir, func(c *core) {
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
			err = c.store.Write(ctx, heldBy(attempt, here, gone))
		}
		if err == nil {
			_, err = c.store.Complete(ctx, r.DAG(), attempt, pin.Totals{Blocks: 2, Bytes: 11_000})
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
	want("verify --repair", stderr, "to be fetched again when the server runs (holdfast serve): 1 DAG")
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

// twoBlocks makes a DAG of a dag-pb root and a raw leaf.
func twoBlocks(t *testing.T) (root, leaf blocks.Block) {
	t.Helper()
	block := func(codec uint64, data []byte) blocks.Block {
		c, err := cid.V1Builder{Codec: codec, MhType: multihash.SHA2_256}.Sum(data)
		if err != nil {
			t.Fatal(err)
		}
		b, err := blocks.NewBlockWithCid(data, c)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	leaf = block(cid.Raw, bytes.Repeat([]byte("leaf"), 3000))
	hash := leaf.Cid().Bytes()
	link := append([]byte{0x0a, byte(len(hash))}, hash...)     // PBLink: Hash
	node := append([]byte{0x12, byte(len(link))}, link...)     // PBNode: Links
	return block(cid.DagProtobuf, append(node, 0x0a, 0)), leaf // and empty Data
}

// heldBy is blocks that an attempt holds itself.
func heldBy(a pin.Attempt, bs ...blocks.Block) graph.Batch {
	var batch graph.Batch
	for _, b := range bs {
		batch.Blocks = append(batch.Blocks, graph.Block{Hash: b.Cid().Hash(), Data: b.RawData()})
		batch.Links = append(batch.Links, graph.Link{
			Holder: graph.HolderOf(a), Ref: graph.Ref{Hash: b.Cid().Hash(), Size: len(b.RawData())}, Codec: b.Cid().Type(),
		})
	}
	return batch
}

// hold puts a DAG into a program's store as a pin would, the root first.
func hold(t *testing.T, p *Program, bs ...blocks.Block) {
	t.Helper()
	ctx, root := t.Context(), bs[0].Cid()
	r, err := p.core.store.Add(ctx, uuid.NewString(), pin.Spec{CID: root.String(), Root: root})
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := p.core.store.Begin(ctx, r.DAG())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.core.store.Write(ctx, heldBy(a, bs...)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.core.store.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: uint64(len(bs))}); err != nil {
		t.Fatal(err)
	}
}

// What is damaged is fetched again from whoever has it, while the server runs.
func TestRepairMends(t *testing.T) {
	ctx := t.Context()
	root, leaf := twoBlocks(t)
	source, _ := runProgram(t)
	hold(t, source, root, leaf)
	p, _ := testProgram(t, testDataDir(t))
	p.Config.Node.AllowPrivateAddresses = true
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	a, err := p.core.auth.AddAccount(ctx, auth.NewAccount{Email: "alice@example.org", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.pins.Add(ctx, a.ID, pin.Spec{CID: root.Cid().String(), Root: root.Cid(), Origins: source.node.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	pinned := func() {
		t.Helper()
		for deadline := time.Now().Add(patience); v.Status != pin.Pinned; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the pin is %s: %v", v.Status, v.Info)
			}
			if v, err = p.pins.Get(ctx, a.ID, v.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	pinned()
	dir := p.Data.shown
	if stdout, _, err := holdfast(t, dir, "store", "verify"); err != nil || !strings.Contains(stdout, "checked 2 blocks") {
		t.Errorf("verify: %q, %v", stdout, err)
	}

	flipped := bytes.Clone(leaf.RawData())
	flipped[1000] ^= 4
	key := blockstore.BlockPrefix.Child(dshelp.MultihashToDsKey(leaf.Cid().Hash()))
	if err := p.core.store.Datastore().Put(ctx, key, flipped); err != nil {
		t.Fatal(err)
	}
	if err := p.core.store.Blockstore().DeleteBlock(ctx, root.Cid()); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := holdfast(t, dir, "store", "verify")
	if err == nil || !strings.Contains(stdout, "1 corrupt, 1 missing") {
		t.Errorf("verify: %q, %v", stdout, err)
	}
	_, stderr, err := holdfast(t, dir, "store", "verify", "--repair")
	if err != nil || !strings.Contains(stderr, "being fetched again: 1 DAG") {
		t.Errorf("verify --repair: %q, %v", stderr, err)
	}
	if v, err = p.pins.Get(ctx, a.ID, v.ID); err != nil {
		t.Fatal(err)
	}
	pinned()
	if stdout, _, err := holdfast(t, dir, "store", "verify"); err != nil {
		t.Errorf("verify after the repair: %q, %v", stdout, err)
	}

	// What is removed comes back at once, unpinned first.
	if err := p.pins.Remove(ctx, a.ID, v.ID); err != nil {
		t.Fatal(err)
	}
	if stdout, _, err := holdfast(t, dir, "store", "reclaim"); err != nil || !strings.Contains(stdout, "deleted 2 blocks") {
		t.Errorf("reclaim: %q, %v", stdout, err)
	}
}
