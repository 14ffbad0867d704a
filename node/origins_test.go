package node

import (
	"context"
	"errors"
	"fmt"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"net/netip"
	"strings"
	"testing"
)

func TestPrivateOriginsAreNotDialled(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	store := walktest.NewStore(t)
	n := newTestNode(t, store, func(c *Config) { c.AllowPrivateAddresses = false })
	src := newSource(t, all...)
	job := newJob(dagtest.Last(all), src.addr())
	done, result := start(t.Context(), n, job)
	eventually(t, "it says why it waits", func() bool {
		return strings.Contains(job.Progress.Note(), "node.allow_private_addresses") &&
			strings.Contains(job.Progress.Note(), src.addr())
	})
	if len(n.host.Network().Peers()) != 0 {
		t.Fatal("it was dialled all the same")
	}
	src.connect(t, n) // from a private address, and welcome
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)

	// Connected already, there is nothing to say.
	again := newJob(dagtest.Raw("nobody").Cid(), src.addr())
	ctx, cancel := context.WithCancel(t.Context())
	done, result = start(ctx, n, again)
	eventually(t, "it is wanted", func() bool { return n.bitswap.exchange.Stats().Wants == 1 })
	cancel()
	if _, err := wait(t, done, result); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if note := again.Progress.Note(); note != "" {
		t.Errorf("it says %q", note)
	}
}

// An origin that cannot be reached, or is none, is no error; it is tried
// again.
func TestOriginThatComesLate(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	n := newTestNode(t, walktest.NewStore(t))
	src := newSource(t, all...)
	nobody := withPeer(n.host.Addrs()[0], newTestHost(t).ID()) // another peer is there
	done, result := start(t.Context(), n, newJob(dagtest.Last(all), nobody, "/ip4/127.0.0.1/tcp/1", n.Addrs()[0], src.addr()))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
}

// A peer that is named behind many addresses of another is dialled too, and so is one of
// whose own addresses only the last ones are good.
func TestOriginsBeyondWhatAPinKeeps(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(20, 100), 10)
	for name, before := range map[string]func(src string) string{
		"of another peer": func(string) string { return newTestHost(t).ID().String() },
		"of its own":      func(src string) string { return src[strings.LastIndex(src, "/")+1:] },
	} {
		t.Run(name, func(t *testing.T) {
			n := newTestNode(t, walktest.NewStore(t))
			src := newSource(t, all...)
			id := before(src.addr())
			given := []string{"", "nonsense", "/ip4/127.0.0.1/udp/1/quic-v9/p2p/" + id}
			for i := range 30 { // nobody listens there
				given = append(given, fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1/p2p/%s", i+1, id))
			}
			origins := pin.BestOrigins(append(given, src.addr()), netip.Addr{})
			done, result := start(t.Context(), n, newJob(dagtest.Last(all), origins...))
			if _, err := wait(t, done, result); err != nil {
				t.Fatal(err)
			}
		})
	}
}
