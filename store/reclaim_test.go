package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	blocks "github.com/ipfs/go-block-format"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// reclaimAll reclaims, and gives how many blocks were deleted.
func reclaimAll(t *testing.T, s *Store) uint64 {
	t.Helper()
	r, err := s.Reclaim(t.Context(), nil)
	must(t, err)
	return r.Blocks
}

func TestReclaim(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	bs := roomtest.SomeBlocks(20, 300, 5000)
	mine, both, yours := bs[:100], bs[100:200], bs[200:]
	gone, kept := roomtest.BeginPin(t, s, 1), roomtest.BeginPin(t, s, 2)
	gone.Put(t, s, bs[:200])
	kept.Put(t, s, bs[100:])
	if n := reclaimAll(t, s); n != 0 {
		t.Errorf("%d blocks were deleted that are referred to", n)
	}
	gone.Remove(t, s)
	var stages []string
	r, err := s.Reclaim(t.Context(), func(p ReclaimProgress) {
		if p.Total > 0 && p.Done > p.Total {
			t.Errorf("%d of %d", p.Done, p.Total)
		}
		if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
			stages = append(stages, p.Stage)
		}
	})
	must(t, err)
	if r.Blocks != 100 || r.Bytes != 500_000 {
		t.Errorf("deleted %d blocks of %d bytes", r.Blocks, r.Bytes)
	}
	if len(stages) != 3 {
		t.Errorf("stages %v", stages)
	}
	for _, b := range mine {
		if roomtest.Has(t, s, b) {
			t.Errorf("%s is still there", b.Cid())
		}
	}
	for _, b := range append(both, yours...) {
		if got, err := s.held.Blockstore().Get(t.Context(), b.Cid()); err != nil || string(got.RawData()) != string(b.RawData()) {
			t.Errorf("%s: %v", b.Cid(), err)
		}
	}
	if n, err := s.kv.CountKeys(t.Context(), []byte{holding.KLoose}); err != nil || n != 0 {
		t.Errorf("%d notes are left, %v", n, err)
	}
}

// Space comes back without a restart, all but 15 %, and what is left can be read.
func TestReclaimGivesSpaceBack(t *testing.T) {
	for name, scattered := range map[string]bool{"whole DAGs": false, "scattered": true} {
		t.Run(name, func(t *testing.T) {
			total, opts := 48<<20, roomtest.SmallFiles() // 24 files of the value log
			if *roomtest.Soak {
				total, opts = 256<<20, space.BadgerOptions() // four files
			}
			s := openWithOptions(t, t.TempDir(), Config{}, opts)
			pins := fillMixed(t, s, total, scattered)
			live := 0
			for n, p := range pins {
				if n%5 < 3 {
					p.Remove(t, s)
				} else {
					live += p.Bytes
				}
			}
			r, err := s.Reclaim(t.Context(), nil)
			must(t, err)
			ratio := float64(r.After) / float64(live)
			t.Logf("%.3f bytes for each that is alive, in %v", ratio, r.Elapsed)
			if ratio > 1.15 || r.Before < uint64(total) {
				t.Errorf("%d MiB were taken, and %d MiB are, for %d MiB alive: %.3f", r.Before>>20, r.After>>20, live>>20, ratio)
			}
			if used, err := space.DiskUse(s.dbDir); err != nil || used > r.After+1<<20 {
				t.Errorf("%d bytes are taken, %d are reported; %v", used, r.After, err)
			}
			for n, p := range pins {
				for _, ref := range roomtest.Links(t, s, graph.HolderOf(p.Attempt)) {
					if n%5 < 3 {
						t.Fatalf("attempt %d still refers to %s", p.Attempt, ref.Hash)
					}
					if !s.holds(t, ref.Ref) {
						t.Errorf("%s is lost", ref.Hash)
					}
				}
			}
		})
	}
}

// holds reports whether a block can be read and has its size.
func (s *Store) holds(t *testing.T, ref graph.Ref) bool {
	t.Helper()
	data, found, err := s.lookNow(t, ref)
	if err != nil && !errors.Is(err, pin.ErrUnreadable) {
		t.Error(err)
	}
	return found && len(data) == ref.Size
}

// lookNow reads a block as it is now.
func (s *Store) lookNow(t *testing.T, ref graph.Ref) (data []byte, found bool, err error) {
	t.Helper()
	err = s.kv.View(t.Context(), func(r *kv.Reader) error {
		data, found, err = r.Get(roomtest.BlockKey(ref.Hash))
		return err
	})
	return data, found, err
}

// Blocks that came by the go-datastore are found, singly and in batches.
func TestReclaimOfUnclaimedPuts(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	bs := roomtest.SomeBlocks(24, 20, 2000)
	must(t, s.held.Blockstore().Put(t.Context(), bs[0]))
	must(t, s.held.Blockstore().PutMany(t.Context(), bs[1:]))
	must(t, roomtest.ClaimTo(s, t.Context(), 1, []graph.Ref{roomtest.RefOf(bs[5])}))
	if n := reclaimAll(t, s); n != 19 {
		t.Errorf("%d blocks were deleted", n)
	}
	for i, b := range bs {
		if roomtest.Has(t, s, b) != (i == 5) {
			t.Errorf("block %d is there: %v", i, i != 5)
		}
	}
}

// wantExactly fails unless the blocks that are there are those that something
// refers to.
func wantExactly(t *testing.T, s *Store) {
	t.Helper()
	referred := map[string]bool{}
	must(t, s.kv.Walk(t.Context(), kv.Span{Prefix: []byte{holding.KLinkTo}}, func(key, _ []byte) error {
		l, err := holding.SplitLinkTo(key)
		if err != nil {
			return err
		}
		referred[string(l.Hash)] = true
		if _, ok := roomtest.Read(t, s.kv, roomtest.LinkFrom(l)); !ok {
			t.Errorf("%s has a link from %d that has no other side", l.Hash, l.Holder)
		}
		if _, ok := roomtest.Read(t, s.kv, roomtest.BlockKey(l.Hash)); !ok {
			t.Errorf("%s is linked to and missing", l.Hash)
		}
		return nil
	}))
	keys, err := s.held.Blockstore().AllKeysChan(t.Context())
	must(t, err)
	for c := range keys {
		if !referred[string(c.Hash())] {
			t.Errorf("nothing refers to %s, and it is there", c)
		}
	}
}

// Pins come and go over the same blocks while reclaims run: nothing that is
// referred to is ever missing, and at the end nothing else is there.
func TestReclaimDuringPins(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Now: new(roomtest.Clock).Now})
	const workers, rounds = 6, 30
	// So little that no file is collected meanwhile, of which Badger's own lock
	// keeping fails the race detector; the kills during reclaim have that.
	bs := append(roomtest.SomeBlocks(25, 150, 300), roomtest.SomeBlocks(26, 150, 1100)...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var reclaims, pins sync.WaitGroup
	reclaims.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.Reclaim(ctx, nil); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for w := range workers {
		pins.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for round := range rounds {
				pinSome(t, s, w*rounds+round, bs, rng)
			}
		})
	}
	pins.Wait()
	stop()
	reclaims.Wait()
	reclaimAll(t, s)
	wantExactly(t, s)
	roomtest.CheckInvariants(t, s.kv)
}

// pinSome does with some of the blocks what a walk does, reads them back, and
// most times removes the pin.
func pinSome(t *testing.T, s *Store, n int, bs []blocks.Block, rng *rand.Rand) {
	p := roomtest.BeginPin(t, s, n)
	var missing []blocks.Block
	var mine []blocks.Block
	for _, i := range rng.Perm(len(bs))[:1+rng.IntN(60)] {
		mine = append(mine, bs[i])
	}
	var found []blocks.Block
	var refs []graph.Ref
	for _, b := range mine {
		if roomtest.Has(t, s, b) {
			found, refs = append(found, b), append(refs, roomtest.RefOf(b))
		} else {
			missing = append(missing, b)
		}
	}
	must(t, roomtest.ClaimTo(s, t.Context(), p.Attempt, refs))
	for _, b := range found {
		if !roomtest.Has(t, s, b) {
			missing = append(missing, b)
		}
	}
	must(t, roomtest.PutTo(s, t.Context(), p.Attempt, missing))
	_, _, err := s.requestRecords.Complete(t.Context(), p.Request.DAG(), p.Attempt, pin.Totals{Blocks: uint64(len(mine))})
	must(t, err)
	for _, b := range mine {
		got, err := s.held.Blockstore().Get(t.Context(), b.Cid())
		if err != nil || string(got.RawData()) != string(b.RawData()) {
			t.Errorf("pin %d: %s: %v", n, b.Cid(), err)
		}
	}
	if rng.IntN(4) > 0 {
		p.Remove(t, s)
	}
}

// One reclaim runs at a time; those that wait give up with their context.
func TestReclaimsTakeTurns(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	s.reclaiming <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Reclaim(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := s.Reclaim(context.WithoutCancel(t.Context()), nil)
		waits <- err
	}()
	select {
	case err := <-waits:
		t.Errorf("two reclaims at a time: %v", err)
	case <-time.After(20 * time.Millisecond): // the longer, the surer to catch it
	}
	<-s.reclaiming
	must(t, <-waits)
}

// Close ends a reclaim, and a Run.
func TestCloseEndsReclaim(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{ReclaimInterval: time.Millisecond})
	must(t, s.held.Blockstore().PutMany(t.Context(), roomtest.SomeBlocks(27, 2*holding.DeletesPerBatch, 100)))
	closed := make(chan error, 1)
	var once sync.Once
	if _, err := s.Reclaim(t.Context(), func(ReclaimProgress) {
		once.Do(func() {
			go func() { closed <- s.Close() }()
			<-s.ctx.Done()
		})
	}); !errors.Is(err, pin.ErrClosed) {
		t.Errorf("error %v", err)
	}
	must(t, <-closed)
}

// Run reclaims by itself, and ends with its context.
func TestRun(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{ReclaimInterval: time.Millisecond})
	b := roomtest.SomeBlocks(28, 1, 3000)[0]
	must(t, s.held.Blockstore().Put(t.Context(), b))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); roomtest.Has(t, s, b); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is reclaimed")
		}
	}
	stop()
	must(t, <-ended)
}

// In the background little that is dead is left for later, unless the disk is
// nearly full.
func TestGentleReclaim(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	s := openTest(t, t.TempDir(), Config{FreeSpace: func(string) (uint64, error) { return free.Load(), nil }})
	kept, gone := roomtest.BeginPin(t, s, 1), roomtest.BeginPin(t, s, 2)
	kept.Put(t, s, roomtest.SomeBlocks(29, 100, 20_000))
	gone.Put(t, s, roomtest.SomeBlocks(30, 2, 20_000))
	gone.Remove(t, s)
	if s.pressed(t.Context()) {
		t.Error("a disk of much free space is full")
	}
	gentle := func(wantDead uint64) {
		t.Helper()
		r, err := s.reclaim(t.Context(), nil, true)
		must(t, err)
		if dead, err := s.held.DeadBytes(t.Context()); err != nil || dead != wantDead {
			t.Errorf("%d bytes are dead, %v; want %d; report %+v", dead, err, wantDead, r)
		}
	}
	gentle(40_000)
	free.Store(roomtest.DefaultReserve + nearlyFull - 1)
	if !s.pressed(t.Context()) {
		t.Error("something could be given back")
	}
	gentle(0)
	if s.pressed(t.Context()) {
		t.Error("nothing can be given back")
	}
	free.Store(1 << 40)
	gentle(0)
}

// What a reader keeps is not forgotten: the next reclaim gives it back.
func TestReclaimBesideAReader(t *testing.T) {
	s, lock := openSmall(t, t.TempDir())
	defer func() { must(t, s.Close()); must(t, lock.Close()) }()
	gone, kept := roomtest.BeginPin(t, s, 1), roomtest.BeginPin(t, s, 2)
	for i := range 30 {
		gone.Put(t, s, roomtest.SomeBlocks(uint64(1000+i), 20, 40_000))
		kept.Put(t, s, roomtest.SomeBlocks(uint64(2000+i), 4, 40_000))
	}
	gone.Remove(t, s)
	txn := s.db.NewTransaction(false)
	it := txn.NewIterator(badger.DefaultIteratorOptions)
	r, err := s.Reclaim(t.Context(), nil)
	must(t, err)
	if r.Left != uint64(gone.Bytes) {
		t.Errorf("%d bytes are left of %d that are still read", r.Left, gone.Bytes)
	}
	it.Close()
	txn.Discard()
	r, err = s.Reclaim(t.Context(), nil)
	must(t, err)
	if r.Left != 0 || r.After > uint64(kept.Bytes)*13/10+8<<20 {
		t.Errorf("%d KiB stay taken for %d KiB alive, %d are left", r.After>>10, kept.Bytes>>10, r.Left)
	}
}

// A reader that came later keeps the files that are empty, and no others from being
// collected. They go when it is done.
func TestReclaimWhileKeysAreRead(t *testing.T) {
	s, lock := openSmall(t, t.TempDir())
	defer func() { must(t, s.Close()); must(t, lock.Close()) }()
	gone, kept := roomtest.BeginPin(t, s, 1), roomtest.BeginPin(t, s, 2)
	for i := range 30 {
		gone.Put(t, s, roomtest.SomeBlocks(uint64(1000+i), 20, 40_000))
		kept.Put(t, s, roomtest.SomeBlocks(uint64(2000+i), 4, 40_000))
	}
	gone.Remove(t, s)
	var txn *badger.Txn
	var it *badger.Iterator
	r, err := s.Reclaim(t.Context(), func(p ReclaimProgress) {
		if p.Stage == stageCollect && it == nil {
			txn = s.db.NewTransaction(false)
			it = txn.NewIterator(badger.DefaultIteratorOptions)
		}
	})
	must(t, err)
	if r.freed() > uint64(gone.Bytes)/2 || r.Left != 0 {
		t.Errorf("%d bytes came back while they were read, %d are left", r.freed(), r.Left)
	}
	it.Close()
	txn.Discard()
	if used, err := space.DiskUse(s.dbDir); err != nil || used > uint64(kept.Bytes)*13/10+8<<20 {
		t.Errorf("%d KiB stay taken for %d KiB alive, %v", used>>10, kept.Bytes>>10, err)
	}
}
