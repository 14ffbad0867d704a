package node

import (
	"context"
	"errors"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
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
