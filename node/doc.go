// Package node is Holdfast's place in the IPFS network: a libp2p host, a
// Bitswap client and server over the block store, routing, and the walk that
// brings whole DAGs to disk. It implements [pin.Fetcher].
//
// # The walk
//
// [Node.Fetch] walks a DAG from its root. It keeps hundreds of wants open at
// a time, since a Bitswap client sends a peer a message no more often than
// every 20 ms, and what is asked in one message is the whole speed. The number
// starts small and grows with every block that comes, as long as answers come
// quickly.
//
// A node of a DAG is its codec and its multihash: the same bytes read as raw
// are one block, read as dag-pb a whole tree. Storage knows the multihash
// alone. So the walk remembers for each multihash which codecs it was read
// under, and asks for, counts and stores the bytes once.
//
// # What is trusted
//
// A block from the network is matched to its want by the hash that Bitswap
// computes from its bytes: a wrong block is never the answer to anything. A
// block found on disk is hashed again, and counts as present only if it is
// there after the attempt's reference to it is durable. The Bitswap client
// cannot write to the block store: all that is stored is stored by the walk,
// reference first, in batches, and is served only after that.
//
// # Whom it speaks to
//
// With routing "none" the node sends nothing to anybody but the origins of the
// pins it fetches, and answers those who connect to it. Private addresses are
// not dialled unless the configuration allows it, as package guard decides;
// connections that come in are welcome from anywhere.
//
// # What it gives to others
//
// Blocks that a pin holds, complete or being fetched, and that the denylist does
// not have: by Bitswap, and to who asks [Node.Served]. A DAG with a denied block
// is not fetched, and one that becomes denied on the way is given up.
package node
