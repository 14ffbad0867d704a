package graph

import (
	"errors"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// dropBatch is what one commit of a Drop deletes. Before it is written, its links already count
// as gone, and the nodes that they held as released. So one batch follows a chain down as far as
// it has room, and a deep DAG costs no more commits than a flat one with as many links.
type dropBatch struct {
	s       *Store
	attempt graph.Holder
	plan    *dropBatch     // the plan that it is made from; nil if it is a plan itself
	next    []graph.Holder // holders whose links are still to be deleted; the last comes first
	missed  bool           // nodes were released that next had no room for

	links    []graph.Link
	taken    []taking                // the holders of links, in the same order
	of       map[graph.Holder]taking // the same by holder
	going    map[string]struct{}     // the links that may hold a node, by the key of the block's side
	nodes    map[string][]graph.Node // nodes without links, by the prefix of links to them
	released []graph.Node
}

// taking is the part of a batch that one holder has: links[from:to].
type taking struct {
	holder   graph.Holder
	from, to int
	more     bool // the holder has more links, for which there was no room
}

// batch begins a batch where the last one ended: a plan, if plan is nil.
func (d *dropper) batch(plan *dropBatch) *dropBatch {
	return &dropBatch{
		s: d.s, attempt: d.attempt, plan: plan, next: slices.Clone(d.next), missed: d.missed,
		of: map[graph.Holder]taking{}, going: map[string]struct{}{}, nodes: map[string][]graph.Node{},
	}
}

// read gathers the batch with its stripes held.
func (b *dropBatch) read() error {
	r, done := b.s.kv.Snapshot() // after the stripes were taken: it sees every link
	defer done()
	return b.gather(r)
}

// gather takes links until the batch is full or none are left: the links of all holders in next,
// then those of the nodes that lost their last link by that, and so on.
func (b *dropBatch) gather(r *kv.Reader) error {
	limit := levelsPerBatch
	if b.s.drops.levels > 0 {
		limit = b.s.drops.levels
	}
	for level := 0; len(b.next) > 0 && level < limit; level++ {
		from := len(b.links)
		full, err := b.take(r)
		if err != nil {
			return err
		}
		if b.plan == nil && full {
			return nil // a plan is for the stripes, and what these links release needs none
		}
		if err := b.release(r, b.links[from:]); err != nil || full {
			return err
		}
	}
	return nil
}

// take takes the links of the holders in next. full reports that the batch has no room for more.
func (b *dropBatch) take(r *kv.Reader) (full bool, err error) {
	for len(b.next) > 0 {
		last := len(b.next) - 1
		h := b.next[last]
		got := taking{holder: h, from: len(b.links)}
		if b.plan == nil {
			got.more, err = b.readLinks(r, h)
		} else {
			of, known := b.plan.of[h]
			b.add(b.plan.links[of.from:of.to]...)
			got.more = !known || of.more
		}
		if err != nil {
			return false, err
		}
		got.to = len(b.links)
		b.taken = append(b.taken, got)
		b.of[h] = got
		if got.more {
			return true, nil
		}
		b.next = b.next[:last]
	}
	return false, nil
}

// readLinks takes as many links of a holder as there is room for.
func (b *dropBatch) readLinks(r *kv.Reader, h graph.Holder) (more bool, err error) {
	err = r.Scan(kv.Span{Prefix: linksFrom(h)}, func(key, value []byte) (bool, error) {
		if more = len(b.links) == dropsPerBatch; more {
			return false, nil
		}
		l, err := splitLinkFrom(key, value)
		l.Hash = slices.Clone(l.Hash)
		b.add(l)
		return true, err
	})
	return more, err
}

func (b *dropBatch) add(links ...graph.Link) {
	for _, l := range links {
		b.links = append(b.links, l)
		if mayLink(l.Codec) {
			b.going[string(linkToKey(l))] = struct{}{}
		}
	}
}

// release looks at the nodes that some links of the batch lead to, and releases those to which
// no other link leads.
func (b *dropBatch) release(r *kv.Reader, links []graph.Link) error {
	looked := make(map[string]struct{}, len(links))
	for _, l := range links {
		if !mayLink(l.Codec) {
			continue
		}
		to := linksTo(l.Hash, l.Codec)
		if _, twice := looked[string(to)]; twice {
			continue
		}
		looked[string(to)] = struct{}{}
		held, err := b.s.drops.held(r, to, b.going)
		if err != nil {
			return err
		}
		if held {
			continue
		}
		nodes, err := b.nodesOf(r, l.DAG(), to)
		if err != nil {
			return err
		}
		b.released = append(b.released, nodes...)
		for _, n := range nodes {
			if len(b.next) < maxAhead {
				b.next = append(b.next, n.ID)
			} else {
				b.missed = true
			}
		}
	}
	return nil
}

// nodesOf lists the nodes of a block, to which nothing links any more.
func (b *dropBatch) nodesOf(r *kv.Reader, d pin.DAG, to []byte) (nodes []graph.Node, err error) {
	if b.plan != nil {
		if nodes, known := b.plan.nodes[string(to)]; known {
			return nodes, nil
		}
	}
	err = eachNode(r, d, func(id graph.Holder, a pin.Attempt) bool {
		nodes = append(nodes, graph.Node{ID: id, DAG: d, Attempt: a})
		return true
	})
	b.nodes[string(to)] = nodes
	return nodes, err
}

// errCut is the error of a batch that a test cuts off.
var errCut = errors.New("cut off")

// write makes the batch durable.
func (b *dropBatch) write() error {
	changes := b.changes()
	if len(changes) == 0 {
		return nil
	}
	var cut error
	if b.s.drops.cut != nil {
		if n := b.s.drops.cut(len(changes)); n < len(changes) {
			changes, cut = changes[:n], errCut
		}
	}
	wb := b.s.kv.NewBatch()
	defer wb.Cancel()
	if err := fillChanges(wb, changes); err != nil {
		return err
	}
	return errors.Join(wb.Flush(), cut)
}

// keyChange is a write with its key.
type keyChange struct {
	key []byte
	kv.Write
}

// changes lists what is to be written. The order is such that it may be cut off after any of
// them, and be done again.
//
//   - First the marks that nodes are whole: nothing may rely on a node of which a part is gone.
//   - A node whose links are left for a later batch is marked as released before its records go.
//   - The other nodes go from the bottom up, each after its own links and before the links to it.
//     So what is left is found again from above, and they need no marks.
//   - The holder's side of a link goes last: links are found by it.
func (b *dropBatch) changes() []keyChange {
	all := make([]keyChange, 0, 4*len(b.released)+3*len(b.links)+len(b.taken))
	set := func(key, value []byte) { all = append(all, keyChange{key, kv.Write{Value: value}}) }
	del := func(key []byte) { all = append(all, keyChange{key, kv.Write{Deleted: true}}) }
	leave := func(n graph.Node) { del(nodeKey(n.ID)); del(nodesKey(n)) }
	nodes := make(map[graph.Holder]graph.Node, len(b.released))
	for _, n := range b.released {
		nodes[n.ID] = n
		del(WholeKey(n.ID))
	}
	for _, n := range b.released {
		if got, taken := b.of[n.ID]; !taken || got.more {
			set(releasedKey(n.ID), nil)
			leave(n)
		}
	}
	for _, got := range slices.Backward(b.taken) {
		for _, l := range b.links[got.from:got.to] {
			set(looseKey(l.Hash), encodeSize(l.Size))
			del(linkToKey(l))
			del(linkFromKey(l))
		}
		if n, here := nodes[got.holder]; got.more || got.holder == b.attempt {
			continue
		} else if here {
			leave(n)
		} else {
			del(releasedKey(got.holder))
		}
	}
	return all
}

// fillChanges puts changes into a batch.
func fillChanges(wb *kv.Batch, changes []keyChange) error {
	for _, c := range changes {
		var err error
		if c.Deleted {
			err = wb.Delete(c.key)
		} else {
			err = wb.Set(c.key, c.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
