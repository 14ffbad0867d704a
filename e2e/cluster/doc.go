// Package cluster tests Holdfast with the real ipfs-cluster, beneath its peers and in front of them:
// real processes on loopback, with Kubos as sources and as nodes beside Holdfasts. The tests take
// minutes, and have the build tag cluster: `make test-cluster`.
//
// With -mixed the last of three nodes is a Kubo. TestMonth has all kinds of faults at random: -month-seed
// repeats a run, and `make month` is the long form.
//
// TestFrontIsAService and TestFrontComplies run tests of package e2e and of the module in ../clients with
// a front in the place of a single Holdfast.
//
// CI runs a part, `make test-cluster-short`: calls, copies, refusals, a node that is killed, moves, unpins
// while a peer is down or a node refuses, a front that is killed, and a front as a service. The rest of
// what is tested here it shows without ipfs-cluster:
//
//   - that the calls which TestCalls finds the peers to make are answered as a Kubo answers them:
//     TestNodeOfACluster and TestRPCTable of package e2e, with a real Kubo
//   - what a node does with them, such as that a failure is never taken for a success, that what was
//     unpinned lingers, and that a pin goes on after a crash: packages rpc, pin and store
//   - what a front does, over the cluster in memory of package cluster/clustertest: pins in all copies,
//     moves, unpins while peers and nodes are away or refuse, acknowledged pins that are lost; and all
//     of that at random against a model: package cluster
//   - that the API of a front is that of one machine: package cmd/holdfast/internal/daemon
package cluster
