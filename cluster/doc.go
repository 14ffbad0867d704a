// Package cluster drives an ipfs-cluster as the place where DAGs are kept: an [Engine] is a
// [pin.Engine] over the REST API of the unmodified ipfs-cluster v1.1.6. Nothing of that program
// is imported. docs/cluster.md says how an operator sets it up.
//
// # Who knows what
//
// The records of this server are the truth. The cluster's pinset is what it was asked to keep,
// and its nodes have the blocks. Each of them may be behind, and the cluster loses what it
// acknowledged when a peer is killed before it has written its batch. So nothing counts as done
// because a peer acknowledged it:
//
//   - A DAG is pinned once enough peers say each for itself that their node has it, and that they
//     know it under the attempt of this request. The attempt is in the metadata of the pin.
//   - A DAG is let go of once the pinset does not have it. The records remember until then that
//     it is to be let go of.
//   - [Engine.Check] compares records, pinset and nodes, and mends each difference.
//
// # Uploads
//
// What a client uploads is kept in this server's store under an attempt of its own ([Staging]) until its
// request is pinned. Fetch sends it to the node of one peer before it asks for the pin: without a pin, so that
// nothing is in the pinset without a request.
//
// # Peers that do not answer
//
// Each peer is asked alone, for what it knows by itself. The cluster's own answers for all peers
// wait 15 s for one that hangs. A peer that does not answer in time is away until a look in the
// background finds that it answers again, so that it costs each pin at most one wait. So is one whose
// node does not answer it, as it says itself.
//
// # Metadata
//
// Of each pin the pinset has, under keys that begin with "holdfast-": which server asked for it,
// under which attempt, and for which requests of which accounts. A pin that others made keeps
// their name, metadata and replication, and goes back to those when it is let go of.
//
// # Files
//
// One thing a file: what peers and nodes are asked (peer, looks, node, wire, bounds), what becomes of a DAG (fetch,
// copies, drop, drain, stage), and what a check compares and mends (check, compare, mend, forgotten). All of them
// work on the same [Engine], so that they are one package.
package cluster
