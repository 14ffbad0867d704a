// Package pin says what a pin is and how it moves. It knows nothing of HTTP,
// Badger or libp2p: it declares the small interfaces that it needs of them
// ([Records], [Fetcher]) and they are handed to [New].
//
// # Words
//
// A request is what a client made with POST /pins: a CID, a name, some
// metadata, and an id of its own. A DAG is what a CID names: its codec and its
// multihash together, so that v0 and v1 of one CID are one DAG, and the same
// bytes read as raw and as dag-pb are two. Any number of requests, of any
// number of accounts, may want one DAG; it is fetched and stored once.
//
// An attempt is one try at having a DAG on disk. It has an id that is never
// used again, and what it holds is written under that id. Unpinning a
// DAG and pinning it again makes a new attempt, so that clearing up after the
// first can never touch the second.
//
// # The life of a request
//
//	Add -> queued -> pinning -> pinned
//	                         -> failed -> (retry) queued
//
// A request is [Pinned] only once every block of its DAG is on disk, checked
// against its hash, and durable against power loss; then, and only then, is
// its DAG marked complete. A request for a DAG that is complete already is
// pinned from the start.
//
// # Seeking, fetching, parked
//
// A DAG that has received nothing yet costs almost nothing: one want that is
// open in Bitswap. So it takes no worker; it takes one of [Config.Seekers]
// places, many, and asks for a worker only when its first block has come. When
// there are more DAGs that nobody has than places, they take turns, by the rules of
// package turns: what was asked for last is tried at once, and what waited longest all
// the same. That is why a million dead CIDs do not delay the next live one.
//
// Of those that wait for their first turn the oldest and the newest of each account are
// in memory; others stay [Queued] on disk until their turn comes. Those that wait for
// another turn are parked. Of an account [Config.Window] of them are in memory; others
// are put off: they stay [Pinning] on disk until there is room for them.
//
// A DAG that has a worker and receives nothing for [Config.IdleTimeout] gives
// the worker back and goes on seeking; with nothing new for
// [Config.StallTimeout] its requests fail, with the reason. Time in which the process
// did not run counts for neither.
//
// # Repair
//
// A DAG that was complete and in which a block is found damaged or missing is
// fetched again under the attempt that it has. Its requests are [Pinning]
// meanwhile, however long that takes, and never fail: they have had what they
// asked for, so no limit, quota or denylist is asked again, and what is still
// there is held.
//
// # Files
//
// One [Manager] has most of them, since a request, its job and its place change under one
// lock. What can be told apart from that, who may have which place, is package turns.

package pin
