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

// hashOf gives a CID's multihash as a substring of the CID, which takes no memory.
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

// item is a node of the DAG, from when the walk comes to it until all of it is durable.
type item struct {
	key
	cid     cid.Cid
	depth   uint64 // links from the root
	size    int    // once its bytes are here
	counted bool
	// parents are the tracked nodes that link to the item and wait for it. holders are
	// nodes that are not tracked; their links to it are written once it is held.
	parents []*item
	holders []graph.Holder
	held    bool // the links to it are written, or about to be
	passed  bool // it is whole already, so the walk does not go below it

	// What follows is for nodes with links; id is 0 for others.
	id      graph.Holder
	inlined bool // it has no block of its own; its parent holds what it links to
	links   []cid.Cid
	next    int  // the first link that was not visited
	count   int  // how many links there are, also while they are not in memory
	tracked bool // the walk notices when it is whole, and settles its parents
	// pending counts what has to be durable before the item is whole: the item itself,
	// each link that was visited and what it leads to, and one while some links were
	// not visited.
	pending int
}

// dag is the item as the store knows it.
func (it *item) dag() pin.DAG { return pin.DAGOf(it.cid) }

func (it *item) isNode() bool { return it.id != 0 }

// link gives the link from a holder to the item, to be written.
func (it *item) link(from graph.Holder) graph.Link {
	return graph.Link{
		Holder: from,
		Ref:    graph.Ref{Hash: multihash.Multihash(it.hash), Size: it.size},
		Codec:  it.cid.Type(),
	}
}

// attach notes that a node links to an item that is not whole yet. It is called once for
// each pair, since a node's links are distinct.
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

// hold has all links to an item written: together with its bytes if they were received,
// and before the walk looks for them again if they were on disk.
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

// leave forgets who waits for an item.
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

// settle takes one off what an item waits for.
func (w *walk) settle(it *item) {
	if it.pending--; it.pending == 0 {
		w.whole(it)
	}
}

// whole notes that an item and everything below it are durable, and settles its parents.
func (w *walk) whole(it *item) {
	for todo := []*item{it}; len(todo) > 0; {
		it := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !it.inlined {
			delete(w.open, it.key)
			if it.isNode() && !it.passed {
				w.tracking--
				if it != w.top { // which finish marks
					w.writer.whole(it.id)
				}
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
