// Package graph has the words of those who write down what holds which block, and
// of those who find it out: a walk and a store. Package pin needs none of them.
package graph

import (
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Holder identifies what holds blocks: an attempt, which holds the root of its
// DAG, or a node of a DAG as one attempt read it, which holds the blocks that the
// node links to. Both are numbered alike, and no number is used twice in the life
// of a data directory. Zero is none.
type Holder uint64

// HolderOf is an attempt as what holds the root of its DAG.
func HolderOf(a pin.Attempt) Holder { return Holder(a) }

// Ref is a block that something holds.
type Ref struct {
	Hash multihash.Multihash
	Size int // of the block's data, in bytes
}

// Block is a block's bytes and the hash that they have.
type Block struct {
	Hash multihash.Multihash
	Data []byte
}

// Link is a reference: the holder needs a block, to be read under a codec. The
// same block under two codecs is two links.
type Link struct {
	Holder Holder
	Ref
	Codec uint64 // multicodec, such as [cid.Raw]
}

// Node is a block with links of its own, as one attempt reads it. What it links
// to is held by ID.
type Node struct {
	ID      Holder
	DAG     pin.DAG // the block and the codec that it is read under
	Attempt pin.Attempt
}

// DAG gives what the link names: a block together with the codec it is read
// under.
func (l Link) DAG() pin.DAG { return pin.DAGOf(cid.NewCidV1(l.Codec, l.Hash)) }

// Batch is what a walk makes durable at a time, in this order; but a node is written
// before what it holds.
type Batch struct {
	// Links are in an order in which a link to a node is before those from it, unless
	// it is in an earlier batch.
	Links  []Link
	Nodes  []Node
	Blocks []Block // each of which is linked to, here or in an earlier batch
	// Whole are the nodes of which all that is below is durable: by earlier
	// batches, or by what comes before in this one.
	Whole []Holder
	// Limits are those that what is below them was held to.
	Limits pin.Limits
}

// Empty reports whether there is nothing to write.
func (b *Batch) Empty() bool {
	return len(b.Links) == 0 && len(b.Nodes) == 0 && len(b.Blocks) == 0 && len(b.Whole) == 0
}

// Known is what a walk knows of a DAG of which it passed over some nodes, as they
// were whole; from that the totals can follow.
type Known struct {
	Attempt pin.Attempt // all of its links are durable
	Passed  []pin.DAG   // nodes that were passed over; what is below them was not walked
	Others  []Ref       // all other blocks, each once
	// Walked reports whether a node was walked or passed over, and Seen whether a
	// block was, under any codec.
	Walked func(d pin.DAG) bool
	Seen   func(r Ref) bool
}

// Above is what a block is a part of.
type Above struct {
	DAGs  []pin.DAG // that are pinned or being fetched
	Nodes []pin.DAG // below the roots of those, the roots among them if they are known as nodes
}
