//go:build nat && linux

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// TestKuboBehindNAT: at default settings, `ipfs pin remote add` works for a Kubo that nobody
// can dial, by its own connection to the server. There are three networks, which the test
// makes, and nothing leaves them: that of the Kubo and of this test at home, with a private
// address; that of the server, with one of the public internet; and between these that of a
// router, which puts its own address in the place of those behind it and lets nothing in.
//
// `make test-net` runs it, in the first of these networks. It needs root, or a system that
// lets users make network namespaces, and the commands ip (iproute2), nft (nftables),
// unshare and nsenter (util-linux). It fails without them.
func TestKuboBehindNAT(t *testing.T) {
	for _, name := range []string{"ip", "nft", "unshare", "nsenter"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("this test needs more than there is: %v", err)
		}
	}
	if all := must(net.Interfaces())(t); len(all) != 1 || all[0].Flags&net.FlagLoopback == 0 {
		t.Fatal("this is not a network of its own: run this test by `make test-net`")
	}
	ctx := within(t, 300*patience)
	router, internet := newNetwork(t), newNetwork(t)
	const server, outside, gateway, home = "9.9.9.9", "9.9.9.1", "192.168.77.1", "192.168.77.2"
	in(t, ctx, 0, "ip link set lo up")
	in(t, ctx, 0, fmt.Sprintf("ip link add home type veth peer name inner netns %d", router))
	in(t, ctx, router, fmt.Sprintf("ip link add outer type veth peer name net netns %d", internet))
	in(t, ctx, 0, "ip address add "+home+"/24 dev home && ip link set home up && ip route add default via "+gateway)
	in(t, ctx, router, "ip link set lo up && ip address add "+gateway+"/24 dev inner && ip link set inner up && "+
		"ip address add "+outside+"/24 dev outer && ip link set outer up && echo 1 > /proc/sys/net/ipv4/ip_forward")
	in(t, ctx, router, `nft -f - <<'RULES'
table ip nat {
	chain out { type nat hook postrouting priority 100; oifname "outer" masquerade; }
	chain in {
		type filter hook forward priority 0;
		iifname "outer" ct state established,related accept
		iifname "outer" drop
	}
}
RULES`)
	in(t, ctx, internet, "ip link set lo up && ip address add "+server+"/24 dev net && ip link set net up && ip route add default via "+outside)

	data := newData(t)
	data.Through = []string{"nsenter", "-t", strconv.Itoa(internet), "-n", "--"}
	data.Env["HOLDFAST_HTTP_LISTEN"] = server + ":0"
	data.Env["HOLDFAST_NODE_LISTEN"] = "/ip4/" + server + "/tcp/0,/ip4/" + server + "/udp/0/quic-v1"
	s := serve(t, data)
	kubo := must(suite.StartKubo(ctx, "kubo at home", rig.KuboOptions{Config: map[string]any{
		"Addresses.Swarm": []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"},
	}}))(t)
	ends(t, kubo.Process)
	for _, a := range kubo.Addrs {
		if strings.Contains(a, "9.9.9.") {
			t.Fatalf("the Kubo is not behind a NAT: it has %q", kubo.Addrs)
		}
	}
	addService(t, kubo, s, "hf")
	cid := must(kubo.AddFile(ctx, bytes.NewReader(rig.RandomBytes(711, 300_000)), 16<<10))(t)
	must(kubo.Run(ctx, nil, "pin", "remote", "add", "--service=hf", "--name=home", cid))(t)
	list := must(login(t, s).List(ctx, url.Values{"name": {"home"}}))(t)
	if list.Count != 1 || list.Results[0].Status != "pinned" {
		t.Errorf("the server has %+v", list)
	}
}

// newNetwork makes a network that lasts as long as a process, whose ID it gives.
func newNetwork(t *testing.T) (pid int) {
	t.Helper()
	cmd := exec.Command("unshare", "--net", "cat") // which reads until its input ends
	input := must(cmd.StdinPipe())(t)
	check(t, cmd.Start())
	t.Cleanup(func() {
		input.Close()
		_ = cmd.Wait() // it ends with its input, or has ended
	})
	own := must(os.Readlink("/proc/self/ns/net"))(t)
	check(t, rig.Poll(t.Context(), time.Millisecond, func() (bool, error) {
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
		return its != own, err
	}))
	return cmd.Process.Pid
}

// in runs a shell's command in the network of a process; 0 is this one's.
func in(t *testing.T, ctx context.Context, network int, command string) {
	t.Helper()
	args := []string{"sh", "-ec", command}
	if network != 0 {
		args = append([]string{"nsenter", "-t", strconv.Itoa(network), "-n", "--"}, args...)
	}
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}
