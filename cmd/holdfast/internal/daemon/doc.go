// Package daemon puts a server together from its parts: [Program], which main and tests
// start. It also gives commands a client for the server, or for the store itself while no
// server runs: [Connect]. No other package knows all parts.
//
// # Files
//
// Each joins one part to the others: http_rpc.go the RPC, http_web.go the dashboard, and so on.
// None of them knows another, apart from program.go, which starts them all.
package daemon
