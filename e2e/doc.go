// Package e2e tests Holdfast with a real Kubo. It runs the real ipfs binary against the real
// holdfast binary, on loopback only. It imports nothing of either: it knows Holdfast by its
// commands, its files and its HTTP API.
//
// It is its own module, so that Holdfast itself does not depend on Kubo, which go.mod here
// pins as a tool. The first run builds Kubo, which takes some minutes; the result is kept. If
// Kubo cannot be built, the tests fail.
//
// Package rig has what the tests and the benchmark share: processes, clients and content.
// `go test -race` also builds Holdfast with the race detector.
package e2e
