package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// verify collects the damage that a check finds.
func verify(t *testing.T, s *Store) (map[string]Damage, VerifyReport) {
	t.Helper()
	found := map[string]Damage{}
	r, err := s.Verify(t.Context(), func(d Damage) error {
		if _, twice := found[string(d.Hash)]; twice {
			t.Errorf("%s is reported twice", d.CID())
		}
		found[string(d.Hash)] = d
		return nil
	}, func(p VerifyProgress) {
		if p.Done > p.Total {
			t.Errorf("progress %+v", p)
		}
	})
	must(t, err)
	if int(r.Corrupt+r.Missing) != len(found) {
		t.Errorf("report %+v of %d damaged blocks", r, len(found))
	}
	return found, r
}

// overwrite puts other bytes in the place of a block.
func overwrite(t *testing.T, s *Store, b blocks.Block, data []byte) {
	t.Helper()
	roomtest.Set(t, s.db, roomtest.BlockKey(b.Cid().Hash()), data)
}

func TestVerify(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	bs := roomtest.SomeBlocks(30, kv.PageSize+50, 2000)
	a, b, unfinished := roomtest.BeginPin(t, s, 1), roomtest.BeginPin(t, s, 2), roomtest.BeginPin(t, s, 3)
	a.Put(t, s, bs[:200])
	a.Complete(t, s, 200)
	b.Put(t, s, bs[100:])
	b.Complete(t, s, len(bs)-100)
	fresh := roomtest.SomeBlocks(31, 1, 100)[0]
	must(t, roomtest.ClaimTo(s, t.Context(), unfinished.Attempt, []graph.Ref{roomtest.RefOf(fresh)}))
	found, r := verify(t, s)
	if len(found) != 0 || r.Blocks != uint64(len(bs))+1 || r.Bytes != uint64(2000*len(bs)) {
		t.Errorf("found %v, %+v", found, r)
	}

	overwrite(t, s, bs[0], append([]byte("x"), bs[0].RawData()[1:]...))
	overwrite(t, s, bs[150], []byte{})
	roomtest.Set(t, s.db, roomtest.BlockKey(bs[201].Cid().Hash()), nil) // deleted
	found, r = verify(t, s)
	if r.Corrupt != 2 || r.Missing != 1 {
		t.Errorf("report %+v", r)
	}
	for i, want := range map[int][]pin.DAG{0: {a.Request.DAG()}, 150: {a.Request.DAG(), b.Request.DAG()}, 201: {b.Request.DAG()}} {
		d := found[string(bs[i].Cid().Hash())]
		if len(d.DAGs) != len(want) {
			t.Errorf("block %d hurts %v, want %v", i, d.DAGs, want)
			continue
		}
		for n, hurt := range d.DAGs {
			if hurt.DAG != want[n] || !hurt.Complete || len(hurt.Requests) != 1 || hurt.More != 0 {
				t.Errorf("block %d hurts %+v", i, hurt)
			}
		}
	}
	errStop := errors.New("stop")
	if _, err := s.Verify(t.Context(), func(Damage) error { return errStop }, nil); !errors.Is(err, errStop) {
		t.Errorf("error %v", err)
	}
}

// A bit that flips on the disk, in a store that is closed, is found.
func TestVerifyFindsFlippedBits(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	s, err := Open(t.Context(), lock, Config{})
	must(t, err)
	bs := roomtest.SomeBlocks(32, 20, 50_000)
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, bs)
	p.Complete(t, s, len(bs))
	must(t, s.Close())
	// Each opening begins a new file, and cuts the newest off where it is
	// damaged: that is for torn writes.
	s, err = Open(t.Context(), lock, Config{})
	must(t, err)
	must(t, s.Close())
	must(t, lock.Close())
	logs, err := filepath.Glob(filepath.Join(dir, dbName, "*.vlog"))
	must(t, err)
	flipped := 0
	for _, path := range logs {
		data, err := os.ReadFile(path)
		must(t, err)
		at := strings.Index(string(data), string(bs[7].RawData()[:100]))
		if at < 0 {
			continue
		}
		data[at+30_000] ^= 0x10
		must(t, os.WriteFile(path, data, 0o600))
		flipped++
	}
	if flipped != 1 {
		t.Fatalf("%d places of the block", flipped)
	}
	found, r := verify(t, openTest(t, dir, Config{}))
	if d := found[string(bs[7].Cid().Hash())]; d.Kind != holding.DamageCorrupt || r.Corrupt != 1 || r.Missing != 0 {
		t.Errorf("found %v, %+v", found, r)
	}
}

// Blocks that nothing refers to and that left no note are found, and go with
// the next reclaim.
func TestVerifyFindsStrays(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	bs := roomtest.SomeBlocks(33, 10, 3000)
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, bs[:4])
	must(t, s.held.Blockstore().PutMany(t.Context(), bs[4:]))
	for _, b := range bs[6:] {
		roomtest.Set(t, s.db, roomtest.LooseKey(b.Cid().Hash()), nil)
	}
	if _, r := verify(t, s); r.Strays != 4 {
		t.Errorf("report %+v", r)
	}
	if _, r := verify(t, s); r.Strays != 0 {
		t.Errorf("the second report is %+v", r)
	}
	if n := reclaimAll(t, s); n != 6 {
		t.Errorf("%d blocks were deleted", n)
	}
	wantExactly(t, s)
}

func TestRefetch(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Now: new(roomtest.Clock).Now})
	ctx := t.Context()
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, roomtest.SomeBlocks(34, 3, 1000))
	const requests = 2*2048 + 10
	var left atomic.Int64
	left.Store(requests - 1)
	var adding sync.WaitGroup // together they share syncs
	for range 64 {
		adding.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := s.requestRecords.Add(ctx, roomtest.Account, p.Request.Spec); err != nil {
					t.Error(err)
				}
			}
		})
	}
	adding.Wait()
	p.Complete(t, s, 3)
	d := p.Request.DAG()
	want := pin.Usage{Bytes: 3000, Blocks: 3, DAGs: 1, Pins: 1}
	if u, err := s.requestRecords.Usage(ctx, roomtest.Account); err != nil || u != want {
		t.Errorf("usage %+v, %v", u, err)
	}
	some, err := s.requestRecords.Refetch(ctx, d)
	must(t, err)
	if len(some) == 0 || some[0].Status != pin.Pinning || some[0].DAG() != d {
		t.Errorf("%d requests, the first %+v", len(some), some)
	}
	roomtest.CheckInvariants(t, s.kv)
	if u, err := s.requestRecords.Usage(ctx, roomtest.Account); err != nil || u != (pin.Usage{Pins: 1}) {
		t.Errorf("usage %+v, %v", u, err)
	}
	page, err := s.requestRecords.List(ctx, roomtest.Account, pin.Query{Statuses: []pin.Status{pin.Pinning}})
	if err != nil || page.Count != requests {
		t.Errorf("%d requests are pinning, %v", page.Count, err)
	}
	a, complete, err := s.requestRecords.Begin(ctx, d)
	if err != nil || complete || a != p.Attempt {
		t.Errorf("Begin gives %d, %v, %v", a, complete, err)
	}
	again, err := s.requestRecords.Refetch(ctx, d)
	if err != nil || len(again) == 0 {
		t.Errorf("a second Refetch gives %d requests, %v", len(again), err)
	}
	p.Complete(t, s, 3)
	if u, err := s.requestRecords.Usage(ctx, roomtest.Account); err != nil || u != want {
		t.Errorf("usage %+v, %v", u, err)
	}
	if _, err := s.requestRecords.Refetch(ctx, pintest.DAGSpec(9).DAG()); !errors.Is(err, pin.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	roomtest.CheckInvariants(t, s.kv)
}

func TestUsage(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Now: new(roomtest.Clock).Now})
	ctx := t.Context()
	check := func(what string, id string, want pin.Usage) {
		t.Helper()
		if u, err := s.requestRecords.Usage(ctx, id); err != nil || u != want {
			t.Errorf("%s: usage %+v, %v, want %+v", what, u, err, want)
		}
		roomtest.CheckInvariants(t, s.kv)
	}
	const other = "0a11ce00-0000-4000-8000-000000000002"
	check("new", roomtest.Account, pin.Usage{})
	check("no account", "nobody", pin.Usage{})
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, roomtest.SomeBlocks(35, 3, 1000))
	check("pinning", roomtest.Account, pin.Usage{Pins: 1})
	p.Complete(t, s, 3)
	one := pin.Usage{Bytes: 3000, Blocks: 3, DAGs: 1, Pins: 1}
	check("pinned", roomtest.Account, one)
	twice, err := s.requestRecords.Add(ctx, roomtest.Account, p.Request.Spec)
	must(t, err)
	check("pinned twice", roomtest.Account, one)
	theirs, err := s.requestRecords.Add(ctx, other, p.Request.Spec)
	must(t, err)
	check("by another too", other, pin.Usage{Bytes: 3000, Blocks: 3, DAGs: 1, Pins: 1})
	q := roomtest.BeginPin(t, s, 2)
	q.Put(t, s, roomtest.SomeBlocks(35, 5, 1000)) // of which three are the same
	q.Complete(t, s, 5)
	check("two DAGs", roomtest.Account, pin.Usage{Bytes: 8000, Blocks: 8, DAGs: 2, Pins: 2})
	st, err := s.Stats(ctx)
	must(t, err)
	if st.Live != (Amount{5, 5000}) || st.DAGs != 2 || st.Complete != 2 || st.Requests[pin.Pinned] != 4 || len(st.Requests) != 4 || st.Disk == 0 || st.Free == 0 {
		t.Errorf("stats %+v", st)
	}
	q.Remove(t, s)
	_, _, _, err = s.requestRecords.Replace(ctx, roomtest.Account, twice.ID, p.Request.Spec)
	must(t, err)
	check("one removed, one replaced by the same", roomtest.Account, one)
	if st, err := s.Stats(ctx); err != nil || st.Dead != (Amount{2, 2000}) || st.Live != (Amount{3, 3000}) {
		t.Errorf("stats %+v, %v", st, err)
	}
	p.Remove(t, s)
	page, err := s.List(ctx, roomtest.Account, pin.Query{Statuses: pin.Statuses(), Limit: 1})
	must(t, err)
	_, _, err = s.requestRecords.Remove(ctx, roomtest.Account, page.Requests[0].ID)
	must(t, err)
	check("all removed", roomtest.Account, pin.Usage{})
	_, _, err = s.requestRecords.Remove(ctx, other, theirs.ID)
	must(t, err)
	check("theirs removed", other, pin.Usage{})
}

// A repair that was cut off may leave requests that say pinned of a DAG that is
// not complete: what is missing there is found, and they are put right.
func TestVerifyAfterHalfARepair(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	ctx := t.Context()
	b := roomtest.SomeBlocks(36, 1, 1000)[0]
	p := roomtest.BeginPin(t, s, 1)
	p.Put(t, s, []blocks.Block{b})
	p.Complete(t, s, 1)
	must(t, s.kv.Update(ctx, func(t *kv.Tx) error {
		rec := holding.DAGRecord{Attempt: p.Attempt, Holders: 1}
		return t.Put(roomtest.DAGKey(p.Request.DAG()), rec)
	}))
	roomtest.Set(t, s.db, roomtest.BlockKey(b.Cid().Hash()), nil)
	found, r := verify(t, s)
	if d := found[string(b.Cid().Hash())]; r.Missing != 1 || len(d.DAGs) != 1 || !d.DAGs[0].Complete {
		t.Errorf("found %v, %+v", found, r)
	}
	some, err := s.requestRecords.Refetch(ctx, p.Request.DAG())
	if err != nil || len(some) != 1 || some[0].ID != p.Request.ID || some[0].Status != pin.Pinning {
		t.Errorf("Refetch gives %v, %v", some, err)
	}
	if found, _ := verify(t, s); len(found) != 0 {
		t.Errorf("found %v", found) // it is to be fetched
	}
	roomtest.CheckInvariants(t, s.kv)
}

// What is missing of a DAG that is not complete is fetched, also if all of it counted as whole before.
func TestVerifyOfAnUnfinishedDAG(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{})
	all := roomtest.SmallChain("unfinished", 4)
	root := dagtest.Last(all)
	r, err := s.requestRecords.Add(t.Context(), roomtest.Account, pin.Spec{CID: root.String(), Root: root})
	must(t, err)
	a, _, err := s.requestRecords.Begin(t.Context(), r.DAG())
	must(t, err)
	roomtest.WalkDAG(t, s, a, all) // and the server stops before that is noted
	roomtest.Set(t, s.db, roomtest.BlockKey(all[0].Cid().Hash()), nil)
	snapshot, err := s.Snapshot(t.Context())
	must(t, err)
	defer snapshot.Close()
	hurt := func() []cid.Cid {
		dags, err := snapshot.Hurt(t.Context(), all[0].Cid().Hash())
		must(t, err)
		return dags
	}
	if dags := hurt(); len(dags) != 1 || pin.DAGOf(dags[0]) != r.DAG() {
		t.Errorf("a backup lacks the block without harm to %v", dags)
	}
	if found, _ := verify(t, s); len(found) != 0 {
		t.Errorf("found %v", found)
	}
	if dags := hurt(); len(dags) != 0 { // it is to be fetched
		t.Errorf("the missing block hurts %v", dags)
	}
	_, _, err = s.requestRecords.Begin(t.Context(), r.DAG())
	must(t, err)
	roomtest.WalkDAG(t, s, a, all)
	if !roomtest.Has(t, s, all[0]) {
		t.Error("a walk ends without a block that is missing")
	}
	roomtest.CheckInvariants(t, s.kv)
}

// A link that was damaged names a block that never was, once, and then no more; the block
// that it did name is held as it was.
func TestVerifyMendsDamagedLinks(t *testing.T) {
	for name, damage := range map[string]func(key []byte){
		"in the digest":           func(key []byte) { key[10] ^= 1 },
		"in the name of the hash": func(key []byte) { key[1] = 0xff },
		"in its length":           func(key []byte) { key[2] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t, t.TempDir(), Config{})
			bs := roomtest.SomeBlocks(37, 20, 2000)
			p := roomtest.BeginPin(t, s, 1)
			p.Put(t, s, bs)
			p.Complete(t, s, len(bs))
			l := roomtest.RawLinks(p.Attempt, []graph.Ref{roomtest.RefOf(bs[3])})[0]
			key := roomtest.LinkTo(l)
			roomtest.Set(t, s.db, key, nil)
			bad := append([]byte(nil), key...)
			damage(bad)
			roomtest.Set(t, s.db, bad, roomtest.SizeValue(l.Size))
			for range 2 {
				if found, r := verify(t, s); len(found) > 0 || r.Missing > 0 {
					t.Errorf("found %v, %+v", found, r)
				}
			}
			for _, b := range bs {
				l := roomtest.RawLinks(p.Attempt, []graph.Ref{roomtest.RefOf(b)})[0]
				for _, key := range [][]byte{roomtest.LinkTo(l), roomtest.LinkFrom(l)} {
					if _, ok := roomtest.Read(t, s.kv, key); !ok {
						t.Errorf("link %x is missing", key)
					}
				}
			}
			if n := len(roomtest.KeysOf(t, s.kv, roomtest.KLinkTo, roomtest.KLinkFrom)); n != 2*len(bs) {
				t.Errorf("%d sides of %d links", n, len(bs))
			}
			reclaimAll(t, s)
			wantExactly(t, s)
		})
	}
}
