package pin_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

const grace = 24 * time.Hour

// pinned pins the n-th DAG of so many blocks.
func (r *rig) pinned(account string, n, blocks int) pin.View {
	r.t.Helper()
	r.net.set(dag(n), content{blocks: blocks})
	return r.after(10*time.Second, r.add(account, n), pin.Pinned)
}

// lingersBig has the n-th DAG linger, which has more bytes than are asked for at a time.
func (r *rig) lingersBig(n int) {
	r.t.Helper()
	r.net.set(dag(n), content{blocks: 3, size: 64 << 20})
	r.unpin(r.after(10*time.Second, r.add(alice, n), pin.Pinned))
}

func (r *rig) unpin(v pin.View) {
	r.t.Helper()
	if err := r.Unpin(r.t.Context(), v.Account, v.Root); err != nil {
		r.t.Fatalf("unpin: %v", err)
	}
}

// addOnce asks for DAG number n, and checks whether that made a request.
func (r *rig) addOnce(account string, n int, want bool) pin.View {
	r.t.Helper()
	v, made, err := r.AddOnce(r.t.Context(), account, pintest.DAGSpec(n))
	if err != nil || made != want {
		r.t.Fatalf("AddOnce: made %v, %v, want %v", made, err, want)
	}
	return v
}

// lingers checks how many DAGs linger.
func (r *rig) lingers(want int) {
	r.t.Helper()
	l, err := r.Lingering(r.t.Context())
	if err != nil || l.DAGs != uint64(want) {
		r.t.Errorf("%+v lingers, %v, want %d", l, err, want)
	}
}

// restart closes the manager, and starts another on the same records.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.recs.Records = r.recs.Reopen()
	r.net.number = r.recs.NewUpload
	r.start()
}

// What is unpinned by CID is not shown any more, stays, and comes back without a fetch. It goes
// when its grace is over.
func TestUnpinLingers(t *testing.T) {
	run(t, pin.Config{UnpinGrace: grace}, func(r *rig) {
		t := r.t
		v := r.pinned(alice, 1, 3)
		got, err := r.ByCID(t.Context(), alice, v.Root)
		if err != nil || got.ID != v.ID {
			t.Errorf("ByCID gives %s, %v, want %s", got.ID, err, v.ID)
		}
		r.unpin(v)
		_, byCID := r.ByCID(t.Context(), alice, v.Root)
		_, byID := r.Get(t.Context(), alice, v.ID)
		if again := r.Unpin(t.Context(), alice, v.Root); !errors.Is(byCID, pin.ErrNotFound) || !errors.Is(byID, pin.ErrNotFound) || !errors.Is(again, pin.ErrNotFound) {
			t.Errorf("after the unpin: %v; %v; %v", byCID, byID, again)
		}
		stays := func() {
			t.Helper()
			synctest.Wait()
			if all, _ := r.net.keeps(dag(1)); !all || len(r.net.taken()) > 0 {
				t.Errorf("what lingers is kept %v, withdrawn %v", all, r.net.taken())
			}
		}
		stays()
		time.Sleep(grace / 2)
		r.restart()
		time.Sleep(grace/2 - time.Hour)
		stays()
		back := r.addOnce(alice, 1, true)
		if back.Status != pin.Pinned || back.ID == v.ID || r.net.fetches(dag(1)) != 1 {
			t.Errorf("it comes back as %s, after %d fetches", back.Status, r.net.fetches(dag(1)))
		}
		time.Sleep(2 * grace)
		stays()
		r.unpin(back)
		time.Sleep(grace - time.Minute)
		stays()
		time.Sleep(2 * time.Minute)
		if _, some := r.net.keeps(dag(1)); some || !slices.Contains(r.net.taken(), dag(1)) {
			t.Errorf("after its grace it is kept: %v; withdrawn are %v", some, r.net.taken())
		}
		r.lingers(0)
	})
}

// A fetch that was unpinned stops, and goes on where it was.
func TestUnpinOfAFetchLingers(t *testing.T) {
	run(t, pin.Config{UnpinGrace: grace}, func(r *rig) {
		t := r.t
		r.net.set(dag(1), content{blocks: 5, serve: 2})
		v := r.after(10*time.Second, r.add(alice, 1), pin.Pinning)
		r.unpin(v)
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := r.net.walks(); n != 0 || r.dropped() != 0 {
			t.Errorf("%d fetches go on, %d attempts were dropped", n, r.dropped())
		}
		r.restart()
		r.net.set(dag(1), content{blocks: 5})
		r.after(10*time.Second, r.addOnce(alice, 1, true), pin.Pinned)
		r.net.mu.Lock()
		defer r.net.mu.Unlock()
		if len(r.net.had) != 1 || len(r.net.dropped) != 0 {
			t.Errorf("it was fetched under %d attempts, and %d were dropped", len(r.net.had), len(r.net.dropped))
		}
	})
}

// To remove a request is to unpin it at once, whatever the grace, and so it is with none.
func TestRemoveDoesNotLinger(t *testing.T) {
	run(t, pin.Config{UnpinGrace: grace}, func(r *rig) {
		t := r.t
		v := r.pinned(alice, 1, 3)
		if err := r.Remove(t.Context(), alice, v.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, some := r.net.keeps(dag(1)); some {
			t.Error("what was removed is kept")
		}
		// All of an account goes, and what it unpinned before.
		r.unpin(r.pinned(alice, 2, 3))
		r.unpin(r.pinned(bob, 3, 3))
		if _, err := r.RemoveAll(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		r.lingers(1)
	})
	run(t, pin.Config{}, func(r *rig) {
		r.unpin(r.pinned(alice, 1, 3))
		synctest.Wait()
		if _, some := r.net.keeps(dag(1)); some {
			t.Error("without a grace, what was unpinned is kept")
		}
	})
}

// All that lingers can be ended at once.
func TestEndLingering(t *testing.T) {
	run(t, pin.Config{UnpinGrace: grace}, func(r *rig) {
		t := r.t
		for n := range 3 {
			r.unpin(r.pinned(alice, n, 3))
		}
		r.pinned(alice, 4, 3)
		if e, err := r.EndLingering(t.Context()); err != nil || e.Graces != 3 || e.Bytes != 900 {
			t.Errorf("ended %+v, %v", e, err)
		}
		if err := r.WaitUnpinned(t.Context()); err != nil || r.dropped() != 3 {
			t.Errorf("%v, and %d attempts were dropped", err, r.dropped())
		}
		r.lingers(0)
	})
}

// Of many who add one CID at the same time one makes a request; versions 0 and 1 are two.
func TestAddOnce(t *testing.T) {
	run(t, pin.Config{UnpinGrace: grace}, func(r *rig) {
		t := r.t
		mh := pintest.DAGSpec(1).Root.Hash()
		versions := []cid.Cid{cid.NewCidV0(mh), cid.NewCidV1(cid.DagProtobuf, mh)}
		r.net.set(pin.DAGOf(versions[0]), content{blocks: 1})
		r.recs.SetFault(func(method string) error { // others come meanwhile
			if method == "Add" {
				time.Sleep(time.Second)
			}
			return nil
		})
		var makes atomic.Int64
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				c := versions[i%2]
				v, made, err := r.AddOnce(t.Context(), alice, pin.Spec{CID: c.String(), Root: c})
				if err != nil || v.CID != c.String() {
					t.Errorf("%s: %v", v.CID, err)
				}
				if made {
					makes.Add(1)
				}
			})
		}
		all.Wait()
		if n := makes.Load(); n != 2 {
			t.Errorf("%d requests were made", n)
		}
		time.Sleep(10 * time.Second)
		// To unpin one leaves the other, and lingering begins with the last.
		if err := r.Unpin(t.Context(), alice, versions[0]); err != nil {
			t.Error(err)
		}
		r.lingers(0)
		v, made, err := r.AddOnce(t.Context(), alice, pin.Spec{CID: versions[1].String(), Root: versions[1]})
		if err != nil || made || v.Status != pin.Pinned {
			t.Errorf("the other is %s, made %v, %v", v.Status, made, err)
		}
		if err := r.Unpin(t.Context(), alice, versions[1]); err != nil {
			t.Error(err)
		}
		r.lingers(1)
		// One that failed is given as it is.
		r.net.set(dag(5), content{refuse: "no"})
		bad := r.after(10*time.Second, r.addOnce(alice, 5, true), pin.Failed)
		if v := r.addOnce(alice, 5, false); v.ID != bad.ID || v.Details != "no" {
			t.Errorf("what failed is given as %+v", v.Request)
		}
		// Of several, made otherwise, the furthest counts, and all go.
		r.add(alice, 6)
		r.net.set(dag(6), content{blocks: 1})
		best := r.add(alice, 6)
		r.add(alice, 6)
		time.Sleep(10 * time.Second)
		if v := r.addOnce(alice, 6, false); v.Status != pin.Pinned {
			t.Errorf("of several the one that is %s counts", v.Status)
		}
		r.unpin(best)
		if _, err := r.ByCID(t.Context(), alice, best.Root); !errors.Is(err, pin.ErrNotFound) {
			t.Errorf("some are left: %v", err)
		}
		r.lingers(2)
	})
}

// To unpin one request of several leaves the others, and the last has its DAG linger.
func TestUnpinRequest(t *testing.T) {
	run(t, pin.Config{UnpinGrace: grace}, func(r *rig) {
		t := r.t
		given, stays := r.pinned(alice, 1, 3), r.add(alice, 1)
		if err := r.UnpinRequest(t.Context(), alice, given.ID); err != nil {
			t.Error(err)
		}
		r.after(time.Second, stays, pin.Pinned)
		r.lingers(0)
		for _, want := range []error{nil, pin.ErrNotFound} {
			if err := r.UnpinRequest(t.Context(), alice, stays.ID); !errors.Is(err, want) {
				t.Errorf("it answers %v, want %v", err, want)
			}
		}
		r.lingers(1)
	})
}

// disk is a full disk: there is room again once so many attempts were dropped and reclaimed.
type disk struct {
	r        *rig
	drops    int // of the rig, after which there is room
	reclaims atomic.Int64
	room     atomic.Bool
}

// fill makes the disk full until so many more attempts are dropped, once what lingers is old enough
// to give way.
func (d *disk) fill(drops int) {
	time.Sleep(pin.FullGrace + 7*time.Second) // not just when a fetch that was begun before gives up
	d.fillNow(drops)
}

func (d *disk) fillNow(drops int) {
	d.drops = d.r.dropped() + drops
	d.room.Store(false)
	d.reclaims.Store(0)
	d.r.recs.SetFault(func(method string) error {
		if (method == "Add" || method == "Room" || method == "Upload") && !d.room.Load() {
			return &pin.DiskFullError{Free: 1, Kept: 2}
		}
		return nil
	})
}

func (d *disk) reclaim(context.Context) error {
	d.reclaims.Add(1)
	if d.r.dropped() >= d.drops {
		d.room.Store(true)
	}
	return nil
}

// What lingers gives way before a pin is refused: what is dead anyway first, then the oldest, and no
// more than is needed. Uploads that are kept come after it.
func TestLingeringGivesWayToAFullDisk(t *testing.T) {
	var d disk
	run(t, pin.Config{UnpinGrace: grace, Reclaim: func(ctx context.Context) error { return d.reclaim(ctx) }}, func(r *rig) {
		t := r.t
		d.r = r
		refused := func(n int) {
			t.Helper()
			began := time.Now()
			_, err := r.Add(t.Context(), bob, pintest.DAGSpec(n))
			if !errors.Is(err, pin.ErrDiskFull) || time.Since(began) > 0 || d.reclaims.Load() != 0 {
				t.Errorf("with nothing to give way: %v after %v and %d reclaims", err, time.Since(began), d.reclaims.Load())
			}
		}
		d.fill(0)
		refused(50)
		time.Sleep(time.Minute)
		d.room.Store(true)

		for n := range 3 {
			r.lingersBig(n)
			time.Sleep(time.Minute)
		}
		d.fill(0) // the room is there already, but for the reclaim
		r.add(bob, 50)
		if n := d.reclaims.Load(); n != 1 {
			t.Errorf("%d reclaims", n)
		}
		r.lingers(3)
		d.fill(1)
		r.add(bob, 51)
		r.lingers(2)
		if _, some := r.net.keeps(dag(0)); some {
			t.Error("another than the oldest gave way")
		}
		back := r.addOnce(alice, 1, true)
		if back.Status != pin.Pinned {
			t.Errorf("what did not give way comes back as %s", back.Status)
		}
		r.lingers(1)

		d.room.Store(true)
		u := r.upload(alice, 7, 3)
		if err := errors.Join(u.Keep(t.Context()), u.Close()); err != nil {
			t.Fatal(err)
		}
		d.fill(1)
		r.add(bob, 52)
		r.lingers(0)
		if n := r.held(); n != 1 {
			t.Errorf("%d uploads are kept, want 1", n)
		}
		d.fill(1)
		r.add(bob, 53)
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are kept, want none", n)
		}
		// One that only repeats what is there holds that all the same.
		d.room.Store(true)
		r.net.mu.Lock()
		r.net.here = true
		r.net.mu.Unlock()
		u = r.upload(alice, 8, 3)
		if err := errors.Join(u.Keep(t.Context()), u.Close()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		d.fill(1)
		r.add(bob, 54)
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads of what is there are kept, want none", n)
		}
		d.fill(1)
		time.Sleep(time.Minute)
		refused(55)
	})
}

// What was unpinned or put a moment ago does not give way: it may be the only copy. Those that are
// refused meanwhile have the disk reclaimed once a minute.
func TestFreshGraceStaysOnAFullDisk(t *testing.T) {
	var d disk
	run(t, pin.Config{UnpinGrace: grace, Reclaim: func(ctx context.Context) error { return d.reclaim(ctx) }}, func(r *rig) {
		t := r.t
		d.r = r
		u := r.upload(alice, 7, 3)
		if err := errors.Join(u.Keep(t.Context()), u.Close()); err != nil {
			t.Fatal(err)
		}
		r.lingersBig(1)
		d.fillNow(1)
		for range 9 {
			for range 3 {
				if _, err := r.Add(t.Context(), bob, pintest.DAGSpec(50)); !errors.Is(err, pin.ErrDiskFull) {
					t.Errorf("what is fresh gives way: %v", err)
				}
			}
			time.Sleep(time.Minute)
		}
		if n := d.reclaims.Load(); n != 9 {
			t.Errorf("%d reclaims in 9 minutes", n)
		}
		r.lingers(1)
		if n := r.held(); n != 1 {
			t.Errorf("%d uploads are held", n)
		}
		d.fill(1)
		r.add(bob, 50)
		r.lingers(0)
		d.fillNow(1)
		r.add(bob, 51)
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are held, want none", n)
		}
	})
}

// Many who are refused at the same time have room made once.
func TestRoomIsMadeOnce(t *testing.T) {
	var d disk
	run(t, pin.Config{UnpinGrace: grace, Reclaim: func(ctx context.Context) error {
		time.Sleep(time.Second)
		return d.reclaim(ctx)
	}}, func(r *rig) {
		d.r = r
		for n := range 3 {
			r.lingersBig(n)
		}
		d.fill(1)
		var all sync.WaitGroup
		for n := range 20 {
			all.Go(func() { r.add(bob, 50+n) })
		}
		all.Wait()
		if n := d.reclaims.Load(); n != 2 {
			t.Errorf("%d reclaims, want 2", n)
		}
		r.lingers(2)
	})
}

// A client does not wait for ever, and one that hangs up does not wait.
func TestRoomTakesTooLong(t *testing.T) {
	var d disk
	run(t, pin.Config{UnpinGrace: grace, Reclaim: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}, func(r *rig) {
		t := r.t
		d.r = r
		r.unpin(r.pinned(alice, 1, 3))
		d.fill(1)
		began := time.Now()
		if _, err := r.Add(t.Context(), bob, pintest.DAGSpec(50)); !errors.Is(err, pin.ErrDiskFull) || time.Since(began) > 2*time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if _, err := r.Add(ctx, bob, pintest.DAGSpec(50)); err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("a client that hangs up waits %v: %v", time.Since(began), err)
		}
		r.lingers(1) // the first reclaim has not ended
	})
}

// A drop that fails again and again keeps neither clients nor reclaims waiting, and nothing more gives
// way meanwhile.
func TestRoomThoughADropFails(t *testing.T) {
	var d disk
	run(t, pin.Config{UnpinGrace: grace, Reclaim: func(ctx context.Context) error { return d.reclaim(ctx) }}, func(r *rig) {
		t := r.t
		d.r = r
		r.lingersBig(1)
		r.lingersBig(2)
		d.fill(1)
		r.net.setFault(func(method string) error {
			switch {
			case method == "Drop":
				return errors.New("it cannot be read")
			case method == "Room" && !d.room.Load():
				return &pin.DiskFullError{Free: 1, Kept: 2}
			}
			return nil
		})
		if _, err := r.Add(t.Context(), bob, pintest.DAGSpec(50)); !errors.Is(err, pin.ErrDiskFull) {
			t.Errorf("without room: %v", err)
		}
		time.Sleep(2 * time.Minute)
		r.lingers(1)
		d.drops = 0 // something else is dead by now
		r.add(bob, 50)
		r.lingers(1)
	})
}

// A fetch that finds the disk full has what lingers give way too.
func TestLingeringGivesWayToAFetch(t *testing.T) {
	var r0 *rig
	run(t, pin.Config{UnpinGrace: grace, Reclaim: func(context.Context) error {
		if r0.dropped() > 0 {
			r0.net.mu.Lock()
			r0.net.full = false
			r0.net.mu.Unlock()
			r0.recs.SetFault(nil)
		}
		return nil
	}}, func(r *rig) {
		r0 = r
		r.lingersBig(1)
		r.lingersBig(2)
		time.Sleep(pin.FullGrace)
		r.net.set(dag(3), content{blocks: 3})
		r.net.mu.Lock()
		r.net.full = true
		r.net.mu.Unlock()
		r.recs.SetFault(func(method string) error {
			if method == "Room" {
				return &pin.DiskFullError{Kept: 1, More: 1}
			}
			return nil
		})
		r.after(10*time.Minute, r.add(bob, 3), pin.Pinned)
		r.lingers(1)
	})
}

// What an upload keeps stays without a request, through restarts, and goes after a day. It counts
// against the quota of bytes.
func TestUploadIsKept(t *testing.T) {
	quota := pintest.QuotaFunc(func(string) pin.Quota { return pin.Quota{Bytes: 1000} })
	run(t, pin.Config{Quotas: quota}, func(r *rig) {
		t := r.t
		u := r.upload(alice, 1, 6)
		if err := u.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := uploadOf(2, 1)[0]
		if err := u.Put(t.Context(), b.CID, b.Data); err == nil {
			t.Error("a block is taken after Keep")
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		if n := r.held(); n != 1 {
			t.Errorf("%d uploads are held", n)
		}
		time.Sleep(time.Hour)
		r.restart()
		time.Sleep(time.Hour)
		if n := r.held(); n != 1 {
			t.Errorf("after a restart %d uploads are held", n)
		}
		other := r.upload(alice, 2, 4)
		time.Sleep(2 * time.Second)
		var over *pin.QuotaError
		if err := r.put(other, 3, 1); !errors.As(err, &over) || over.Used != 600 {
			t.Errorf("beyond the quota: %v", err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if n := r.held(); n != 1 {
			t.Errorf("%d uploads are held, want the one that is kept", n)
		}
		// A pin finds it.
		v := r.after(10*time.Second, r.addOnce(alice, 1, true), pin.Pinned)
		if v.Totals.Blocks != 6 {
			t.Errorf("it has %+v", v.Totals)
		}
		time.Sleep(pin.LooseGrace)
		if n := r.held(); n != 0 {
			t.Errorf("after a day %d uploads are held", n)
		}
		r.after(0, v, pin.Pinned)
	})
}

// Without a quota of bytes nobody asks what is kept, which takes longer the more that is.
func TestKeptUploadsAreCountedForAQuota(t *testing.T) {
	for _, bytes := range []uint64{0, 1000} {
		var asked atomic.Int64
		quota := pintest.QuotaFunc(func(string) pin.Quota { return pin.Quota{Pins: 10, Bytes: bytes} })
		run(t, pin.Config{Quotas: quota}, func(r *rig) {
			r.recs.SetFault(func(method string) error {
				if method == "KeptUploads" {
					asked.Add(1)
				}
				return nil
			})
			if err := r.upload(alice, 1, 3).Close(); err != nil {
				r.t.Error(err)
			}
		})
		if got := asked.Load() > 0; got != (bytes > 0) {
			t.Errorf("with a quota of %d bytes it is asked: %v", bytes, got)
		}
	}
}

// What was not durable when the client was answered is not kept: a crash before Keep leaves nothing.
func TestUploadThatIsNotKept(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		t := r.t
		u := r.upload(alice, 1, 3)
		r.recs.SetFault(func(method string) error {
			if method == "KeepUpload" {
				return pin.ErrUnwritable
			}
			return nil
		})
		if err := u.Keep(t.Context()); !errors.Is(err, pin.ErrUnwritable) {
			t.Errorf("Keep: %v", err)
		}
		r.recs.SetFault(nil)
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		if n := r.held(); n != 0 {
			t.Errorf("%d uploads are held", n)
		}
	})
}

// Where nothing can be written any more nothing gives way, and a client is not kept waiting.
func TestNothingGivesWayWhereNothingIsWritten(t *testing.T) {
	var d disk
	run(t, pin.Config{UnpinGrace: grace, Reclaim: func(ctx context.Context) error { return d.reclaim(ctx) }}, func(r *rig) {
		t := r.t
		d.r = r
		r.lingersBig(1)
		full := &pin.DiskFullError{Free: 1, Kept: 2, Upkeep: true}
		r.recs.SetFault(func(method string) error {
			switch method {
			case "Add", "Room", "EndOldest", "EndOldestUploads":
				return full
			}
			return nil
		})
		began := time.Now()
		if _, err := r.Add(t.Context(), bob, pintest.DAGSpec(50)); !errors.Is(err, pin.ErrDiskFull) || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if n := d.reclaims.Load(); n != 1 {
			t.Errorf("%d reclaims", n)
		}
		r.lingers(1)
	})
}
