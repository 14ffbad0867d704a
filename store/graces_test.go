package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// wantNeeded checks whether blocks are there and are to be served.
func wantNeeded(t *testing.T, s *Store, all []blocks.Block, want bool) {
	t.Helper()
	for _, b := range all {
		needed, err := s.Needed(t.Context(), b.Cid().Hash())
		if err != nil || want && !needed || roomtest.Has(t, s, b) != want { // it may count for another moment
			t.Errorf("block %s is needed: %v, there: %v, %v; want %v", b.Cid(), needed, roomtest.Has(t, s, b), err, want)
		}
	}
}

// leavesOf makes blocks of random bytes that link to nothing.
func leavesOf(seed uint64, n, size int) (all []blocks.Block) {
	for _, b := range roomtest.SomeBlocks(seed, n, size) {
		all = append(all, dagtest.Raw(string(b.RawData())))
	}
	return all
}

func specOf(c cid.Cid) pin.Spec { return pin.Spec{CID: c.String(), Root: c} }

// What lingers is served, and reclaims leave it alone, until that ends.
func TestLingeringIsServed(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := dagtest.Tree(dagtest.Leaves(20, 500), 5)
	p, bytes := roomtest.PinDAG(t, s, all), uint64(0)
	for _, size := range roomtest.SizesOf(all) {
		bytes += uint64(size)
	}
	_, released, err := s.Linger(t.Context(), roomtest.Account, p.Request.ID)
	must(t, err)
	if len(released) > 0 {
		t.Errorf("released are %v", released)
	}
	if n := reclaimAll(t, s); n != 0 {
		t.Errorf("%d blocks were deleted", n)
	}
	wantNeeded(t, s, all, true)
	sp, err := s.Space(t.Context())
	must(t, err)
	if sp.Used == 0 || sp.Lingering != min(bytes, sp.Used) || sp.Dead != 0 {
		t.Errorf("space is %+v, of %d bytes that linger", sp, bytes)
	}
	e, _, err := s.EndLingering(t.Context(), "", 0)
	must(t, err)
	if len(e.Released) != 1 || e.Released[0] != p.Attempt || e.Bytes != bytes {
		t.Errorf("ended %+v, want attempt %d of %d bytes", e, p.Attempt, bytes)
	}
	must(t, s.Drop(t.Context(), p.Attempt))
	counted, err := s.count(t.Context())
	must(t, err)
	s.tally.counted = counted
	if sp, err = s.Space(t.Context()); err != nil || sp.Lingering != 0 || sp.Dead != min(bytes, sp.Used) {
		t.Errorf("after the drop space is %+v, %v", sp, err)
	}
	reclaimAll(t, s)
	if sp, err = s.Space(t.Context()); err != nil || s.Counted().Dead.Bytes != 0 {
		t.Errorf("after the reclaim space is %+v, %+v are counted, %v", sp, s.Counted(), err)
	}
	wantNeeded(t, s, all, false)
}

// What an upload holds that is kept is served, through reclaims and restarts, and a pin finds it.
func TestKeptUploadIsServed(t *testing.T) {
	dir := t.TempDir()
	s, lock := openSmall(t, dir)
	tree := dagtest.Tree(dagtest.Leaves(30, 300), 6)
	alone := leavesOf(77, 3, 400) // that nothing links to
	never := leavesOf(78, 3, 400)
	upload := func(bs []blocks.Block, keep bool) {
		t.Helper()
		w := &walker{t: t, Store: s, dir: t.TempDir()}
		pins, err := pin.New(t.Context(), pin.Config{Logger: slog.New(slog.DiscardHandler)}, s, w)
		must(t, err)
		defer func() { must(t, pins.Close()) }()
		u, err := pins.Upload(t.Context(), roomtest.Account)
		must(t, err)
		defer func() { must(t, u.Close()) }()
		for _, b := range bs {
			must(t, u.Put(t.Context(), b.Cid(), b.RawData()))
		}
		if keep {
			must(t, u.Keep(t.Context()))
		}
		must(t, u.Close())
		must(t, pins.WaitUnpinned(t.Context()))
	}
	upload(tree, true)
	upload(alone, true)
	upload(never, false)
	for range 2 {
		reclaimAll(t, s)
		wantNeeded(t, s, tree, true)
		wantNeeded(t, s, alone, true)
		wantNeeded(t, s, never, false)
		released, err := s.held.Released(t.Context())
		if must(t, err); len(released) > 0 {
			t.Errorf("released are %v", released)
		}
		must(t, s.Close())
		must(t, lock.Close())
		s, lock = openSmall(t, dir)
	}
	defer func() {
		must(t, s.Close())
		must(t, lock.Close())
	}()
	sum, err := s.KeptUploads(t.Context(), roomtest.Account)
	if must(t, err); sum.Blocks != uint64(len(tree)+len(alone)) {
		t.Errorf("kept are %+v of %d blocks", sum, len(tree)+len(alone))
	}
	if other, err := s.KeptUploads(t.Context(), roomtest.ThreeAccounts[1]); err != nil || other != (pin.Totals{}) {
		t.Errorf("another account has %+v, %v", other, err)
	}
	// The network has nothing, and is asked for nothing.
	w := &walker{t: t, f: &family{below: map[cid.Cid]map[string]int{dagtest.Last(tree): roomtest.SizesOf(tree)}}, Store: s, net: walktest.NewNetwork(), dir: t.TempDir()}
	pins, err := pin.New(t.Context(), pin.Config{Logger: slog.New(slog.DiscardHandler)}, s, w)
	must(t, err)
	defer func() { must(t, pins.Close()) }()
	v, err := pins.Add(t.Context(), roomtest.Account, specOf(dagtest.Last(tree)))
	must(t, err)
	for deadline := time.Now().Add(time.Minute); v.Status != pin.Pinned; time.Sleep(2 * time.Millisecond) {
		v, err = pins.Get(t.Context(), roomtest.Account, v.ID)
		must(t, err)
		if time.Now().After(deadline) {
			t.Fatalf("it is %s: %v", v.Status, v.Info)
		}
	}
	if n := w.net.Asked(); n > 0 {
		t.Errorf("%d blocks were asked for", n)
	}
	// What is pinned does not count twice. What is not stays.
	e, err := s.EndPinnedUploads(t.Context())
	if must(t, err); e.Graces != 1 || e.Blocks != uint64(len(tree)) {
		t.Errorf("%+v is pinned, want the one of %d blocks", e, len(tree))
	}
	for _, a := range e.Released {
		must(t, s.Drop(t.Context(), a))
	}
	if sum, err := s.KeptUploads(t.Context(), roomtest.Account); err != nil || sum.Blocks != uint64(len(alone)) {
		t.Errorf("then %+v are kept, %v", sum, err)
	}
	reclaimAll(t, s)
	wantNeeded(t, s, tree, true)
	wantNeeded(t, s, alone, true)
	if e, err = s.EndPinnedUploads(t.Context()); err != nil || e.Graces != 0 {
		t.Errorf("then %+v is pinned, %v", e, err)
	}
	e, _, err = s.EndUploads(t.Context(), roomtest.Account, 0)
	must(t, err)
	for _, a := range e.Released {
		must(t, s.Drop(t.Context(), a))
	}
	reclaimAll(t, s)
	wantNeeded(t, s, tree, true)
	wantNeeded(t, s, alone, false)
	roomtest.CheckInvariants(t, s.kv)
}

// What is no upload, or was dropped, cannot be kept; and what is kept cannot be dropped.
func TestKeepUpload(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	p := roomtest.PinDAG(t, s, dagtest.Chain(3))
	keep := func(a pin.Attempt) error {
		return s.KeepUpload(t.Context(), roomtest.Account, a, pin.Totals{Blocks: 1, Bytes: 10})
	}
	gone, err := s.NewUpload(t.Context())
	must(t, err)
	must(t, s.Drop(t.Context(), gone))
	for _, a := range []pin.Attempt{p.Attempt, gone, 1 << 40} {
		if err := keep(a); err == nil {
			t.Errorf("attempt %d is kept", a)
		}
	}
	p.Remove(t, s)
	if err := keep(p.Attempt); err == nil {
		t.Error("what a pin released is kept")
	}
	a, err := s.NewUpload(t.Context())
	must(t, err)
	must(t, keep(a))
	must(t, s.Drop(t.Context(), a))
	must(t, s.Dropped(t.Context(), a))
	if sum, err := s.KeptUploads(t.Context(), ""); err != nil || sum.Bytes != 10 {
		t.Errorf("kept are %+v, %v", sum, err)
	}
	e, err := s.EndOldestUploads(t.Context(), 0, 0)
	if must(t, err); len(e.Released) != 1 || e.Released[0] != a {
		t.Errorf("ended %+v", e)
	}
	if released, err := s.held.Released(t.Context()); err != nil || len(released) != 1 {
		t.Errorf("released are %v, %v", released, err)
	}
}

// A disk that is full of what lingers takes a pin all the same: the oldest gives way, and no more.
func TestLingeringGivesWay(t *testing.T) {
	const mib = 1 << 20
	disk := uint64(1 << 40)
	var later atomic.Int64 // by how much the clock is ahead
	s := openServed(t, t.TempDir(), Config{
		MinFreeSpace: 320 * mib, Reserve: 256 * mib,
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
		FreeSpace: func(dir string) (uint64, error) {
			used, err := space.DiskUse(dir)
			return disk - min(used, disk), err
		},
	})
	dag := func(seed uint64, count int) (root cid.Cid, all []blocks.Block) {
		all = leavesOf(seed, count, mib/4)
		top := dagtest.PB(fmt.Sprint(seed), dagtest.CIDs(all)...)
		return top.Cid(), append(all, top)
	}
	f := &family{below: map[cid.Cid]map[string]int{}}
	net := walktest.NewNetwork()
	var roots []cid.Cid
	for i, count := range []int{280, 280, 20, 100} { // the first two have more than gives way at a time
		root, all := dag(uint64(9000+i), count)
		f.below[root] = roomtest.SizesOf(all)
		net.Add(all...)
		roots = append(roots, root)
	}
	w := &walker{t: t, f: f, Store: s, net: net, dir: t.TempDir()}
	pins, err := pin.New(t.Context(), pin.Config{
		UnpinGrace: time.Hour, Logger: slog.New(slog.DiscardHandler),
		Reclaim: func(ctx context.Context) error { _, err := s.Reclaim(ctx, nil); return err },
	}, s, w)
	must(t, err)
	defer func() { must(t, pins.Close()) }()
	pinned := func(root cid.Cid) {
		t.Helper()
		v, _, err := pins.AddOnce(t.Context(), roomtest.Account, specOf(root))
		must(t, err)
		for deadline := time.Now().Add(2 * time.Minute); v.Status != pin.Pinned; time.Sleep(5 * time.Millisecond) {
			if v, err = pins.ByCID(t.Context(), roomtest.Account, root); err != nil || time.Now().After(deadline) {
				t.Fatalf("%s: %s, %v, %v", root, v.Status, v.Info, err)
			}
		}
	}
	for _, root := range roots[:2] {
		pinned(root)
		must(t, pins.Unpin(t.Context(), roomtest.Account, root))
	}
	pinned(roots[2])
	used, err := s.DiskUse()
	must(t, err)
	disk = used + 319*mib // below the floor
	if err := s.Room(t.Context(), 0); !errors.Is(err, pin.ErrDiskFull) {
		t.Fatalf("there is room: %v", err)
	}
	// What lingers is taken back without room, and nothing gives way to that.
	v, made, err := pins.AddOnce(t.Context(), roomtest.Account, specOf(roots[0]))
	if err != nil || !made || v.Status != pin.Pinned {
		t.Errorf("what lingers on a full disk is %s, %v", v.Status, err)
	}
	if l, err := pins.Lingering(t.Context()); err != nil || l.DAGs != 1 {
		t.Errorf("%+v lingers, %v, want the other one", l, err)
	}
	must(t, pins.Unpin(t.Context(), roomtest.Account, roots[0])) // it is the younger one now
	later.Store(int64(pin.FullGrace))
	pinned(roots[3]) // the request is taken, and the fetch has room
	if l, err := pins.Lingering(t.Context()); err != nil || l.DAGs != 1 {
		t.Errorf("%+v lingers, %v, want one of two", l, err)
	}
	v, made, err = pins.AddOnce(t.Context(), roomtest.Account, specOf(roots[0]))
	if err != nil || !made || v.Status != pin.Pinned {
		t.Errorf("what did not give way is %s, %v", v.Status, err)
	}
}

// To look for a request changes nothing, and does not wait for changes that are made, unless one
// is for the same DAG.
func TestForWaitsForNobody(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	r, err := s.Add(t.Context(), roomtest.Account, specOf(dagtest.Raw("there").Cid()))
	must(t, err)
	busy, end, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- s.kv.Update(t.Context(), func(*kv.Tx) error {
			close(busy)
			<-end
			return nil
		})
	}()
	<-busy // nothing can be committed from now on
	for i := range 100 {
		none, err := s.For(t.Context(), roomtest.Account, dagtest.Raw(fmt.Sprint(i)).Cid(), 10)
		some, err2 := s.For(t.Context(), roomtest.Account, r.Root, 10)
		if err := errors.Join(err, err2); err != nil || len(none) != 0 || len(some) != 1 {
			t.Fatalf("%d and %d requests, %v", len(none), len(some), err)
		}
	}
	close(end)
	must(t, <-ended)
}

// keepOne keeps an upload of one block that is not there.
func keepOne(ctx context.Context, s *Store) error {
	a, err := s.NewUpload(ctx)
	if err == nil {
		err = s.KeepUpload(ctx, roomtest.Account, a, pin.Totals{Blocks: 1})
	}
	return err
}

// A clock that was ahead lengthens no grace by more than that grace, however many began meanwhile.
func TestManyGracesBeganAheadOfTheClock(t *testing.T) {
	const grace = time.Hour
	var ahead atomic.Int64
	s := openTest(t, t.TempDir(), Config{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	ahead.Store(int64(365 * 24 * time.Hour))
	var all errgroup.Group
	const n = pin.EndsAtOnce + 3
	for i := range n {
		all.Go(func() error {
			r, err := s.Add(t.Context(), roomtest.Account, specOf(dagtest.Raw(fmt.Sprint(i)).Cid()))
			if err == nil {
				_, _, err = s.Linger(t.Context(), roomtest.Account, r.ID)
			}
			return err
		})
		all.Go(func() error { return keepOne(t.Context(), s) })
	}
	must(t, all.Wait())
	ended := func(end func(context.Context, string, time.Duration) (pin.Ended, bool, error)) (n int) {
		t.Helper()
		for more := true; more; {
			e, again, err := end(t.Context(), "", grace)
			must(t, err)
			n += e.Graces
			more = again
		}
		return n
	}
	for name, end := range map[string]func(context.Context, string, time.Duration) (pin.Ended, bool, error){
		"what lingers": s.EndLingering, "uploads": s.EndUploads,
	} {
		ahead.Store(0)
		if got := ended(end); got != 0 {
			t.Errorf("%s: %d ended when the clock was set back", name, got)
		}
		ahead.Store(int64(grace))
		if got := ended(end); got != n {
			t.Errorf("%s: %d ended after their grace, want %d", name, got, n)
		}
	}
}

// An upload is kept although a DAG has its root: read as bytes, it has nothing of what is below.
func TestUploadIsNotPinnedByItsRootAlone(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	tree := dagtest.Chain(3)
	root := dagtest.Last(tree)
	a, err := s.NewUpload(t.Context())
	must(t, err)
	roomtest.WalkDAG(t, s, a, tree)
	must(t, s.KeepUpload(t.Context(), roomtest.Account, a, pin.Totals{Blocks: 3}))
	bytes := dagtest.Raw(string(tree[len(tree)-1].RawData()))
	if string(bytes.Cid().Hash()) != string(root.Hash()) {
		t.Fatal("the root's bytes have another hash")
	}
	roomtest.PinDAG(t, s, []blocks.Block{bytes})
	if e, err := s.EndPinnedUploads(t.Context()); err != nil || e.Graces != 0 {
		t.Errorf("%+v counts as pinned, %v", e, err)
	}
	roomtest.PinDAG(t, s, tree)
	if e, err := s.EndPinnedUploads(t.Context()); err != nil || e.Graces != 1 {
		t.Errorf("%+v is pinned, %v; want the upload", e, err)
	}
}

// What could not be ended is not reported as ended: it would be dropped again and again.
func TestWhatDidNotEndIsNotReleased(t *testing.T) {
	lock, err := Lock(t.TempDir())
	must(t, err)
	opts := space.BadgerOptions()
	opts.MemTableSize = 32 << 10 // a commit has no room for as much as ends at once
	s, err := openWith(t.Context(), lock.dir, Config{Now: new(roomtest.Clock).Now}.withDefaults(), opts, migrations())
	must(t, err)
	defer func() { must(t, errors.Join(s.Close(), lock.Close())) }()
	var all errgroup.Group
	for i := range pin.EndsAtOnce {
		all.Go(func() error {
			r, err := s.Add(t.Context(), roomtest.Account, specOf(dagtest.Raw(fmt.Sprint(i)).Cid()))
			if err == nil {
				_, _, err = s.Begin(t.Context(), r.DAG())
			}
			if err == nil {
				_, _, err = s.Linger(t.Context(), roomtest.Account, r.ID)
			}
			return err
		})
		all.Go(func() error { return keepOne(t.Context(), s) })
	}
	must(t, all.Wait())
	for name, end := range map[string]func(context.Context, string, time.Duration) (pin.Ended, bool, error){
		"what lingers": s.EndLingering, "uploads": s.EndUploads,
	} {
		e, _, err := end(t.Context(), "", 0)
		if err == nil {
			t.Errorf("%s: a commit has room for all", name)
		}
		if e.Graces != 0 || len(e.Released) != 0 {
			t.Errorf("%s: %d ended, and %d attempts are released, with %v", name, e.Graces, len(e.Released), err)
		}
	}
}
