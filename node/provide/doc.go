// Package provide tells the network what is pinned.
//
// A provider record in the DHT lives for 48 hours, so what is pinned has to be
// told again and again. kad-dht's sweeping provider does that: it goes through
// the key space within [Config].Interval, region by region, and sends all keys of
// a region to the peers that are responsible for it, which costs far less than to
// look for those peers key by key. This package decides which keys those are, and
// remembers of each root whether it was told and when.
//
// # What is told
//
// [Config].Strategy says what of a DAG is: its root; the roots of the files and
// directories in it too; or every block. The root is told at once when the DAG is
// complete. What a strategy takes beyond that is found by walking the DAG on
// disk, in the background, one DAG after the other.
//
// What is not pinned any more leaves the schedule; its records run out by
// themselves. A root leaves at once. A block below a root may be part of other
// DAGs as well: it is left out, and forgotten, when its turn comes and its block
// is gone from disk, where a reclaim leaves only what is pinned.
//
// A network may stand in for another while nobody of that can be reached
// ([Network].Counts). What it was told counts as told for so long, and is told to
// the other when that is back.
//
// # What is on disk
//
// Under prefixes of the datastore that it is given:
//
//	/self          the peer that provided
//	/strategy      the strategy by which the keys were chosen
//	/keys/...      every key that is told, by its place in the key space
//	/roots/HASH    a root: since when it is due, when it was told, when a stand-in
//	               was, its codecs
//	/NETWORK/...   of each network: which region was told when, what waits
//
// The pins themselves say what is due, so that all of this may lag behind: at
// start both are compared, and what differs is told or withdrawn. After that a
// sweep goes on where it was.
package provide
