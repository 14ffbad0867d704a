package node

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"

	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

func TestResourceLimits(t *testing.T) {
	const MiB = 1 << 20
	for name, c := range map[string]struct {
		limits  Limits
		inbound int
	}{
		"a small machine":              {Limits{Memory: 128 * MiB, Files: 256, ConnHigh: 96}, connInboundMin},
		"many peers on little memory":  {Limits{Memory: 128 * MiB, Files: 256, ConnHigh: 1000}, 2000},
		"a large machine":              {Limits{Memory: 4096 * MiB, Files: 5000, ConnHigh: 192}, 4096},
		"what a test or a library has": {Limits{}.withDefaults(), 0},
	} {
		l := c.limits
		got := l.resourceLimits().ToPartialLimitConfig()
		if got.System.Memory != rcmgr.LimitVal64(l.Memory) || got.System.FD != rcmgr.LimitVal(l.Files) {
			t.Errorf("%s: the system's limits are %+v", name, got.System)
		}
		if c.inbound != 0 && got.System.ConnsInbound != rcmgr.LimitVal(c.inbound) {
			t.Errorf("%s: %d connections may come in, want %d", name, got.System.ConnsInbound, c.inbound)
		}
		if got.Transient.Memory*4 > got.System.Memory || got.Transient.ConnsInbound >= got.System.ConnsInbound {
			t.Errorf("%s: who has not said who they are may have %+v", name, got.Transient)
		}
		peer := got.PeerDefault
		if peer.Memory <= 0 || int64(peer.Memory) > 4<<30 || peer.StreamsInbound <= 0 || peer.ConnsInbound <= 0 {
			t.Errorf("%s: one peer may have %+v", name, peer)
		}
	}
	if l := (Limits{}).withDefaults(); l.Memory == 0 || l.Files <= 0 || l.ConnLow <= 0 || l.ConnLow >= l.ConnHigh ||
		l.BlockReaders <= 0 || l.SendWorkers <= 0 || l.OutstandingBytes <= 0 {
		t.Errorf("the defaults are %+v", l)
	}
}

// The limits are those of a node that runs.
func TestLimitsHold(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.Limits = Limits{Memory: 64 << 20, Files: 100, ConnLow: 1, ConnHigh: 2}
	})
	err := n.host.Network().ResourceManager().ViewSystem(func(s network.ResourceScope) error {
		span, err := s.BeginSpan()
		if err != nil {
			return err
		}
		defer span.Done()
		if err := span.ReserveMemory(32<<20, network.ReservationPriorityAlways); err != nil {
			t.Errorf("half of the memory was refused: %v", err)
		}
		if err := span.ReserveMemory(64<<20, network.ReservationPriorityAlways); err == nil {
			t.Error("more than all of the memory was given")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	conns, ok := n.host.ConnManager().(*connmgr.BasicConnMgr)
	if !ok {
		t.Fatalf("the connection manager is a %T", n.host.ConnManager())
	}
	if info := conns.GetInfo(); info.LowWater != 1 || info.HighWater != 2 {
		t.Errorf("connections are trimmed from %d to %d", info.HighWater, info.LowWater)
	}
}
