// Package node is Holdfast's place in the IPFS network: a libp2p host, Bitswap,
// the DHT, and what brings whole DAGs to disk. With its store it is a [pin.Engine].
//
// # Its parts
//
// [Node.Fetch] runs a walk of package walk, which finds what is on disk and asks a
// session of package exchange for the rest; origins are dialled meanwhile. Both know
// nothing of libp2p's host. The Bitswap server is boxo's.
//
// # What is trusted
//
// A block from the network is matched to its want by the hash that is computed from
// its bytes: a wrong block is never the answer to anything. A block found on disk
// counts as present only if it is there after the link to it is durable. Nothing that
// asks or serves can write to the block store: all that is stored is stored by the
// walk, the link first, in batches, and is served only after that.
//
// # Whom it speaks to
//
// With routing "none" the node sends nothing to anybody but the origins of the
// pins it fetches and the peers of its peering, and answers those who connect to
// it. With "auto" it is part of the DHT, which it joins by its bootstrap peers and
// by those of its last run. Package find has who is asked for providers beside it,
// package provide what the DHT is told. Private addresses are not dialled unless
// the configuration allows it, as package guard decides; connections that come in
// are welcome from anywhere.
//
// It listens and dials by TCP, QUIC, WebTransport, WebRTC-direct and WebSocket, and gives
// clients an address of each kind ([Node.Delegates]).
//
// With routing it also sees to it that others reach it ([Reach]): it asks its
// router to forward a port, asks peers whether they can dial it, and while they
// cannot is reached by relays, whose connections it makes direct. Bitswap is
// spoken by direct connections alone. With a swarm key ([Config.SwarmKeyFile])
// it speaks only to those who have the same one.
//
// # What it gives to others
//
// Blocks that a pin holds, complete or being fetched, and that the denylist does
// not have: by Bitswap, and to who asks [Node.Served]. A DAG with a denied block
// is not fetched, and one that becomes denied on the way is given up; but one that was
// pinned is repaired with it.
//
// # What peers may take
//
// [Limits] bound the memory, files and connections of all of them together, and
// what one may ask of the Bitswap server. A peer that asks for blocks and does
// not take them is cut off: sooner when others wait to be sent something. Of the
// records that a server of the DHT keeps for others there are so many at most.
//
// # What it counts
//
// [Node.Stats] tells, in plain numbers, what the walks and the server did. What
// libp2p counts it registers itself, with [Config.Metrics].
//
// # Files
//
// There are many since the host, the Bitswap server and the routing are joined here: each
// is set up from the same [Config], and none is of use alone. What stands by itself is in
// packages below.

package node
