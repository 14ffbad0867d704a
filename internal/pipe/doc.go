// Package pipe has listeners within a process, for a server that is its own client.
package pipe
