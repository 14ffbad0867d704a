// Package node is Holdfast's place in the IPFS network: a libp2p host, Bitswap,
// the DHT, and the part that brings whole DAGs to disk. With its store it is a [pin.Engine].
//
// # Its parts
//
// [Node.Fetch] runs a walk of package walk, which finds what is on disk and asks a
// session of package exchange for the rest. Meanwhile origins are dialled. Neither package
// knows libp2p's host. The Bitswap server is boxo's.
//
// # What is trusted
//
// A block from the network is matched to its want by the hash that is computed from
// its bytes: a wrong block is never the answer to anything. A block found on disk
// counts as present only if it is there after the link to it is durable. Nothing that
// asks or serves can write to the block store. The walk alone stores blocks, in batches,
// after the links to them. A block is served only after that.
//
// # Peers it speaks to
//
// With routing "none" the node sends nothing to anybody but the origins of the
// pins it fetches and the peers of its peering, and answers peers that connect to
// it. With "auto" it is part of the DHT. It joins that by its bootstrap peers and by
// peers of its last run. Package find looks for providers in the DHT and elsewhere,
// package provide announces what is pinned. Package guard decides which addresses are
// dialled: private ones only if the configuration allows it, or if an origin is where its
// request came from. Connections that come in are welcome from anywhere.
//
// It listens and dials by TCP, QUIC, WebTransport, WebRTC-direct and WebSocket, and gives
// clients an address of each kind ([Node.Delegates]).
//
// With routing the node also makes itself reachable ([Reach]). It asks its router to
// forward a port, and peers whether they can dial it. While they cannot, relays forward
// connections to it, which it makes direct. Bitswap is spoken over direct connections
// alone. With a swarm key ([Config.SwarmKeyFile]) it speaks only to peers that have the
// same key.
//
// # What it gives to others
//
// Blocks that a pin holds, complete or being fetched, and that are not on the denylist:
// over Bitswap, and by [Node.Served]. A DAG with a denied block is not fetched. If a block
// is denied while its DAG is fetched, the fetch is given up. A DAG that was pinned before
// is repaired all the same.
//
// # What peers may take
//
// [Limits] bound the memory, files and connections of all peers together, and what one
// peer may ask of the Bitswap server. A peer that asks for blocks and does not take them is
// cut off, sooner if others wait for theirs. The records that the node keeps for others as
// a server of the DHT are bounded, too.
//
// # What it counts
//
// [Node.Stats] has, in plain numbers, what the walks and the server did. libp2p registers
// its own counters with [Config.Metrics].
//
// # Files
//
// There are many since the host, the Bitswap server and the routing are joined here: each
// is set up from the same [Config], and none is of use alone. What stands by itself is in
// packages below.

package node
