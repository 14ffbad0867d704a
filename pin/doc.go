// Package pin says what a pin is and how it moves. It knows nothing of HTTP, Badger or
// libp2p. It declares what it needs of others, and [New] is given that: [Records], which
// keeps requests, and an [Engine], which keeps DAGs.
//
// # Words
//
// A request is what a client made with POST /pins: a CID, a name, some
// metadata, and an id of its own. A DAG is what a CID names: its codec and its
// multihash together, so that v0 and v1 of one CID are one DAG, and the same
// bytes read as raw and as dag-pb are two. Any number of requests, of any
// number of accounts, may want one DAG; it is fetched and stored once.
//
// An attempt is one try at having a DAG. It has an id that is never used again, and the
// engine writes down under that id what it holds. Unpinning a DAG and pinning it again
// makes a new attempt, so that dropping the first can never touch the second.
//
// # The life of a request
//
//	Add -> queued -> pinning -> pinned
//	                         -> failed -> (retry) queued
//
// A request is [Pinned] only after every block of its DAG is at its place, checked against
// its hash, and durable against power loss; only then the DAG is marked complete. A
// request for a DAG that is complete already is pinned from the start.
//
// # The parts of a manager
//
// The methods of [Manager] are what clients call. A scheduler has a job for each DAG that
// waits, gives jobs places and runs them. Drops let go of what was released. Gates keep a
// DAG from being fetched while it is taken back that it is complete. A watch ends fetches
// that exceed a quota. A keeper looks after what came of DAGs whose source went away, and graces
// after what nothing holds any more or yet. Each of them has a lock of its own.
//
// # Seeking, fetching, parked
//
// A DAG that has received nothing yet costs almost nothing: one open want in Bitswap. So
// it takes no worker. It takes one of [Config.Seekers] places, which are many, and asks
// for a worker only when its first block has come. When there are more such DAGs than
// places they take turns, by the rules of package turns: the newest is tried at once, and
// the oldest keep their turns all the same. That is why a million dead CIDs do not delay
// the next live one.
//
// Of the DAGs that wait for their first turn, the oldest and the newest of each account
// are in memory; the others stay [Queued] on disk until their turn comes. The DAGs that
// wait for another turn are parked: [Config.Window] of each account in memory, and the
// others on disk, where they stay [Pinning] until there is room for them.
//
// A DAG that has a worker and receives nothing for [Config.IdleTimeout] gives the worker
// back and goes on seeking. A DAG of which nothing came for [Config.StallTimeout] fails, with
// the reason. Time in which the process did not run counts for neither.
//
// # Patience
//
// A DAG of which something came keeps it when its source goes away, and waits for
// [Config.KeepPartial] after its last block, through restarts; then it fails. It is tried as
// others are that find no provider. After StallTimeout it makes room in memory for others of
// its account. What is kept stays within the accounts' quotas, and what waits longest gives
// way when the disk is full: then the requests wait on without it.
//
// # Graces
//
// What is removed by [Manager.Remove] is unpinned at once. After [Manager.Unpin], by CID, the DAG
// lingers for [Config.UnpinGrace]: nothing shows it, and a request that comes for it finds it here.
// [Upload.Keep] keeps for [LooseGrace] what no request was made for. Both give way to a full disk
// before anybody is refused, once they are [FullGrace] old: see [Graces].
//
// # Repair
//
// When a block of a complete DAG is found damaged or missing, the DAG is fetched again
// under the attempt that it has. Its requests are [Pinning] meanwhile, however long that
// takes, and never fail: they were accepted before, so no limit, quota or denylist is
// checked again, and what is still there stays held.
//
// # Files
//
// [Manager] has most of them, since a request, its job and its place change under one
// lock. Which job has which place is decided apart from that, in package turns.
package pin
