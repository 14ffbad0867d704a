// Package cluster tests Holdfast with the real ipfs-cluster, beneath its peers and in front of them:
// real processes on loopback, with Kubos as sources and as nodes beside Holdfasts. The tests take
// minutes, and have the build tag cluster: `make test-cluster`.
package cluster
