package node

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// With those gone that it first joined by, a node finds back by peers of its
// last run.
func TestRoutingJoinsBySavedPeers(t *testing.T) {
	servers, addr := dhtServers(t, 6)
	ds := inMemory()
	n := newTestNode(t, walktest.NewStore(t), auto(addr), onDisk(ds))
	eventually(t, "it knows others than the first", func() bool { return n.router.dhts.peers() > 2 })
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := servers[0].Host().Close(); err != nil {
		t.Fatal(err)
	}
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	src := newSource(t, all...)
	provided(t, src, servers[1].Host(), dagtest.Last(all))
	store := walktest.NewStore(t)
	n = newTestNode(t, store, auto(addr), onDisk(ds))
	done, result := start(t.Context(), n, newJob(dagtest.Last(all)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	// And with nobody to join by in the configuration at all.
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = newTestNode(t, walktest.NewStore(t), auto(), onDisk(ds))
	eventually(t, "it joins", func() bool { return n.router.dhts.peers() > 0 })
}

// A run that met nobody leaves the peers of an earlier one.
func TestSavedPeersOutliveARunWithoutANetwork(t *testing.T) {
	servers, addr := dhtServers(t, 4)
	ds := inMemory()
	n := newTestNode(t, walktest.NewStore(t), auto(addr), onDisk(ds))
	eventually(t, "it knows others", func() bool { return n.router.dhts.peers() > 2 })
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	before := len(n.router.savedPeers())
	for _, s := range servers {
		s.Host().Close()
	}
	n = newTestNode(t, walktest.NewStore(t), auto(addr), onDisk(ds))
	<-n.router.tried
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = newTestNode(t, walktest.NewStore(t), auto(addr), onDisk(ds))
	if got := len(n.router.savedPeers()); before < 3 || got != before {
		t.Errorf("%d peers are saved, and were %d", got, before)
	}
}

// A private network does not call on peers of the public one, nor the other way
// round.
func TestSavedPeersAreOfOneNetwork(t *testing.T) {
	servers, addr := dhtServers(t, 4)
	ds := inMemory()
	n := newTestNode(t, walktest.NewStore(t), auto(addr), onDisk(ds))
	n.router.recents.Note(peer.AddrInfo{ID: servers[0].PeerID(), Addrs: servers[0].Host().Addrs()}) // saved with them
	eventually(t, "it knows others", func() bool { return n.router.dhts.peers() > 2 })
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	key := writeSwarmKey(t, "a")
	private := func(c *Config) { c.SwarmKeyFile, c.Listen = key, []string{"/ip4/127.0.0.1/tcp/0"} }
	n = newTestNode(t, walktest.NewStore(t), auto(), private, onDisk(ds))
	if saved, recent := n.router.savedPeers(), n.router.recents.List(); len(saved)+len(recent) > 0 {
		t.Errorf("the private network has %v and %v of the public one", saved, recent)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = newTestNode(t, walktest.NewStore(t), auto(), onDisk(ds))
	if saved, recent := n.router.savedPeers(), n.router.recents.List(); len(saved) < 3 || len(recent) != 1 {
		t.Errorf("back in the public network there are %v and %v", saved, recent)
	}
}
