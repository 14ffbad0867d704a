// Package walk brings one DAG to disk: it finds what is there, asks for the rest,
// and holds each block before it trusts that it is there.
//
// # The order
//
// A walk goes down before it goes on: what hangs on one node is finished before its
// next sibling is begun, as far as there is enough to ask for. Of each node on the
// way it keeps a place in its links, and the links themselves only near the top; so
// what it has before it stays small on wide DAGs and on deep ones.
//
// # What holds what
//
// The attempt holds the root, and each node with links holds the blocks that it
// links to (see [graph.Holder]). A link is written before the presence of its block
// is trusted, or with the block. A node is whole once all that is below it is
// durable; that is written down too, so that this walk, if it is interrupted, and
// others, if they come to the same node, pass it over. What such a node holds is
// not read again, and what is below it need not be fetched or written: pinning a
// new version of a large DAG costs what is new.
//
// # Memory
//
// A walk remembers each block that it has seen, in a [seen.Set], of which most is on
// disk if there are many. Of nodes that are not whole yet it keeps a bounded number; of
// others only their numbers, and it marks them when all is done. All walks that have
// something to do divide memory among them ([Share]).
//
// # Codecs
//
// A node of a DAG is a block read under a codec: the same bytes read as raw are one
// block, read as dag-pb a whole tree. Storage knows the multihash alone. So for each
// multihash the walk remembers which codecs it was read under, and asks for, counts
// and stores the bytes once.
package walk
