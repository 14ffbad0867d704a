// Package service has no code. Its module pins the version of ipfs-cluster that the tests and
// benchmarks run, apart from the module of Kubo: the two need other versions of the same libraries.
package service
