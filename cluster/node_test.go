package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// An origin that the cluster cannot read does not keep it from the others.
func TestOriginsThatCannotBeRead(t *testing.T) {
	f := newFront(t, 3, nil)
	_, j := f.ask(alice, 1, nil)
	const id = "/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
	good := []string{"/ip4/192.0.2.1/tcp/4001" + id, "/ip4/192.0.2.2/udp/4001/quic-v1" + id}
	for _, o := range []string{good[0], "/ip4/192.0.2.1/udp/1/quic-v9" + id, "/newnet/abc" + id, "", id, "/ip4/192.0.2.1/tcp/1", "/p2p/x/tcp", good[1]} {
		j.Origins = append(j.Origins, pin.Origin{Addr: o})
	}
	f.serve(1)
	f.complete(j)
	if got := f.c.Get(f.cid(1)).Origins; !slices.Equal(got, good) {
		t.Errorf("the cluster is told %q", got)
	}
}

// Another node takes the place of one, at its address: it is asked as that one was.
func TestNodeIsReplaced(t *testing.T) {
	f := newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} })
	f.pinned(alice, 1, nil)
	f.c.Peer(0).Node.Replace()
	eventually(t, "the peer says so", func() bool { is, _ := f.engine.peers[0].state(); return is.Node.ID == f.c.Peer(0).Node.ID })
	f.engine.nodes[0].mu.Lock()
	f.engine.nodes[0].asked = time.Time{} // long ago
	f.engine.nodes[0].mu.Unlock()
	_, j := f.ask(alice, 2, nil)
	f.serve(2)
	if got := f.complete(j); got != f.totals(2) {
		t.Errorf("it has %+v", got)
	}
	if got := strings.Join(f.differences(true), "; "); got != "lost copy 1+" {
		t.Errorf("a check finds %q", got)
	}
}
