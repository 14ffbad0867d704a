// Package pipe is a network listener within the process, for a client and a server in the same
// process.
package pipe
