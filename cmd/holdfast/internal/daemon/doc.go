// Package daemon puts a server together from its parts: [Program], which main and tests
// start. It also gives commands a client for the server, or for the store itself while no
// server runs: [Connect]. No other package knows all parts.
//
// # Files
//
// There are many, as each part that is put together has one: the HTTP servers, the node, the
// probes, the log, backups and the two kinds of restore. They share [Program] and what it opened.
package daemon
