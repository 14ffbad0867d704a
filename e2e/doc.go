// Package e2e shows that Holdfast does its job for a real Kubo. It drives the
// real ipfs binary against the real holdfast binary, on loopback alone, and
// imports nothing of either: what it knows of Holdfast is its commands, its
// files and its HTTP API.
//
// It is a module of its own so that Kubo, which it pins as a tool, stays out
// of what Holdfast is built from. The first run builds Kubo, which takes some
// minutes; the result is kept. A Kubo that cannot be built fails the tests.
//
// Package rig has what the cases and the benchmark share: processes, clients
// and content. `go test -race` also builds Holdfast with the race detector.
package e2e
