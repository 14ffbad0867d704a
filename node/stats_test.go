package node

import (
	"context"
	"testing"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

func TestStats(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(3000, 100), 20)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	if s := n.Stats(); s != (Stats{}) {
		t.Errorf("a new node has %+v", s)
	}
	if !n.Listening() {
		t.Error("it does not listen")
	}

	// Somebody who has all but some leaves: what is left is waited for.
	first := newSource(t, all[100:]...)
	job := newJob(dagtest.Last(all), first.addr())
	done, result := start(t.Context(), n, job)
	eventually(t, "some came, and the rest is asked for", func() bool {
		s := n.Stats()
		return s.Peers == 1 && s.BlocksReceived > 300 && s.WantsInFlight > 0
	})
	first.close()
	newSource(t, all...).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	blocks, bytes := dagtest.Distinct(all)
	s := n.Stats()
	if s.BlocksReceived != uint64(blocks) || s.BytesReceived != uint64(bytes) || s.WantsInFlight != 0 {
		t.Errorf("after %d blocks of %d bytes: %+v", blocks, bytes, s)
	}

	// And it goes on to others.
	if s.BlocksServed != 0 {
		t.Errorf("it served %d blocks to nobody", s.BlocksServed)
	}
	job = newJob(dagtest.Last(all), n.Addrs()...)
	if _, err := newTestNode(t, walktest.NewStore(t)).Fetch(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what is served is counted", func() bool {
		s := n.Stats()
		return s.BlocksServed >= uint64(blocks) && s.BytesServed >= uint64(bytes)
	})
}

func TestNoWantsAreLeftOfAFetchThatEnded(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	job := newJob(dagtest.Raw("nobody has it").Cid(), newSource(t).addr())
	done, result := start(ctx, n, job)
	eventually(t, "it is wanted", func() bool { return n.Stats().WantsInFlight == 1 })
	cancel()
	if _, err := wait(t, done, result); err == nil {
		t.Fatal("it came")
	}
	if s := n.Stats(); s.WantsInFlight != 0 {
		t.Errorf("%d blocks are still wanted", s.WantsInFlight)
	}
}
