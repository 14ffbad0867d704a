package provide

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	libp2pnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// simHost is a host that is connected to everybody, though to nobody: all that is
// said goes by the simulated network.
type simHost struct {
	host.Host
	bus event.Bus // its own: the host's other parts believe in connections
}

func (h simHost) EventBus() event.Bus                        { return h.bus }
func (simHost) Connect(context.Context, peer.AddrInfo) error { return nil }
func (h simHost) Network() libp2pnet.Network                 { return simSwarm{h.Host.Network()} }

type simSwarm struct{ libp2pnet.Network }

func (simSwarm) Connectedness(peer.ID) libp2pnet.Connectedness { return libp2pnet.Connected }

// newDHT makes a real client of the DHT, with all that kad-dht does for a lookup,
// in the simulated network.
func (w *network) newDHT(t testing.TB) *dht.IpfsDHT {
	t.Helper()
	real, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.DisableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { real.Close() })
	h := simHost{real, eventbus.NewBus()}
	d, err := dht.New(h, dht.Mode(dht.ModeClient), dht.Concurrency(10), dht.DisableAutoRefresh(),
		dht.WithCustomMessageSender(func(host.Host, []protocol.ID) pb.MessageSenderWithDisconnect { return w }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	emit, err := h.EventBus().Emitter(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		t.Fatal(err)
	}
	defer emit.Close()
	for i := range 20 { // whom it met first
		p := w.peers[i*len(w.peers)/20].id
		if err := h.Peerstore().AddProtocols(p, dht.DefaultPrefix+"/kad/1.0.0"); err != nil {
			t.Fatal(err)
		}
		if err := emit.Emit(event.EvtPeerIdentificationCompleted{Peer: p}); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(time.Minute); d.RoutingTable().Size() < 10; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the DHT client knows nobody")
		}
	}
	return d
}
