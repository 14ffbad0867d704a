// Package daemon puts a server together, as a value that main and tests both start
// ([Program]), and what a command uses in its place while no server runs ([Connect]).
// It alone knows all of the parts, and holds what lies between them.
package daemon
