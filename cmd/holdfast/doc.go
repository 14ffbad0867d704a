// Command holdfast is an IPFS pinning server and the commands that manage it.
//
// This package has the commands and nothing else: their arguments, their questions, and
// what they print. Package daemon has the server, package config has what can be set, and
// package datadir has the data directory.
//
// While a server runs, the commands speak to it over a Unix socket in the data directory.
// While none runs, they serve the same API to themselves over a pipe. So there is one code
// path ([daemon.Connect], package admin).
//
// # Files
//
// Each command has a file, cmd_NAME.go, as people look for it by its name. What several of them
// share is in cli.go, prompt.go, rpc_door.go (how a command reaches Kubo's RPC) and the files
// that end in _display.go (what is shown while something goes on).
package main
