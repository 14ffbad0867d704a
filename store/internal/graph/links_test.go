package graph_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// references collects what an attempt refers to, with the sizes.
func references(t *testing.T, s *roomtest.Store, a pin.Attempt) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, l := range roomtest.Links(t, s, graph.HolderOf(a)) {
		if _, twice := got[string(l.Hash)]; twice {
			t.Errorf("%s is there twice", l.Hash)
		}
		if l.Codec != cid.Raw || l.Holder != graph.HolderOf(a) {
			t.Errorf("link %+v of attempt %d", l, a)
		}
		got[string(l.Hash)] = l.Size
	}
	return got
}

func wantReferences(t *testing.T, s *roomtest.Store, a pin.Attempt, bs ...blocks.Block) {
	t.Helper()
	got := references(t, s, a)
	for _, b := range bs {
		h := b.Cid().Hash()
		if size, ok := got[string(h)]; !ok || size != len(b.RawData()) {
			t.Errorf("attempt %d has %s: %v, %d bytes", a, h, ok, size)
		}
		if _, ok := roomtest.Read(t, s.KV, roomtest.LinkTo(roomtest.RawLinks(a, []graph.Ref{roomtest.RefOf(b)})[0])); !ok {
			t.Errorf("%s has no reference from attempt %d", h, a)
		}
	}
	if len(got) != len(bs) {
		t.Errorf("attempt %d has %d references, want %d", a, len(got), len(bs))
	}
}

// sides counts the keys of both sides of all references.
func sides(t *testing.T, s *roomtest.Store) (n int) {
	t.Helper()
	must(t, s.KV.View(t.Context(), func(r *kv.Reader) error {
		for _, kind := range []byte{roomtest.KLinkTo, roomtest.KLinkFrom} {
			if err := r.Scan(kv.Span{Prefix: []byte{kind}, KeysOnly: true}, func(_, _ []byte) (bool, error) {
				n++
				return true, nil
			}); err != nil {
				return err
			}
		}
		return nil
	}))
	return n
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	s := roomtest.Open(t, dir, roomtest.Config{})
	small, large := roomtest.SomeBlocks(1, 700, 200), roomtest.SomeBlocks(2, 40, 256<<10)
	must(t, roomtest.PutTo(s, t.Context(), 1, small))
	must(t, roomtest.PutTo(s, t.Context(), 1, large))
	must(t, roomtest.PutTo(s, t.Context(), 2, small[:10]))
	must(t, roomtest.PutTo(s, t.Context(), 2, small[:10])) // a set: again is harmless
	must(t, roomtest.PutTo(s, t.Context(), 2, nil))
	wantReferences(t, s, 1, append(small[:700:700], large...)...)
	wantReferences(t, s, 2, small[:10]...)
	for _, b := range append(small[:10:10], large...) {
		// Any CID of the multihash finds it.
		for _, c := range []cid.Cid{b.Cid(), cid.NewCidV1(cid.Raw, b.Cid().Hash())} {
			got, err := s.Graph.Blockstore().Get(t.Context(), c)
			must(t, err)
			if string(got.RawData()) != string(b.RawData()) {
				t.Errorf("%s reads back otherwise", c)
			}
		}
	}
}

func TestClaim(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	bs := roomtest.SomeBlocks(3, 20, 100)
	var refs []graph.Ref
	for _, b := range bs {
		refs = append(refs, graph.Ref{Hash: b.Cid().Hash(), Size: len(b.RawData())})
	}
	must(t, roomtest.ClaimTo(s, t.Context(), 7, refs))
	must(t, roomtest.ClaimTo(s, t.Context(), 7, nil))
	wantReferences(t, s, 7, bs...)
	for _, b := range bs {
		if has, err := s.Graph.Blockstore().Has(t.Context(), b.Cid()); err != nil || has {
			t.Errorf("a claim alone: has %v, error %v", has, err)
		}
	}
	if n := len(references(t, s, 8)); n != 0 {
		t.Errorf("attempt 8 has %d references", n)
	}
}

// Hashes of different lengths and codes must not run into each other, or into
// attempts.
func TestReferencesOfOddHashes(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	var refs []graph.Ref
	for _, c := range []struct{ code, length uint64 }{
		{multihash.IDENTITY, 0}, {multihash.IDENTITY, 1}, {multihash.IDENTITY, 2},
		{multihash.SHA2_256, 20}, {multihash.SHA2_256, 32}, {multihash.SHA2_512, 64}, {multihash.BLAKE3, 32},
	} {
		digest := make([]byte, c.length)
		h, err := multihash.Encode(digest, c.code)
		must(t, err)
		refs = append(refs, graph.Ref{Hash: h, Size: int(c.length) << 10})
	}
	attempts := []pin.Attempt{1, 255, 256, 1 << 40}
	for _, a := range attempts {
		must(t, roomtest.ClaimTo(s, t.Context(), a, refs))
	}
	for _, a := range attempts {
		got := references(t, s, a)
		for _, r := range refs {
			if size, ok := got[string(r.Hash)]; !ok || size != r.Size {
				t.Errorf("attempt %d: %x is there: %v, %d bytes", a, r.Hash, ok, size)
			}
		}
		if len(got) != len(refs) {
			t.Errorf("attempt %d has %d references", a, len(got))
		}
	}
	if n := sides(t, s); n != 2*len(attempts)*len(refs) {
		t.Errorf("%d keys", n)
	}
}

func TestDropDeletesReferences(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	bs := roomtest.SomeBlocks(4, holding.DropsPerBatch+100, 10)
	attempt := func(n int) (pin.Request, pin.Attempt) {
		r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(n))
		must(t, err)
		a, _, err := s.Requests.Begin(ctx, r.DAG())
		must(t, err)
		must(t, roomtest.PutTo(s, ctx, a, bs))
		return r, a
	}
	gone, a := attempt(1)
	_, kept := attempt(2)
	if err := s.Graph.Drop(ctx, a); err == nil {
		t.Error("dropped an attempt that is in use")
	}
	wantReferences(t, s, a, bs...)
	_, released, err := s.Requests.Remove(ctx, roomtest.Account, gone.ID)
	must(t, err)
	if len(released) != 1 || released[0] != a {
		t.Fatalf("released %v, want %d", released, a)
	}
	// Interrupted after a part, and done again.
	next, err := s.DropStep(ctx, graph.HolderOf(a))
	must(t, err)
	if left := len(references(t, s, a)); left != 100 || len(next) != 1 {
		t.Errorf("%d references are left, of %v", left, next)
	}
	must(t, s.Graph.Drop(ctx, a))
	must(t, s.Graph.Drop(ctx, a))
	wantReferences(t, s, a)
	wantReferences(t, s, kept, bs...)
	if n := sides(t, s); n != 2*len(bs) {
		t.Errorf("%d keys of references, want %d", n, 2*len(bs))
	}
	if has, err := s.Graph.Blockstore().Has(ctx, bs[0].Cid()); err != nil || !has {
		t.Errorf("a block went with a reference: %v, %v", has, err)
	}
}

func TestClaimsAtTheSameTime(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	bs := roomtest.SomeBlocks(5, 200, 500)
	var wg sync.WaitGroup
	for a := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(a), 0))
			mine := append([]blocks.Block(nil), bs...)
			rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for len(mine) > 0 {
				n := min(len(mine), 1+rng.IntN(50))
				if err := roomtest.PutTo(s, t.Context(), pin.Attempt(a), mine[:n]); err != nil {
					t.Error(err)
				}
				mine = mine[n:]
			}
		})
	}
	wg.Wait()
	for a := range 8 {
		wantReferences(t, s, pin.Attempt(a), bs...)
	}
}

// A delete takes the stripes of its blocks alone; claims hold them, all of
// them and no others, until what they wrote is durable.
func TestClaimsShareTheirStripes(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	var refs []graph.Ref
	mine := map[uint8]bool{}
	for _, b := range roomtest.SomeBlocks(6, 30, 10) {
		refs = append(refs, roomtest.RefOf(b))
		mine[s.Stripe(b.Cid().Hash())] = true
	}
	check := func(held bool) {
		t.Helper()
		for i := range 256 {
			free := s.TryStripe(uint8(i), true)
			if want := !held || !mine[uint8(i)]; free != want {
				t.Errorf("stripe %d is free: %v, want %v", i, free, want)
			}
		}
	}
	check(false)
	written := false
	*s.Graph.DuringWrite() = func() {
		written = true
		check(true)
	}
	must(t, roomtest.ClaimTo(s, t.Context(), 1, refs))
	check(false)
	if !written {
		t.Error("nothing was written")
	}
}

func TestFloors(t *testing.T) {
	free := uint64(10 << 20)
	var mu sync.Mutex
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{
		MinFreeSpace: 5 << 20,
		Reserve:      1 << 20,
		FreeSpace: func(string) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return free, nil
		},
	})
	ctx := t.Context()
	setFree := func(n uint64) {
		mu.Lock()
		defer mu.Unlock()
		free = n
	}
	t.Cleanup(func() { setFree(10 << 20) })
	r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	bs := roomtest.SomeBlocks(7, 10, 1000)
	refs := []graph.Ref{{Hash: bs[0].Cid().Hash(), Size: 1000}}
	full := func(what string, err error, want bool) {
		t.Helper()
		if errors.Is(err, pin.ErrDiskFull) != want || err != nil && !want {
			t.Errorf("%s: %v, want full %v", what, err, want)
		}
	}
	fresh := roomtest.SomeBlocks(8, 3, 10) // one for each check, as the blockstore skips what it has
	check := func(newFull, upkeepFull bool) {
		t.Helper()
		_, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(1))
		full("Add", err, newFull)
		_, _, _, err = s.Requests.Replace(ctx, roomtest.Account, r.ID, pintest.DAGSpec(1))
		if !newFull {
			r = newest(t, s)
		}
		full("Replace", err, newFull)
		full("Write of blocks", roomtest.PutTo(s, ctx, 1, bs), newFull)
		full("Write of links", roomtest.ClaimTo(s, ctx, 1, refs), upkeepFull)
		_, _, err = s.Requests.Begin(ctx, pintest.DAGSpec(1).DAG())
		full("Begin", err, upkeepFull)
		full("Blockstore.Put", s.Graph.Blockstore().Put(ctx, fresh[0]), upkeepFull)
		fresh = fresh[1:]
		full("Datastore.Put", s.Graph.Datastore().Put(ctx, datastore.NewKey("/x"), nil), upkeepFull)
		_, err = s.Requests.Get(ctx, roomtest.Account, r.ID)
		must(t, err)
	}
	check(false, false)
	setFree(5<<20 + 100) // the batch would go under the floor
	if err := roomtest.PutTo(s, ctx, 2, bs); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("Write: %v", err)
	}
	wantReferences(t, s, 2)
	setFree(5<<20 - 1)
	check(true, false)
	setFree(1<<20 - 1)
	check(true, true)
	_, _, err = s.Requests.Remove(ctx, roomtest.Account, r.ID)
	full("Remove", err, true)
	setFree(2 << 20)
	_, _, err = s.Requests.Remove(ctx, roomtest.Account, r.ID)
	full("Remove", err, false)
}

// newest gives the newest request of the bench's account.
func newest(t *testing.T, s *roomtest.Store) pin.Request {
	t.Helper()
	page, err := s.Requests.List(t.Context(), roomtest.Account, pin.Query{Statuses: pin.Statuses(), Limit: 1})
	must(t, err)
	return page.Requests[0]
}

func TestDatastoreHidesRecords(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	ctx := t.Context()
	_, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	must(t, roomtest.PutTo(s, ctx, 1, roomtest.SomeBlocks(9, 3, 10)))
	d := s.Graph.Datastore()
	batch, err := d.Batch(ctx)
	must(t, err)
	for i := range 3 {
		must(t, batch.Put(ctx, datastore.NewKey(fmt.Sprint("/mine/", i)), []byte{byte(i)}))
	}
	must(t, batch.Commit(ctx))
	for prefix, want := range map[string]int{"/mine": 3, "/blocks": 3, "/": 6, "": 6} {
		res, err := d.Query(ctx, query.Query{Prefix: prefix, KeysOnly: true})
		must(t, err)
		all, err := res.Rest()
		must(t, err)
		if len(all) != want {
			t.Errorf("%d keys under %q, want %d: %v", len(all), prefix, want, all)
		}
	}
	must(t, d.Close())
	if _, err := d.Get(ctx, datastore.NewKey("/mine/1")); err != nil {
		t.Errorf("closing the view closed the database: %v", err)
	}
	must(t, s.Close())
	if _, err := d.Get(ctx, datastore.NewKey("/mine/1")); !errors.Is(err, pin.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := s.Graph.Blockstore().Get(ctx, roomtest.SomeBlocks(9, 1, 10)[0].Cid()); !errors.Is(err, pin.ErrClosed) {
		t.Errorf("blocks after Close: %v", err)
	}
	if err := roomtest.PutTo(s, ctx, 1, roomtest.SomeBlocks(9, 1, 10)); !errors.Is(err, pin.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}
