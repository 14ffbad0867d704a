// Package datadir is the data directory as one process uses it: which it is, its lock,
// the names of what is in it, and whose keys it had.
package datadir
