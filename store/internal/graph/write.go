package graph

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// refBytes is about what both sides of a link take on disk.
const refBytes = 128

// Write makes a batch durable. It writes links first. Only after Write returned may the caller
// trust that a block which is linked to and not in the batch is there, or that a node is whole.
// Batches of several MiB are best. The caller must have checked blocks against their hashes. A
// block that is there already is written again. Errors: pin.ErrDiskFull, with nothing written;
// after pin.ErrUnwritable or another error a part of the batch may be there, which is harmless.
func (g *Store) Write(ctx context.Context, b graph.Batch) error {
	if err := g.write(ctx, b); err != nil {
		return kv.Wrap(err, "write %d links and %d blocks", len(b.Links), len(b.Blocks))
	}
	return nil
}

func (g *Store) write(ctx context.Context, b graph.Batch) error {
	if err := g.kv.Enter(ctx); err != nil {
		return err
	}
	defer g.kv.Leave()
	if b.Empty() {
		return nil
	}
	if err := g.kv.MayWrite(); err != nil {
		return err
	}
	if err := g.roomForBatch(b); err != nil {
		return err
	}
	hashes := make([]multihash.Multihash, len(b.Links))
	for i, l := range b.Links {
		hashes[i] = l.Hash
	}
	defer g.claims.share(hashes)()
	if g.duringWrite != nil {
		g.duringWrite()
	}
	whole := b.Whole
	if len(b.Blocks) > 0 {
		b.Whole = nil
	}
	if len(b.Blocks) > 0 {
		g.wrote.Store(g.now().UnixNano())
	}
	if err := g.writePart(ctx, b); err != nil {
		return err
	}
	g.noteWritten(b.Blocks)
	if len(b.Blocks) == 0 || len(whole) == 0 {
		return nil
	}
	// The marks come in a write of their own: Badger writes a mark although the sync of a
	// block in the same write failed.
	return g.writePart(ctx, graph.Batch{Whole: whole, Limits: b.Limits})
}

// Mark marks a holder as whole: all below it is durable, and was checked against the limits. It does not
// wait, as [kv.DB.Post] says.
func (g *Store) Mark(h graph.Holder, l pin.Limits) {
	g.kv.Post(func(t *kv.Tx) error {
		t.Set(WholeKey(h), encodeKept(l))
		return nil
	})
}

// busyFor is for how long after a write of blocks others are expected: some batches' worth.
const busyFor = 500 * time.Millisecond

// Busy reports whether blocks of pins are being written, or were a moment ago. What was written later than now
// was written before the clock was set back.
func (g *Store) Busy() bool {
	return time.Duration(g.now().UnixNano()-g.wrote.Load()).Abs() < busyFor
}

// smallBatch is the size up to which a batch shares a commit, and its sync, with other batches and with
// changes of records. Badger syncs each write by itself, and hundreds of walks may have a small batch
// each. With as many as share a commit, 512, that is 16 MiB, for which changes of records may have to wait.
const smallBatch = 32 << 10

// writePart makes a batch durable that has no blocks or no marks.
func (g *Store) writePart(ctx context.Context, b graph.Batch) error {
	if batchBytes(b) <= smallBatch {
		return g.kv.Update(ctx, func(t *kv.Tx) error {
			return fill(b, func(key, value []byte) error {
				t.Set(key, value)
				return nil
			})
		})
	}
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	if err := fill(b, wb.Set); err != nil {
		return err
	}
	return wb.Flush()
}

// batchBytes is about how many bytes a batch takes on disk.
func batchBytes(b graph.Batch) uint64 {
	size := uint64(len(b.Links)+len(b.Nodes)+len(b.Whole)) * refBytes
	for _, block := range b.Blocks {
		size += uint64(len(block.Data))
	}
	return size
}

// roomForBatch fails with pin.ErrDiskFull if there is no room. Links without blocks may go below
// the floor for new blocks.
func (g *Store) roomForBatch(b graph.Batch) error {
	if len(b.Blocks) == 0 {
		return g.space.RoomForUpkeep()
	}
	return g.space.RoomFor(batchBytes(b))
}

// fill sets the keys of a batch in such an order that it may be cut off anywhere. The holder's side of a
// link comes first: links are dropped by it. The link to a node comes before the node, and the
// node before what it holds. So whatever holds something can be found.
func fill(b graph.Batch, set func(key, value []byte) error) error {
	nodes := make(map[graph.Holder]graph.Node, len(b.Nodes))
	for _, n := range b.Nodes {
		nodes[n.ID] = n
	}
	for _, l := range b.Links {
		if n, ok := nodes[l.Holder]; ok {
			if err := fillNode(n, set); err != nil {
				return err
			}
			delete(nodes, l.Holder)
		}
		size := encodeSize(l.Size)
		if err := set(linkFromKey(l), size); err != nil {
			return err
		}
		if err := set(linkToKey(l), size); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if err := fillNode(n, set); err != nil {
			return err
		}
	}
	for _, block := range b.Blocks {
		if err := set(blockKey(block.Hash), block.Data); err != nil {
			return err
		}
	}
	for _, h := range b.Whole {
		if err := set(WholeKey(h), encodeKept(b.Limits)); err != nil {
			return err
		}
	}
	return nil
}

func fillNode(n graph.Node, set func(key, value []byte) error) error {
	if err := set(nodesKey(n), binary.BigEndian.AppendUint64(nil, uint64(n.Attempt))); err != nil {
		return err
	}
	return set(nodeKey(n.ID), []byte(n.DAG))
}

func encodeSize(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// decodeSize is the opposite of encodeSize. The key is for the error.
func decodeSize(key, value []byte) (int, error) {
	n, w := binary.Uvarint(value)
	if w <= 0 {
		return 0, fmt.Errorf("%w: key %x has size %x", diskerr.ErrUnreadable, key, value)
	}
	return int(n), nil
}

// Links yields the links of a holder, in the order of hashes. It reads a page at a time. If
// reading fails it yields one error, last.
func (g *Store) Links(ctx context.Context, h graph.Holder) iter.Seq2[graph.Link, error] {
	return func(yield func(graph.Link, error) bool) {
		var from []byte
		for {
			page, next, err := g.linksPage(ctx, h, from)
			if err != nil {
				yield(graph.Link{}, kv.Wrap(err, "read links of %d", h))
				return
			}
			for _, l := range page {
				if !yield(l, nil) {
					return
				}
			}
			if next == nil {
				return
			}
			from = next
		}
	}
}

// linksPage reads up to kv.PageSize links of a holder from a key on (nil is the first), and
// gives the key of the next page; nil at the end.
func (g *Store) linksPage(ctx context.Context, h graph.Holder, from []byte) (page []graph.Link, next []byte, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		return r.ScanEach(kv.Span{Prefix: linksFrom(h), From: from}, func(key, value []byte) (bool, error) {
			if len(page) == kv.PageSize {
				next = append(next, key...)
				return false, nil
			}
			l, err := splitLinkFrom(key, value)
			l.Hash = append(multihash.Multihash(nil), l.Hash...)
			page = append(page, l)
			return true, err
		})
	})
	return page, next, err
}

// RewriteBlocks writes the blocks again that are under some keys of the go-datastore, and gives
// how many those are. It leaves other packages' keys alone, as it has no lock for them. A block
// has only one possible value, and only reclaims, of which this is part, delete it.
func (g *Store) RewriteBlocks(keys [][]byte) (n int, err error) {
	var blocks [][]byte
	var hashes []multihash.Multihash
	for _, key := range keys {
		if h, ok := BlockOf(datastore.RawKey(string(key))); ok {
			blocks, hashes = append(blocks, key), append(hashes, h)
		}
	}
	if len(blocks) == 0 {
		return 0, nil
	}
	if err := g.space.RoomToOpen(); err != nil {
		return 0, err
	}
	defer g.claims.share(hashes)()
	r, done := g.kv.Snapshot()
	defer done()
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	for _, key := range blocks {
		value, found, err := r.Get(key)
		if err != nil {
			return 0, err
		}
		if !found {
			continue
		}
		if err := wb.Set(key, value); err != nil {
			return 0, err
		}
	}
	return len(blocks), wb.Flush()
}
