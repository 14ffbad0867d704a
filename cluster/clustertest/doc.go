// Package clustertest is a cluster in memory for tests: peers with a REST API, and their nodes with
// an RPC, that do what the real ones were seen to do. What is written appears in the pinset with
// the next batch, and is lost with the peer that took it if that is killed before. A peer may hang
// or be away. An unpin that a node refuses is never tried again.
package clustertest
