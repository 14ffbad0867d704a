package node

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// near gives the origins of a job the address that their request came from.
func near(job pin.Job, from netip.Addr) pin.Job {
	for i := range job.Origins {
		job.Origins[i].From = from
	}
	return job
}

func guarded(c *Config) { c.AllowPrivateAddresses = false }

// An origin at the very address that the request came from is dialled for that request,
// and afterwards for nobody.
func TestOriginWhereTheRequestCameFrom(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	store := walktest.NewStore(t)
	n := newTestNode(t, store, guarded)
	src := newSource(t, all...)
	done, result := start(t.Context(), n, near(newJob(dagtest.Last(all), src.addr()), loopback))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	for _, a := range src.host.Addrs() {
		if n.gater.InterceptAddrDial(src.host.ID(), a) {
			t.Errorf("%s may still be dialled", a)
		}
	}
}

// What else is private is not dialled for it, nor for others meanwhile: another address,
// a port of the server's own, another peer.
func TestOriginsThatAreNotWhereTheRequestCameFrom(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	root := dagtest.Last(all)
	src := newSource(t, all...)
	text, err := src.host.Addrs()[0].ValueForProtocol(ma.P_TCP)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from string
		own  uint16
	}{
		"unknown":       {"", 0},
		"another":       {"127.0.0.2", 0},
		"of the LAN":    {"192.168.1.7", 0},
		"the own ports": {"127.0.0.1", uint16(port)},
	} {
		t.Run(name, func(t *testing.T) {
			n := newTestNode(t, walktest.NewStore(t), guarded, func(cfg *Config) {
				cfg.OwnPort = func(p uint16) bool { return p == c.own }
			})
			// Somebody else's request, which may have its own origin dialled.
			neighbour := newSource(t)
			ctx, cancel := context.WithCancel(t.Context())
			other, _ := start(ctx, n, near(newJob(dagtest.Raw("nobody").Cid(), neighbour.addr()), loopback))
			eventually(t, "the neighbour is dialled", func() bool {
				return n.host.Network().Connectedness(neighbour.host.ID()) == network.Connected
			})
			job := newJob(root, src.addr(), withPeer(src.host.Addrs()[0], neighbour.host.ID()))
			if c.from != "" {
				job = near(job, netip.MustParseAddr(c.from))
			}
			done, _ := start(ctx, n, job)
			eventually(t, "it says why it waits", func() bool { return strings.Contains(job.Progress.Note(), "node.allow_private_addresses") })
			if n.host.Network().Connectedness(src.host.ID()) == network.Connected {
				t.Error("it was dialled")
			}
			cancel()
			<-done
			<-other
		})
	}
}
