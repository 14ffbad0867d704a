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
	"TestOriginsThatCannotBeRead",
}

// What a Kubo and others do with a pinning service, they do with a front as with one machine.
func TestFrontIsAService(t *testing.T) {
	ctx := within(t, 15*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Concurrent: 64, BatchSize: 500}, "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true")
	var rest, nodes, addrs []string
	for i, p := range w.Peers {
		rest, nodes, addrs = append(rest, p.REST), append(nodes, w.nodes[i].rpc()), append(addrs, w.nodes[i].addr())
	}
	env := []string{
		"HOLDFAST_CLUSTER_PEERS=" + strings.Join(rest, ","), "HOLDFAST_CLUSTER_NODES=" + strings.Join(nodes, ","),
		"HOLDFAST_CLUSTER_REPLICATION=2", "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true",
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "14m", "-v", "-run", "^("+strings.Join(serviceTests, "|")+")$", "..")
	cmd.Env = append(os.Environ(), rig.ExtraEnv+"="+strings.Join(env, "\n"), rig.NodesEnv+"="+strings.Join(addrs, ","))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	for _, name := range serviceTests {
		if !strings.Contains(string(out), "--- PASS: "+name+" (") {
			t.Errorf("%s did not pass", name)
		}
	}
}
