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

// What a Kubo and others do with a pinning service, they do with a front as with one machine; and the
// compliance suite of its API finds nothing. That suite needs npm.
func TestFrontIsAService(t *testing.T) {
	ctx := within(t, 20*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Concurrent: 64, BatchSize: 500}, "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true")
	var rest, nodes, addrs []string
	for i, p := range w.Peers {
		rest, nodes, addrs = append(rest, p.REST), append(nodes, w.nodes[i].rpc()), append(addrs, w.nodes[i].addr())
	}
	front := []string{
		"HOLDFAST_CLUSTER_PEERS=" + strings.Join(rest, ","), "HOLDFAST_CLUSTER_NODES=" + strings.Join(nodes, ","),
		"HOLDFAST_CLUSTER_REPLICATION=2", "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true",
	}
	for _, suite := range []struct {
		dir   string
		env   []string
		tests []string
		says  string // "" is nothing in particular
	}{
		{"..", []string{rig.ExtraEnv + "=" + strings.Join(front, "\n"), rig.NodesEnv + "=" + strings.Join(addrs, ",")}, serviceTests, ""},
		{"../clients", front, []string{"TestCompliance"}, w.nodes[0].server.PeerID}, // a delegate, so that it was a front
	} {
		cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "14m", "-v", "-run", "^("+strings.Join(suite.tests, "|")+")$", ".")
		cmd.Dir, cmd.Env = suite.dir, append(os.Environ(), suite.env...)
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(out), suite.says) {
			t.Errorf("it does not say %s", suite.says)
		}
		for _, name := range suite.tests {
			if !strings.Contains(string(out), "--- PASS: "+name+" (") {
				t.Errorf("%s did not pass", name)
			}
		}
	}
}
