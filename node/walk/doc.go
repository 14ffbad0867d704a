// Package walk brings one DAG to disk. It finds what is there, asks for the rest, and
// holds each block before it trusts that the block is there.
//
// # The order
//
// A walk goes down first: it finishes what is below a node before it begins the node's
// next sibling, as long as there is enough to ask for. Of each node on the way it keeps
// its place in the node's links, and near the top the links themselves. So what it
// keeps stays small on wide DAGs and on deep ones.
//
// # What holds what
//
// The attempt holds the root, and each node with links holds the blocks that it links
// to (see [graph.Holder]). A link is written before the walk trusts that the block is on
// disk, or together with the block. A node is whole once everything below it is durable.
// That is written down too. So this walk passes the node over if it is interrupted and
// runs again, and other walks pass it over if they come to the same node: they neither
// read nor fetch nor write what is below it. Pinning a new version of a large DAG costs
// what is new.
//
// # Memory
//
// A walk remembers each block that it has seen, in a [seen.Set], most of which is on
// disk if there are many. It tracks a bounded number of nodes that are not whole yet. Of
// all others it keeps only the number, and marks them at the end. All walks that have
// something to do divide memory among them ([Share]). A block that came stays with the
// session that asked for it until the walk has a worker.
//
// # Codecs
//
// A node of a DAG is a block read under a codec: the same bytes read as raw are one
// block, read as dag-pb a whole tree. Storage knows the multihash alone. So for each
// multihash the walk remembers under which codecs it was read, and asks for, counts and
// stores the bytes once. Package links reads the links. A block with a link that cannot
// be followed fails the walk when it is read.
package walk
