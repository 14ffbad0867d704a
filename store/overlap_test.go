package store

import (
	"log/slog"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// overlap is pins of a store, from a network that a test controls.
type overlap struct {
	t    *testing.T
	s    *Store
	net  *walktest.Network
	w    *walker
	pins *pin.Manager
}

func newOverlap(t *testing.T, have ...blocks.Block) *overlap {
	s := openTest(t, t.TempDir(), Config{})
	o := &overlap{t: t, s: s, net: walktest.NewNetwork(have...)}
	o.w = &walker{t: t, f: &family{}, Store: s, net: o.net, dir: t.TempDir(), anyTotals: true, leastRoom: 10}
	var err error
	o.pins, err = pin.New(t.Context(), pin.Config{Logger: slog.New(slog.DiscardHandler)}, s, o.w)
	must(t, err)
	t.Cleanup(func() { must(t, o.pins.Close()) })
	return o
}

func (o *overlap) add(account string, root cid.Cid) pin.View {
	o.t.Helper()
	v, err := o.pins.Add(o.t.Context(), account, pin.Spec{CID: root.String(), Root: root})
	must(o.t, err)
	return v
}

func (o *overlap) remove(v pin.View) {
	o.t.Helper()
	must(o.t, o.pins.Remove(o.t.Context(), v.Account, v.ID))
}

func (o *overlap) await(what string, ok func() bool) {
	o.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			o.t.Fatal(what, "does not happen")
		}
	}
}

func (o *overlap) status(v pin.View) pin.Status {
	o.t.Helper()
	now, err := o.pins.Get(o.t.Context(), v.Account, v.ID)
	must(o.t, err)
	return now.Status
}

func (o *overlap) awaitPinned(v pin.View) {
	o.t.Helper()
	o.await("pinned", func() bool { return o.status(v) == pin.Pinned })
}

// awaitBlocks waits until some of a DAG is on disk.
func (o *overlap) awaitBlocks(all []blocks.Block) {
	o.t.Helper()
	o.await("some of it on disk", func() bool {
		return roomtest.Has(o.t, o.s, all[len(all)-1]) && roomtest.Has(o.t, o.s, all[0])
	})
}

// awaitPassed waits until a walk has passed over a node.
func (o *overlap) awaitPassed(root cid.Cid) {
	o.t.Helper()
	o.await("passing over", func() bool {
		o.w.mu.Lock()
		defer o.w.mu.Unlock()
		return o.w.passed[pin.DAGOf(root)]
	})
}

// holds waits until what was let go of is dropped, reclaims, and checks that just the
// blocks given are there.
func (o *overlap) holds(all ...blocks.Block) {
	o.t.Helper()
	o.await("dropping", func() bool {
		released, err := o.s.held.Released(o.t.Context())
		must(o.t, err)
		return len(released) == 0
	})
	reclaimAll(o.t, o.s)
	checkHeld(o.t, o.s, roomtest.SizesOf(all))
}

// half makes a DAG of which the network has all but the last few leaves.
func half() (all, missing []blocks.Block) {
	leaves := dagtest.Leaves(400, 50)
	return dagtest.Tree(leaves, 10), leaves[390:]
}

func without(all, some []blocks.Block) (rest []blocks.Block) {
	left := roomtest.SizesOf(some)
	for _, b := range all {
		if _, out := left[string(b.Cid().Hash())]; !out {
			rest = append(rest, b)
		}
	}
	return rest
}

func TestRemoveWhileFetching(t *testing.T) {
	all, missing := half()
	o := newOverlap(t, without(all, missing)...)
	v := o.add(roomtest.Account, dagtest.Last(all))
	o.awaitBlocks(all)
	o.remove(v)
	o.holds()
	o.net.Add(missing...)
	again := o.add(roomtest.Account, dagtest.Last(all))
	o.awaitPinned(again)
	o.holds(all...)
}

func TestTwoAccountsAndOneRemoves(t *testing.T) {
	all, missing := half()
	o := newOverlap(t, without(all, missing)...)
	one, two := o.add(roomtest.Account, dagtest.Last(all)), o.add(roomtest.ThreeAccounts[1], dagtest.Last(all))
	o.awaitBlocks(all)
	o.remove(one) // on the way
	o.net.Add(missing...)
	o.awaitPinned(two)
	o.holds(all...)
	three := o.add(roomtest.ThreeAccounts[2], dagtest.Last(all))
	o.remove(two) // when it is complete
	if o.status(three) != pin.Pinned {
		t.Errorf("the third is %s", o.status(three))
	}
	o.holds(all...)
	o.remove(three)
	o.holds()
}

func TestReplaceBySameCID(t *testing.T) {
	all, missing := half()
	o := newOverlap(t, without(all, missing)...)
	v := o.add(roomtest.Account, dagtest.Last(all))
	o.awaitBlocks(all)
	for range 3 { // on the way, and later when it is complete
		now, err := o.pins.Replace(t.Context(), roomtest.Account, v.ID, v.Spec)
		must(t, err)
		v = now
	}
	o.net.Add(missing...)
	o.awaitPinned(v)
	asked := o.net.Asked()
	for range 3 {
		now, err := o.pins.Replace(t.Context(), roomtest.Account, v.ID, v.Spec)
		must(t, err)
		if v = now; v.Status != pin.Pinned {
			t.Errorf("it is %s", v.Status)
		}
	}
	o.holds(all...)
	if o.net.Asked() != asked {
		t.Error("it was fetched again")
	}
	o.remove(v)
	o.holds()
}

// A new version is fetched while the old one goes: shared blocks are neither fetched
// again nor deleted, whichever is done first.
func TestReplaceByNewVersion(t *testing.T) {
	leaves := dagtest.Leaves(400, 50)
	old := dagtest.Tree(leaves, 10)
	leaves[123] = dagtest.Raw("changed")
	now := dagtest.Tree(leaves, 10)
	o := newOverlap(t, old...)
	v := o.add(roomtest.Account, dagtest.Last(old))
	o.awaitPinned(v)
	asked := o.net.Asked()
	next, err := o.pins.Replace(t.Context(), roomtest.Account, v.ID, pin.Spec{CID: dagtest.Last(now).String(), Root: dagtest.Last(now)})
	must(t, err)
	reclaimAll(t, o.s)
	for _, b := range old {
		if !roomtest.Has(t, o.s, b) {
			t.Fatalf("%s went before the new version is there", b.Cid())
		}
	}
	o.net.Add(now...)
	o.awaitPinned(next)
	o.holds(now...)
	if n := o.net.Asked() - asked; n != 4 {
		t.Errorf("%d blocks were asked for", n)
	}
}
