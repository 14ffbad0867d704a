// Package admin is the API by which an operator runs a server: its wire types, the
// handlers, and a client in Go, which the commands use.
package admin
