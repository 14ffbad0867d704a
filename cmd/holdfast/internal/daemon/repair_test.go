package daemon

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/datastore/dshelp"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

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

// hold puts a DAG into a program's store as a pin would, the root first.
func hold(t *testing.T, p *Program, bs ...blocks.Block) {
	t.Helper()
	holdFor(t, p, uuid.NewString(), bs...)
}

// holdFor is hold for an account, whose request it returns.
func holdFor(t *testing.T, p *Program, account string, bs ...blocks.Block) (request string) {
	t.Helper()
	ctx, root := t.Context(), bs[0].Cid()
	r, err := p.core.store.Add(ctx, account, pin.Spec{CID: root.String(), Root: root})
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
	if _, _, err := p.core.store.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: uint64(len(bs))}); err != nil {
		t.Fatal(err)
	}
	return r.ID
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

// command is the client of a command for the program.
func command(t *testing.T, p *Program) *admin.Client {
	t.Helper()
	c, ok := Dial(t.Context(), p.Data)
	if !ok {
		t.Fatal("the program does not answer commands")
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// While the server runs, damaged blocks are fetched again from a node that has them.
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
		for deadline := time.Now().Add(logtest.Patience); v.Status != pin.Pinned; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the pin is %s: %v", v.Status, v.Info)
			}
			if v, err = p.pins.Get(ctx, a.ID, v.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	pinned()
	damaged := 0
	verify := func(repair bool) (v admin.Verified) {
		t.Helper()
		v, err := command(t, p).Verify(ctx, repair, func(admin.StoreProgress) {}, func(admin.Damage) error { damaged++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := verify(false); v.Blocks != 2 || v.BadBlocks() > 0 {
		t.Errorf("verify: %+v", v)
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
	if v := verify(false); v.Corrupt != 1 || v.Missing != 1 || damaged != 2 || len(v.Repairing) > 0 {
		t.Errorf("verify: %+v", v)
	}
	if v := verify(true); len(v.Repairing) != 1 {
		t.Errorf("verify --repair: %+v", v)
	}
	if v, err = p.pins.Get(ctx, a.ID, v.ID); err != nil {
		t.Fatal(err)
	}
	pinned()
	if v := verify(false); v.BadBlocks() > 0 {
		t.Errorf("verify after the repair: %+v", v)
	}

	// A reclaim waits for the unpinning, so that the space of a removed pin comes back at once.
	if err := p.pins.Remove(ctx, a.ID, v.ID); err != nil {
		t.Fatal(err)
	}
	if r, err := command(t, p).Reclaim(ctx, func(admin.StoreProgress) {}); err != nil || r.Blocks != 2 {
		t.Errorf("reclaim: %+v, %v", r, err)
	}
}
