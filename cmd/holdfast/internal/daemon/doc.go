// Package daemon puts a server together from its parts: [Program], which main and tests
// start. It also gives commands a client for the server, or for the store itself while no
// server runs: [Connect]. No other package knows all parts.
package daemon
