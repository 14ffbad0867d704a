// Package daemon puts a server together from its parts: [Program], which main and tests
// start. It also gives commands a client for the server, or for the store itself while no
// server runs: [Connect]. No other package knows all parts.
//
// # Files
//
// There are many, as each joins one part to the others: http_rpc.go the RPC, http_web.go the
// dashboard, backups.go and restore.go the backups, and so on. They share [Program] and what it
// opened, and none of them knows another, apart from program.go, which starts them all.
package daemon
