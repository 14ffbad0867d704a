// Package provide announces to the network what is pinned.
//
// A provider record in the DHT lives for 48 hours, so what is pinned has to be announced again
// and again. kad-dht's sweeping provider does that. It goes through the key space within
// [Config].Interval, region by region, and sends all keys of a region to the peers that are
// responsible for it. That costs far less than looking for those peers key by key. This
// package decides which keys are announced, and remembers for each root when it was.
//
// # What is announced
//
// [Config].Strategy says which keys of a DAG are announced: its root; the roots of files and
// directories in it, too; or every block. The root is announced at once when the DAG is
// complete. Other keys are found by walking the DAG on disk, in the background, one DAG after
// the other.
//
// What is not pinned any more leaves the schedule, and its records expire. A root leaves at
// once. A block below a root may be part of other DAGs. It leaves when its turn comes and
// nothing holds the block.
//
// A network may stand in for another one of which no peer can be reached ([Network].Counts).
// What was announced in it counts as announced as long as it stands in, and is announced in
// the other one when that is back.
//
// # What is on disk
//
// Under prefixes of the datastore that it is given:
//
//	/self          the peer that provided
//	/strategy      the strategy by which the keys were chosen
//	/keys/...      every key that is announced, by its place in the key space
//	/roots/HASH    a root: since when it is due, when it was announced, when that was
//	               in a stand-in, its codecs
//	/NETWORK/...   of each network: which region was announced when, and what waits
//
// The pins say what has to be announced, and all of this may lag behind. At the start both
// are compared, and what differs is announced or withdrawn. Then the sweep goes on where it
// was.
package provide
