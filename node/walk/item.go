package walk

import (
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// key is a block and one codec that it is read under.
type key struct {
	hash  string // multihash
	codec codecs
}

// hashOf gives a CID's multihash, as a part of the CID's own string.
func hashOf(c cid.Cid) string {
	s := c.KeyString()
	if c.Version() == 0 {
		return s
	}
	i := 1 // the version is one byte, and then comes the codec, a varint
	for s[i] >= 0x80 {
		i++
	}
	return s[i+1:]
}

func keyOf(c cid.Cid) key { return key{hashOf(c), codecOf(c)} }

// item is a node of the DAG from when the walk comes to it until all of it is
// durable.
type item struct {
	key
	cid     cid.Cid
	depth   uint64 // links from the root
	size    int    // once its bytes are here
	counted bool
	// parents are the tracked nodes that link to it and wait for it. holders are the
	// others, which are to be linked to it as soon as it is held.
	parents []*item
	holders []graph.Holder
	held    bool // its links are written, or about to be
	passed  bool // it is whole already: what is below it is not walked

	// What follows is for nodes with links; id is 0 for others.
	id      graph.Holder
	inlined bool // it has no block, and its links are the parent's
	links   []cid.Cid
	next    int  // of the links, the first that was not visited
	count   int  // of the links, also while they are not in memory
	tracked bool // it is noted when it is whole, and whoever waits for it too
	// pending is what has to be durable before it is whole: itself, its links that
	// were visited and what they lead to; and one while some were not visited.
	pending int
}

// dag is the item as what it is to the store.
func (it *item) dag() pin.DAG { return pin.DAGOf(it.cid) }

func (it *item) isNode() bool { return it.id != 0 }

// link is one that is to be written.
func (it *item) link(from graph.Holder) graph.Link {
	return graph.Link{
		Holder: from,
		Ref:    graph.Ref{Hash: multihash.Multihash(it.hash), Size: it.size},
		Codec:  it.cid.Type(),
	}
}

// attach notes that a node links to an item that is not whole yet. It does so once, as
// links are distinct.
func (w *walk) attach(parent, it *item) {
	if it.held {
		w.writer.link(parent, it)
	}
	switch {
	case parent.tracked:
		parent.pending++
		it.parents = append(it.parents, parent)
		w.waits++
	case !it.held:
		it.holders = append(it.holders, parent.id)
		w.late++
	}
}

// hold has the links to an item written, with the item's bytes or before they are
// looked for again.
func (w *walk) hold(it *item) {
	it.held = true
	for _, p := range it.parents {
		w.writer.link(p, it)
	}
	for _, h := range it.holders {
		w.writer.linkFrom(h, it)
	}
	w.late -= len(it.holders)
	it.holders = nil
}

// leave lets go of those that wait for an item.
func (w *walk) leave(it *item) {
	w.waits -= len(it.parents)
	it.parents = nil
}

// landed notes that an item itself is durable.
func (w *walk) landed(it *item) {
	switch {
	case !it.isNode(), it.passed:
		w.whole(it)
	case it.tracked:
		w.settle(it)
	}
}

// settle takes one from what an item waits for.
func (w *walk) settle(it *item) {
	if it.pending--; it.pending == 0 {
		w.whole(it)
	}
}

// whole notes that an item and all below it is durable, and tells those above.
func (w *walk) whole(it *item) {
	for todo := []*item{it}; len(todo) > 0; {
		it := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !it.inlined {
			delete(w.open, it.key)
			if it.isNode() && !it.passed {
				w.tracking--
				w.writer.whole(it.id)
			}
		}
		for _, p := range it.parents {
			if p.pending--; p.pending == 0 {
				todo = append(todo, p)
			}
		}
		w.leave(it)
	}
}
