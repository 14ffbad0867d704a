package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// manyChecks is so many that each of a few peers is chosen by some of them.
const manyChecks = 100

// The pinset of one peer lacks a pin that the others have, and it never learns of it: after some time it is
// asked for once more. Each check reads the pinset of any peer, so that some check sees it.
func TestCheckForgottenByAPeer(t *testing.T) {
	f := newFront(t, 3, func(c *Config) { c.Replication = pin.Replication{Min: 2, Max: 2} })
	const n = 12 // of which the peer is the first to be asked about some
	for i := range n {
		f.pinned(alice, i, nil)
		f.engine.posts.forget(f.dags[i].spec.DAG()) // it is not recent
	}
	ill := f.c.Peer(1)
	for i := range n {
		ill.Differ(f.cid(i), nil)
	}
	missed := func() (m int) {
		for i := range n {
			if ill.Knows(f.cid(i)) == nil {
				m++
			}
		}
		return m
	}
	f.engine.cfg.LostAfter = time.Hour
	var told bool
	for i := 0; i < manyChecks && !told; i++ {
		told = told || slices.ContainsFunc(f.differences(true), func(s string) bool { return s != "" && s[len(s)-1] != '+' })
	}
	asked := 0 // by the checks of those of which it is the first
	if asked = n - missed(); !told || asked == n {
		t.Fatalf("it is told: %v; %d of %d were asked for at once", told, asked, n)
	}
	f.engine.cfg.LostAfter = time.Nanosecond
	for i := 0; i < manyChecks && missed() > 0; i++ {
		f.differences(true)
	}
	if m := missed(); m != 0 {
		t.Errorf("%d pins stay away from the pinset of the peer", m)
	}
	for i := range n {
		if f.c.Copies(f.cid(i)) != 2 {
			t.Errorf("there are %d copies of DAG %d", f.c.Copies(f.cid(i)), i)
		}
	}
}

// The pinset of one peer has what was unpinned, and it never learns of that.
func TestCheckOrphanAtOnePeer(t *testing.T) {
	f := newFront(t, 3, nil)
	const n = 6
	for i := range n {
		r, _ := f.pinned(alice, i, nil)
		left := f.c.Get(f.cid(i))
		f.unpin(r)
		f.c.Peer(1).Differ(f.cid(i), left)
	}
	left := func() (m int) {
		for i := range n {
			if f.c.Peer(1).Knows(f.cid(i)) != nil {
				m++
			}
		}
		return m
	}
	for i := 0; i < manyChecks && left() > 0; i++ {
		f.differences(true)
	}
	if m := left(); m > 0 {
		t.Errorf("%d pins stay in the pinset of the peer", m)
	}
}
