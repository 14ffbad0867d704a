//go:build cluster

package cluster

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// serviceTests are tests of the package above that ask a server as users and their Kubos do, and not
// where it keeps blocks.
var serviceTests = []string{
	"TestKuboCommands", "TestKuboRemovesMany", "TestServiceStat", "TestBackgroundAdd", "TestKuboLists2500", "TestMFSPolicy",
	"TestWrongToken", "TestRevokedToken", "TestAnotherAccountsRequest", "TestQuotaOfPins", "TestSameCIDManyTimes",
	"TestOriginsThatCannotBeRead", "TestKuboCases",
}

// What a Kubo and others do with a pinning service, they do with a front as with one machine.
func TestFrontIsAService(t *testing.T) {
	w, front := newService(t)
	var addrs []string
	for _, n := range w.nodes {
		addrs = append(addrs, n.addr())
	}
	passes(t, "..", []string{rig.ExtraEnv + "=" + strings.Join(front, "\n"), rig.NodesEnv + "=" + strings.Join(addrs, ",")}, serviceTests)
}

// The compliance suite of the API finds nothing in a front. It needs npm.
func TestFrontComplies(t *testing.T) {
	w, front := newService(t)
	out := passes(t, "../clients", front, []string{"TestCompliance"})
	// It is a delegate of each pin, so that what was tested was a front.
	if peer := w.nodes[0].server.PeerID; !strings.Contains(out, peer) {
		t.Errorf("it does not say %s", peer)
	}
}

// newService is a cluster of three, and the settings of a front over it.
func newService(t *testing.T) (w *world, front []string) {
	t.Helper()
	w = newWorld(t, within(t, 20*time.Minute), 3, peers.Options{Concurrent: 64, BatchSize: 500}, "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true")
	var rest, nodes []string
	for i, p := range w.Peers {
		rest, nodes = append(rest, p.REST), append(nodes, w.nodes[i].rpc())
	}
	return w, []string{
		"HOLDFAST_CLUSTER_PEERS=" + strings.Join(rest, ","), "HOLDFAST_CLUSTER_NODES=" + strings.Join(nodes, ","),
		"HOLDFAST_CLUSTER_REPLICATION=2", "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true",
	}
}

// passes runs tests of the package in dir, each of which has to pass, and gives what they print.
func passes(t *testing.T, dir string, env, tests []string) string {
	t.Helper()
	cmd := exec.CommandContext(within(t, 15*time.Minute), "go", "test", "-count=1", "-timeout", "14m", "-v", "-run", "^("+strings.Join(tests, "|")+")$", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	for _, name := range tests {
		if !strings.Contains(string(out), "--- PASS: "+name+" (") {
			t.Errorf("%s did not pass", name)
		}
	}
	return string(out)
}
