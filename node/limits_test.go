package node

import (
	"fmt"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	ma "github.com/multiformats/go-multiaddr"

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

// As many connections as one address may have are let in at once, and as many again after
// those have ended. The next is refused because of their number, not their pace.
func TestConnectionsOfOneAddress(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	manager := n.host.Network().ResourceManager()
	for name, at := range map[string]struct {
		dir  network.Direction
		addr func(i int) string
	}{
		"a public address":     {network.DirInbound, func(i int) string { return fmt.Sprintf("/ip4/203.0.113.7/tcp/%d", 1000+i) }},
		"by QUIC":              {network.DirInbound, func(i int) string { return fmt.Sprintf("/ip4/203.0.113.8/udp/%d/quic-v1", 1000+i) }},
		"dialled":              {network.DirOutbound, func(i int) string { return fmt.Sprintf("/ip4/203.0.113.9/tcp/%d", 1000+i) }},
		"a container's bridge": {network.DirInbound, func(i int) string { return fmt.Sprintf("/ip4/172.17.0.1/tcp/%d", 1000+i) }},
		"an IPv6 /56":          {network.DirInbound, func(i int) string { return fmt.Sprintf("/ip6/2001:db8:0:%x::1/tcp/4001", i) }},
	} {
		for round := range 2 {
			var open []network.ConnManagementScope
			for i := range connPerAddress - round { // the one that is refused counts, too
				c, err := manager.OpenConnection(at.dir, false, ma.StringCast(at.addr(i)))
				if err != nil {
					t.Fatalf("%s, round %d: %d were let in, and then: %v", name, round, i, err)
				}
				open = append(open, c)
			}
			if round == 0 {
				if c, err := manager.OpenConnection(at.dir, false, ma.StringCast(at.addr(connPerAddress))); err == nil {
					c.Done()
					t.Errorf("%s: more than %d were let in", name, connPerAddress)
				} else if !strings.Contains(err.Error(), "connections per ip limit") {
					t.Errorf("%s: one too many is refused by: %v", name, err)
				}
			}
			for _, c := range open {
				c.Done()
			}
		}
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

// What a peer may take of the streams leaves some to others, by number and by memory, whatever the
// machine has.
func TestFairStreams(t *testing.T) {
	for memory, want := range map[uint64]int{1: 2 * streamsPerPeer, 64 << 20: 128, 128 << 20: 256, 512 << 20: 1024, 4 << 30: allBitswapStreams / 4 * 3} {
		l := Limits{Memory: memory, ConnHigh: 192, Files: 4096}.withDefaults()
		if got := l.fairStreams(); got != want {
			t.Errorf("of %d bytes of memory: %d streams, want %d", memory, got, want)
		}
	}
}
