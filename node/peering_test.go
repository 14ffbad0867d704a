package node

import (
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

func connected(n *Node, s *source) bool {
	return n.host.Network().Connectedness(s.host.ID()) == network.Connected
}

// A connection to a fixed peer is there from the start and is kept up, also
// without routing, where nobody else is dialled.
func TestPeering(t *testing.T) {
	fixed, other := newSource(t), newSource(t)
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Peering = []string{fixed.addr()} })
	eventually(t, "it is connected", func() bool { return connected(n, fixed) })
	if !n.host.ConnManager().IsProtected(fixed.host.ID(), "") {
		t.Error("the connection may be trimmed")
	}
	eventually(t, "both see it", func() bool { return len(fixed.host.Network().ConnsToPeer(n.host.ID())) > 0 })
	ended := make(chan struct{}, 8)
	n.host.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { ended <- struct{}{} }})
	if err := fixed.host.Network().ClosePeer(n.host.ID()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the connection does not end")
	}
	eventually(t, "it is connected again", func() bool { return connected(n, fixed) })
	if err := n.host.Connect(t.Context(), infoOf(other)); err == nil {
		t.Error("another was dialled")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if len(n.gater.named) > 0 {
		t.Errorf("%d peers are named after the end", len(n.gater.named))
	}
}

// A peer that is not there at first is met later.
func TestPeeringWithOneThatIsLate(t *testing.T) {
	late := newSource(t)
	addr, key := late.addr(), late.host.Peerstore().PrivKey(late.host.ID())
	listen := late.host.Addrs()[0].String()
	late.close()
	var log logtest.Buffer
	n := newTestNode(t, walktest.NewStore(t), logTo(&log), func(c *Config) { c.Peering = []string{addr} })
	eventually(t, "it says so", func() bool { return strings.Contains(log.String(), "node.peering") })
	late = &source{host: newTestHostAt(t, listen, key)}
	eventually(t, "it is connected", func() bool { return connected(n, late) })
}

// One at a private address is not dialled unless that is allowed, and the log
// names the setting.
func TestPeeringAtAPrivateAddress(t *testing.T) {
	fixed := newSource(t)
	var log logtest.Buffer
	n := newTestNode(t, walktest.NewStore(t), logTo(&log), func(c *Config) {
		c.Peering, c.AllowPrivateAddresses = []string{fixed.addr()}, false
	})
	eventually(t, "it says so", func() bool { return strings.Contains(log.String(), "allow_private_addresses") })
	if connected(n, fixed) {
		t.Error("it is connected")
	}
	fixed.connect(t, n) // and may come itself
	eventually(t, "it is connected", func() bool { return connected(n, fixed) })
}
