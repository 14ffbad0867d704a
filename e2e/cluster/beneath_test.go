//go:build cluster

package cluster

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/cluster/peers"
	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const emptyDir = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"

// Pins of all kinds have as many copies as they are to have, and a recovery finds nothing to do.
func TestCopies(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Min: 2, Max: 2, Concurrent: 32})
	all := append(files(t, ctx, w.source, 1_000, 276, 3), emptyDir, file(t, ctx, w.source, 7, 25_000))
	for i := range 20 { // roots of version 0, and both versions of one
		v0 := strings.TrimSpace(must(w.source.Run(ctx, strings.NewReader(fmt.Sprint("version 0 of ", i)), "add", "-Q", "--pin=false", "--raw-leaves=false"))(t))
		all = append(all, v0)
		if i == 0 {
			all = append(all, strings.TrimSpace(must(w.source.Run(ctx, nil, "cid", "format", "-v", "1", "-b", "base32", v0))(t)))
		}
	}
	all = append(all, must(w.source.PutBlock(ctx, "raw", []byte("a block alone")))(t))
	for _, c := range all {
		check(t, w.Peers[0].Pin(ctx, c, nil))
	}
	check(t, w.Peers[0].AwaitPinned(ctx, 2, all...))
	for _, p := range w.Peers {
		check(t, p.Recover(ctx))
	}
	w.agrees(t, ctx)
	for _, c := range all {
		if n := w.copies(ctx, c); n != 2 {
			t.Errorf("%s has %d copies", c, n)
		}
	}
	// And back, so that nothing is left.
	for _, c := range all {
		check(t, w.Peers[1].Unpin(ctx, c))
	}
	w.agrees(t, ctx)
}

// Nobody has it: that is told soon, other pins do not wait, and when it appears it is pinned. The first
// peer gives up by itself. The second is at a Unix socket, where it cannot: there the node does.
func TestNobodyHasIt(t *testing.T) {
	ctx := within(t, 6*time.Minute)
	w := newWorld(t, ctx, 2, peers.Options{Min: 2, Max: 2, PinTimeout: 5 * time.Second, RecoverEvery: 15 * time.Second})
	away := must(suite.StartKubo(ctx, "away", rig.KuboOptions{}))(t)
	t.Cleanup(away.Kill)
	late := file(t, ctx, away, 3, 500)
	check(t, w.Peers[0].Pin(ctx, late, nil))
	here := files(t, ctx, w.source, 50, 20, 3)
	for _, c := range here {
		check(t, w.Peers[0].Pin(ctx, c, nil))
	}
	soon, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	check(t, w.Peers[0].AwaitPinned(soon, 2, here...))
	for i, why := range []string{"", "no block came for 2m0s"} {
		eventually(t, ctx, "cluster sees that nobody has it", func() bool {
			is, err := w.Peers[i].Here(ctx, late)
			return err == nil && is.Status == peers.PinError && strings.Contains(is.Error, why)
		})
	}
	for _, n := range w.nodes {
		reach(t, ctx, away, n)
	}
	check(t, w.Peers[0].AwaitPinned(ctx, 2, late))
	// Each node has it from the source or from the other, once.
	if n := must(away.BlocksSent(ctx))(t); n > 2*504+20 {
		t.Errorf("%d blocks were sent of 504, for two copies", n)
	}
	w.agrees(t, ctx)
}

// A refusal is never taken for a success, whenever it comes, and its reason reaches cluster.
func TestRefusals(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	w := newWorld(t, ctx, 1, peers.Options{RecoverEvery: 5 * time.Second}, "HOLDFAST_PIN_MAX_DAG_BLOCKS=6000")
	// One that is refused by what its root says or within a second, and one that is refused later:
	// its blocks come slowly.
	big := file(t, ctx, w.source, 5, 7_000)
	check(t, w.Peers[0].Pin(ctx, big, nil))
	slow := slowChain(t, ctx, w)
	check(t, w.Peers[0].Pin(ctx, slow, nil))
	for _, c := range []string{big, slow} {
		var last peers.PeerState
		eventually(t, ctx, "the reason is told", func() bool {
			is, err := w.Peers[0].Here(ctx, c)
			last = is
			return err == nil && is.Status == peers.PinError && strings.Contains(is.Error, "max_dag_blocks")
		})
		if last.Attempts == 0 {
			t.Errorf("%s: %+v", c, last)
		}
	}
	log := string(must(os.ReadFile(w.Peers[0].Log))(t))
	for _, line := range strings.Split(log, "\n") {
		if strings.Contains(line, "succeeded") && (strings.Contains(line, big) || strings.Contains(line, slow)) {
			t.Errorf("cluster took it for a success: %s", line)
		}
	}
}

// slowChain makes a DAG that is refused only after some seconds: of its list of blocks the last ones
// come when the source has them.
func slowChain(t *testing.T, ctx context.Context, w *world) string {
	t.Helper()
	elsewhere := must(suite.StartKubo(ctx, "slow", rig.KuboOptions{}))(t)
	t.Cleanup(elsewhere.Kill)
	first, second := file(t, ctx, w.source, 11, 3_500), file(t, ctx, elsewhere, 12, 3_500)
	both := must(w.source.PutDAG(ctx, "dag-cbor", fmt.Sprintf(`[{"/":%q},{"/":%q}]`, first, second)))(t)
	go func() {
		select {
		case <-time.After(4 * time.Second): // the first part is there, and its progress was told
		case <-ctx.Done():
			return
		}
		for _, n := range w.nodes {
			_ = elsewhere.Connect(ctx, n.addr()) // the test fails without it
		}
	}()
	return both
}

// A node that is killed while it pins goes on where it was. What is sent again is at most what was under
// way, 768 blocks, and what was not written: two batches of 8 MiB.
func TestNodeIsKilled(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	w := newWorld(t, ctx, 1, peers.Options{RecoverEvery: 5 * time.Second})
	const chunks = 25_000
	c := must(w.source.AddFile(ctx, rig.Random(21, chunks<<14), 16<<10))(t)
	check(t, w.Peers[0].Pin(ctx, c, nil))
	eventually(t, ctx, "some of it is there", func() bool {
		n, err := w.source.BlocksSent(ctx)
		return err == nil && n > chunks/4
	})
	w.nodes[0].kill()
	before := must(w.source.BlocksSent(ctx))(t)
	w.nodes[0].start(t)
	check(t, w.Peers[0].AwaitPinned(ctx, 1, c))
	all := must(w.source.BlocksSent(ctx))(t)
	t.Logf("%d blocks were sent before the kill, and %d in all, of %d", before, all, chunks+chunks/174)
	if again := int(all) - (chunks + chunks/174 + 2); again > 768+16<<20/(16<<10) {
		t.Errorf("%d blocks were sent again", again)
	}
	w.agrees(t, ctx)
}

// A cluster peer that is killed while its node pins finds it pinned when it is back.
func TestPeerIsKilled(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	w := newWorld(t, ctx, 2, peers.Options{Min: 2, Max: 2, RecoverEvery: 5 * time.Second})
	c := file(t, ctx, w.source, 31, 25_000)
	check(t, w.Peers[0].Pin(ctx, c, nil))
	eventually(t, ctx, "some of it is there", func() bool {
		n, err := w.source.BlocksSent(ctx)
		return err == nil && n > 2_000
	})
	w.Peers[1].Kill()
	check(t, w.Peers[1].Launch())
	check(t, w.Peers[1].Ready(ctx))
	check(t, w.Peers[0].AwaitPinned(ctx, 2, c))
	w.agrees(t, ctx)
}

// A peer and its node are away while others pin and unpin.
func TestBothAreAway(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Min: 2, Max: 3, Concurrent: 32, RecoverEvery: 5 * time.Second})
	old := files(t, ctx, w.source, 4_000, 100, 2)
	for _, c := range old {
		check(t, w.Peers[0].Pin(ctx, c, nil))
	}
	check(t, w.Peers[0].AwaitPinned(ctx, 3, old...))
	w.Peers[2].Kill()
	w.nodes[2].kill()
	check(t, w.AwaitPeers(ctx, 2))
	for _, c := range old {
		check(t, w.Peers[0].Unpin(ctx, c))
	}
	fresh := files(t, ctx, w.source, 5_000, 200, 2)
	for _, c := range fresh {
		check(t, w.Peers[0].Pin(ctx, c, nil))
	}
	check(t, w.Peers[0].AwaitPinned(ctx, 2, fresh...))
	w.nodes[2].start(t)
	check(t, w.Peers[2].Launch())
	check(t, w.Peers[2].Ready(ctx))
	check(t, w.AwaitPeers(ctx, 3))
	w.agrees(t, ctx)
}

// What is unpinned while a peer is down is unpinned there when it is back.
func TestUnpinWhilePeerIsDown(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	w := newWorld(t, ctx, 2, peers.Options{Min: 2, Max: 2, RecoverEvery: 5 * time.Second})
	all := files(t, ctx, w.source, 10_000, 20, 3)
	for _, c := range all {
		check(t, w.Peers[0].Pin(ctx, c, nil))
	}
	check(t, w.Peers[0].AwaitPinned(ctx, 2, all...))
	check(t, w.Peers[1].Stop())
	for _, c := range all[:10] {
		check(t, w.Peers[0].Unpin(ctx, c))
	}
	check(t, w.Peers[1].Launch())
	check(t, w.Peers[1].Ready(ctx))
	w.agrees(t, ctx)
}

// A peer that hangs does not keep others from pinning.
func TestPeerHangs(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	w := newWorld(t, ctx, 3, peers.Options{Min: 1, Max: 2, RecoverEvery: 5 * time.Second})
	check(t, w.Peers[2].Signal(syscall.SIGSTOP))
	eventually(t, ctx, "cluster knows that it is away", func() bool {
		m, err := w.Peers[0].Metrics(ctx, "ping")
		return err == nil && len(m) == 2
	})
	all := files(t, ctx, w.source, 11_000, 20, 3)
	for _, c := range all {
		check(t, w.Peers[0].Pin(ctx, c, nil))
	}
	for _, p := range w.Peers[:2] {
		eventually(t, ctx, "the others pin", func() bool {
			for _, c := range all {
				if is, err := p.Here(ctx, c); err != nil || is.Status != peers.Pinned {
					return false
				}
			}
			return true
		})
	}
	check(t, w.Peers[2].Signal(syscall.SIGCONT))
	w.agrees(t, ctx)
}

// An empty Holdfast takes the place of a Kubo beneath a peer: all is pinned there by cluster's own
// recovery.
func TestKuboIsSwapped(t *testing.T) {
	ctx := within(t, 6*time.Minute)
	first := newStorage(t, nil)
	kubo := must(suite.StartKubo(ctx, "node", rig.KuboOptions{}))(t)
	t.Cleanup(kubo.Kill)
	source := newSource(t, ctx, first)
	check(t, kubo.Connect(ctx, source.Addrs[0]))
	beneath := must(peers.NewNode(strings.TrimSuffix(kubo.API(), "/api/v0/")))(t)
	port := must(peers.FreePorts(1))(t)[0]
	// The address stays, and what is behind it changes.
	door := newDoor(t, port, beneath)
	c := newCluster(t, ctx, peers.Options{Min: 2, Max: 2, Concurrent: 32, RecoverEvery: 5 * time.Second,
		Nodes: []string{first.Multiaddr, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port)}})
	all := files(t, ctx, source, 12_000, 500, 2)
	for _, cid := range all {
		check(t, c.Peers[0].Pin(ctx, cid, nil))
	}
	check(t, c.Peers[0].AwaitPinned(ctx, 2, all...))
	source.Kill()
	kubo.Kill()
	second := newStorage(t, []*storage{first})
	door.to(second.Node)
	w := &world{Cluster: c, nodes: []*storage{first, second}}
	w.agrees(t, ctx)
	for _, cid := range all {
		if !second.Has(ctx, cid) {
			t.Errorf("the new node lacks %s", cid)
		}
	}
}

// Users' origins reach the nodes through the front and cluster, or through cluster alone. Those at
// private addresses are not dialled: neither by the front, which passes them on all the same here, nor
// by the nodes.
func TestOriginsAreNotDialled(t *testing.T) {
	ctx := within(t, 5*time.Minute)
	w := newWorld(t, ctx, 2, peers.Options{Min: 2, Max: 2, Concurrent: 32})
	fronts := []*front{newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2"),
		newFront(t, ctx, w, "HOLDFAST_CLUSTER_REPLICATION=2", "HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES=true")}
	trap := newTrap(t)
	var all []string
	for i := range 240 {
		c := file(t, ctx, w.source, 13_000+uint64(i), 2)
		all = append(all, c)
		origin := trap.multiaddr + "/p2p/" + peerID(i)
		if i < 200 {
			must(fronts[i%2].Client.Add(ctx, rig.Pin{CID: c, Origins: []string{origin}}))(t)
		} else {
			check(t, w.Peers[0].Pin(ctx, c, url.Values{"origins": {origin}}))
		}
	}
	check(t, w.Peers[0].AwaitPinned(ctx, 2, all...))
	if n := trap.dials(); n != 0 {
		t.Errorf("%d connections were made to an origin at a private address", n)
	}
}
