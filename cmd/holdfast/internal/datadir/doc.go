// Package datadir is the data directory as one process uses it: where it is, its lock, the
// names of its files, and the identities of the keys that it had.
package datadir
