package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/intake"
	blocklinks "github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// family is DAGs that share much: versions of a tree, parts of them as roots of their
// own, the same bytes under two codecs, and blocks that many nodes link to.
type family struct {
	roots  []cid.Cid
	blocks map[cid.Cid]blocks.Block
	below  map[cid.Cid]map[string]int // what a root needs: sizes by multihash
}

func newFamily(seed uint64) *family {
	f := &family{blocks: map[cid.Cid]blocks.Block{}, below: map[cid.Cid]map[string]int{}}
	rng := rand.New(rand.NewPCG(seed, 0))
	leaves := dagtest.Leaves(60, 50)
	common := dagtest.Raw("in every directory")
	for version := range 8 {
		if version > 0 {
			leaves = slices.Clone(leaves)
			for range 1 + rng.IntN(3) {
				leaves[rng.IntN(len(leaves))] = dagtest.Raw(fmt.Sprint("changed in ", version, rng.IntN(5)))
			}
		}
		var dirs []blocks.Block
		for i := 0; i < len(leaves); i += 6 {
			mine := append(slices.Clone(leaves[i:i+6]), common)
			dir := dagtest.PB(fmt.Sprint(i), dagtest.CIDs(mine)...)
			f.add(append(mine, dir)...)
			dirs = append(dirs, dir)
		}
		upper := dagtest.PB("upper", dagtest.CIDs(dirs[:5])...)
		lower := dagtest.PB("lower", append(dagtest.CIDs(dirs[5:]), dirs[0].Cid())...)
		f.add(upper, lower)
		f.root(dagtest.PB("root", upper.Cid(), lower.Cid()))
		switch version {
		case 1:
			f.root(upper)
		case 2:
			f.root(dirs[3])
			f.root(leaves[7])
		case 3:
			f.root(dagtest.CBOR("other codec", lower.Cid(), dagtest.Under(cid.Raw, upper)))
			f.roots = append(f.roots, dagtest.Under(cid.Raw, upper))
		}
	}
	chain := dagtest.Chain(30)
	f.add(chain...)
	f.root(chain[29])
	f.root(chain[20])
	f.root(dagtest.PB("longer", chain[25].Cid()))
	// Directories in a row, of which two rows have the lower half in common.
	rows := roomtest.SmallChain("row", 20)
	f.add(rows...)
	f.root(rows[len(rows)-1])
	half := rows[len(rows)/2-1]
	other := []cid.Cid{half.Cid()}
	for i := range 10 {
		b := dagtest.CBOR(fmt.Sprint("other row", i), append(other, common.Cid())...)
		other = []cid.Cid{b.Cid()}
		f.add(b)
	}
	f.root(dagtest.CBOR("head of the other row", other...))
	f.root(dagtest.PB("both rows", other[0], rows[len(rows)-5].Cid()))
	f.weigh()
	return f
}

// deep adds two long chains that share a part. To drop one takes more changes than the
// smallest database makes at once.
func (f *family) deep() *family {
	long := roomtest.ChainOf("long", 500, nil)
	f.add(long...)
	f.root(long[499])
	f.root(dagtest.CBOR("in the middle", long[300].Cid()))
	f.weigh()
	return f
}

// weigh finds out what each root needs.
func (f *family) weigh() {
	for _, r := range f.roots {
		f.below[r] = map[string]int{}
		f.collect(r, f.below[r], map[cid.Cid]bool{})
	}
}

func (f *family) add(bs ...blocks.Block) {
	for _, b := range bs {
		f.blocks[b.Cid()] = b
	}
}

func (f *family) root(b blocks.Block) {
	f.add(b)
	f.roots = append(f.roots, b.Cid())
}

func (f *family) collect(c cid.Cid, into map[string]int, seen map[cid.Cid]bool) {
	if seen[c] {
		return
	}
	seen[c] = true
	b, ok := f.blocks[c]
	if !ok { // known under the codec that it has links by
		b = f.blocks[cid.NewCidV1(cid.DagProtobuf, c.Hash())]
	}
	into[string(c.Hash())] = len(b.RawData())
	if c.Type() == cid.Raw {
		return
	}
	ls, err := blocklinks.Of(b.Cid(), b.RawData())
	if err != nil {
		panic(err)
	}
	for _, l := range ls {
		f.collect(l, into, seen)
	}
}

func (f *family) totals(root cid.Cid) (t pin.Totals) {
	for _, size := range f.below[root] {
		t.Blocks++
		t.Bytes += uint64(size)
	}
	return t
}

func (f *family) all() (bs []blocks.Block) {
	for _, b := range f.blocks {
		bs = append(bs, b)
	}
	return bs
}

// walker fetches as a node does, from a network in memory.
type walker struct {
	*Store
	t    *testing.T
	f    *family
	net  *walktest.Network
	dir  string
	mu   sync.Mutex
	seed uint64

	uploads       intake.Share
	measured, not int              // how often it was, by another DAG
	blocks        int              // that were written, or tried
	beforeWrite   func(blocks int) // gets how many there were before, with the lock held; nil is nothing
	passed        map[pin.DAG]bool
	anyTotals     bool // the family knows none
	leastRoom     int  // more than the blocks that the network does not have
}

// Write takes its time, so that more happens between two batches.
func (w *walker) Write(ctx context.Context, b graph.Batch) error {
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	w.mu.Lock()
	if w.beforeWrite != nil {
		w.beforeWrite(w.blocks)
	}
	w.blocks += len(b.Blocks)
	w.mu.Unlock()
	return w.Store.Write(ctx, b)
}

// Whole takes note of what walks pass over.
func (w *walker) Whole(ctx context.Context, d pin.DAG, l pin.Limits, surely bool) (whole bool, err error) {
	whole, err = w.Store.Whole(ctx, d, l, surely)
	if whole && surely {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.passed == nil {
			w.passed = make(map[pin.DAG]bool)
		}
		w.passed[d] = true
	}
	return whole, err
}

func (w *walker) Measure(ctx context.Context, k graph.Known) (t pin.Totals, ok bool, err error) {
	t, ok, err = w.Store.Measure(ctx, k)
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		w.measured++
	} else {
		w.not++
	}
	return t, ok, err
}

func (w *walker) Fetch(ctx context.Context, job pin.Job) (pin.Totals, error) {
	w.mu.Lock()
	w.seed++
	seed := w.seed
	w.mu.Unlock()
	rng := rand.New(rand.NewPCG(seed, 5))
	asker := w.net.Asker(1+w.leastRoom+rng.IntN(20), seed)
	defer asker.Close()
	got, err := walk.Run(ctx, walk.Config{Store: w, Asker: asker, Dir: w.dir}, job)
	if want := w.f.totals(job.DAG.CID()); err == nil && got != want && !w.anyTotals {
		w.t.Errorf("%s has %+v, want %+v", job.DAG, got, want)
	}
	return got, err
}

func (w *walker) Drop(ctx context.Context, a pin.Attempt, _ pin.DAG) error {
	return w.Store.Drop(ctx, a)
}

func (w *walker) Upload(ctx context.Context, l pin.Limits) (pin.Intake, error) {
	return intake.Begin(ctx, intake.Config{Store: w, Dir: w.dir, Share: &w.uploads}, l)
}

func (*walker) Announce(pin.DAG)                    {}
func (*walker) Withdraw(pin.DAG)                    {}
func (*walker) Announced(pin.DAG) (time.Time, bool) { return time.Time{}, false }

// model is what should be.
type model struct {
	// unpins is held alone while something is unpinned by its CID, and shared by all other steps.
	unpins sync.RWMutex

	mu         sync.Mutex
	requestsOf map[string]map[string]cid.Cid // by account and requestid
	lingers    map[string]map[cid.Cid]bool   // by account
}

func (m *model) any(account string, rng *rand.Rand) (id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, 0, len(m.requestsOf[account]))
	for id := range m.requestsOf[account] {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return ""
	}
	slices.Sort(ids)
	return ids[rng.IntN(len(ids))]
}

func (m *model) set(account, id string, root cid.Cid) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requestsOf[account][id] = root
	delete(m.lingers[account], root)
}

// unpin forgets an account's requests for a root, which lingers if there were any.
func (m *model) unpin(account string, root cid.Cid) (some bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, of := range m.requestsOf[account] {
		if of == root {
			delete(m.requestsOf[account], id)
			m.lingers[account][root] = true
			some = true
		}
	}
	return some
}

func (m *model) forget(account, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.requestsOf[account], id)
}

// TestAgainstModel pins, replaces, removes, unpins by CID and reclaims DAGs that share
// much, from several accounts at the same time, and compares what is left with a model:
// every request is pinned, its account is charged for exactly what it has, every block
// that is needed is there, or lingers, and after a reclaim there is nothing else, neither
// a block nor a link nor a node.
func TestAgainstModel(t *testing.T) {
	rounds, steps := roomtest.Rounds(6, 25), 25 // of each of four clients: 600 steps, or 2,500
	seed := seedOf(*modelSeed)
	t.Logf("choices are those of -model-seed=%d", seed)
	f := newFamily(seed)
	s := openTest(t, t.TempDir(), Config{Now: new(roomtest.Clock).Now})
	net := walktest.NewNetwork(f.all()...)
	w := &walker{t: t, f: f, Store: s, net: net, dir: t.TempDir(), seed: seed}
	start := func() *pin.Manager {
		pins, err := pin.New(t.Context(), pin.Config{Workers: 3, UnpinGrace: time.Hour, Logger: slog.New(slog.DiscardHandler)}, s, w)
		must(t, err)
		return pins
	}
	pins := start()
	defer func() { must(t, pins.Close()) }()
	m := &model{requestsOf: map[string]map[string]cid.Cid{}, lingers: map[string]map[cid.Cid]bool{}}
	for _, a := range roomtest.ThreeAccounts {
		m.requestsOf[a], m.lingers[a] = map[string]cid.Cid{}, map[cid.Cid]bool{}
	}
	lingered := 0
	for round := range rounds {
		if round > 0 {
			must(t, pins.Close())
			pins = start()
		}
		ctx, stop := context.WithCancel(t.Context())
		var clients, reclaims sync.WaitGroup
		for c := range 4 {
			clients.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(round*10+c)))
				for range steps {
					modelStep(t, f, m, pins, roomtest.ThreeAccounts[rng.IntN(len(roomtest.ThreeAccounts))], rng)
				}
			})
		}
		reclaims.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Reclaim(ctx, nil); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
		clients.Wait()
		stop()
		reclaims.Wait()
		revivePartial(t, s, m, pins)
		settle(t, s, m)
		checkModel(t, s, f, m)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		for _, a := range roomtest.ThreeAccounts {
			lingered += len(m.lingers[a])
		}
		if round%2 == 1 {
			_, err := pins.EndLingering(t.Context())
			must(t, err)
			for _, a := range roomtest.ThreeAccounts {
				clear(m.lingers[a])
			}
		}
	}
	if lingered == 0 {
		t.Error("nothing lingered")
	}
	if w.measured == 0 || w.not == 0 {
		t.Errorf("%d DAGs were measured by others, and %d not: one way was not tried", w.measured, w.not)
	}
}

// modelStep does one thing as a client does.
func modelStep(t *testing.T, f *family, m *model, pins *pin.Manager, account string, rng *rand.Rand) {
	ctx := t.Context()
	root := f.roots[rng.IntN(len(f.roots))]
	spec := pin.Spec{CID: root.String(), Root: root}
	mine := m.any(account, rng)
	n := rng.IntN(16)
	if n >= 13 {
		m.unpins.Lock()
		defer m.unpins.Unlock()
		err := pins.Unpin(ctx, account, root)
		if some := m.unpin(account, root); errors.Is(err, pin.ErrNotFound) == some || err != nil && some {
			t.Errorf("unpin %s: %v; there are requests: %v", root, err, some)
		}
		return
	}
	m.unpins.RLock()
	defer m.unpins.RUnlock()
	switch {
	case n >= 10:
		modelUpload(t, f, m, pins, account, root, rng)
	case n < 4 || mine == "":
		v, err := pins.Add(ctx, account, spec)
		must(t, err)
		m.set(account, v.ID, root)
	case n < 7:
		m.forget(account, mine)
		if err := pins.Remove(ctx, account, mine); err != nil && !errors.Is(err, pin.ErrNotFound) {
			t.Error(err)
		}
	default:
		m.forget(account, mine)
		v, err := pins.Replace(ctx, account, mine, spec)
		if errors.Is(err, pin.ErrNotFound) {
			return // another client took it first
		}
		must(t, err)
		m.set(account, v.ID, root)
	}
	if rng.IntN(3) == 0 {
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
	}
}

// modelUpload uploads a DAG and pins it, or gives the upload up.
func modelUpload(t *testing.T, f *family, m *model, pins *pin.Manager, account string, root cid.Cid, rng *rand.Rand) {
	ctx := t.Context()
	u, err := pins.Upload(ctx, account)
	must(t, err)
	defer func() { must(t, u.Close()) }()
	all := f.blocksOf(root)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	give := rng.IntN(3) == 0
	if give {
		all = all[:rng.IntN(len(all))]
	}
	for _, b := range all {
		must(t, u.Put(ctx, b.Cid(), b.RawData()))
		if rng.IntN(20) == 0 {
			must(t, u.Flush(ctx))
		}
	}
	if give {
		return
	}
	must(t, u.Flush(ctx))
	if missing, err := u.Lacks(ctx, root); err != nil || missing.Defined() {
		t.Errorf("an upload of %s lacks %s, %v", root, missing, err)
	}
	v, err := pins.Add(ctx, account, pin.Spec{CID: root.String(), Root: root})
	must(t, err)
	m.set(account, v.ID, root)
	u.HoldFor(v)
}

// blocksOf gives the blocks of a DAG, in no order, some of them under several codecs.
func (f *family) blocksOf(root cid.Cid) (all []blocks.Block) {
	for _, b := range f.blocks {
		if _, below := f.below[root][string(b.Cid().Hash())]; below {
			all = append(all, b)
		}
	}
	return all
}

// revivePartial pins what lingers and is not complete: what is there of it nobody knows.
func revivePartial(t *testing.T, s *Store, m *model, pins *pin.Manager) {
	t.Helper()
	for _, a := range roomtest.ThreeAccounts {
		for root := range m.lingers[a] {
			if _, complete, err := s.DAGTotals(t.Context(), pin.DAGOf(root)); err != nil || complete {
				must(t, err)
				continue
			}
			v, made, err := pins.AddOnce(t.Context(), a, pin.Spec{CID: root.String(), Root: root})
			must(t, err)
			if !made {
				t.Errorf("%s has a request for %s, which lingers", a, root)
			}
			m.set(a, v.ID, root)
		}
	}
}

// settle waits until all is pinned and what was let go of is dropped, and reclaims.
func settle(t *testing.T, s *Store, m *model) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		unfinished := 0
		for _, a := range roomtest.ThreeAccounts {
			page, err := s.requestRecords.List(t.Context(), a, pin.Query{Statuses: []pin.Status{pin.Queued, pin.Pinning}})
			must(t, err)
			unfinished += page.Count
		}
		released, err := s.held.Released(t.Context())
		must(t, err)
		if unfinished+len(released) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are not finished, %d attempts not dropped", unfinished, len(released))
		}
	}
	reclaimAll(t, s)
}

func checkModel(t *testing.T, s *Store, f *family, m *model) {
	t.Helper()
	roomtest.CheckInvariants(t, s.kv)
	needed := map[string]int{}
	for _, a := range roomtest.ThreeAccounts {
		page, err := s.requestRecords.List(t.Context(), a, pin.Query{Statuses: pin.Statuses(), Limit: 1000})
		must(t, err)
		if page.Count != len(m.requestsOf[a]) {
			t.Errorf("%s has %d requests, want %d", a, page.Count, len(m.requestsOf[a]))
		}
		dags := map[pin.DAG]cid.Cid{}
		for _, r := range page.Requests {
			if r.Status != pin.Pinned || r.Root != m.requestsOf[a][r.ID] {
				t.Errorf("request %s is %s (%s), for %s", r.ID, r.Status, r.Details, r.CID)
			}
			dags[r.DAG()] = r.Root
		}
		want := pin.Usage{Pins: uint64(len(dags)), DAGs: uint64(len(dags))}
		for _, root := range dags {
			for h, size := range f.below[root] {
				want.Blocks++
				want.Bytes += uint64(size)
				needed[h] = size
			}
		}
		if u, err := s.requestRecords.Usage(t.Context(), a); err != nil || u != want {
			t.Errorf("usage of %s is %+v, %v, want %+v", a, u, err, want)
		}
		for root := range m.lingers[a] {
			for h, size := range f.below[root] {
				needed[h] = size
			}
		}
	}
	checkHeld(t, s, needed)
}

// checkHeld fails unless the blocks that are there are those that are needed, each is
// good, and links and nodes are those that lead to them.
func checkHeld(t *testing.T, s *Store, needed map[string]int) {
	t.Helper()
	keys, err := s.held.Blockstore().AllKeysChan(t.Context())
	must(t, err)
	there := 0
	for c := range keys {
		there++
		if _, ok := needed[string(c.Hash())]; !ok {
			t.Errorf("%s is there, and nobody needs it", c)
		}
	}
	if there != len(needed) {
		t.Errorf("%d blocks are there of %d", there, len(needed))
	}
	if found, r := verify(t, s); len(found) > 0 || r.Strays > 0 {
		t.Errorf("damaged: %v, strays: %d", found, r.Strays)
	}
	st, err := s.Stats(t.Context())
	must(t, err)
	var want Amount
	for _, size := range needed {
		want.Blocks++
		want.Bytes += uint64(size)
	}
	if st.Live != want || st.Dead != (Amount{}) {
		t.Errorf("stats %+v, want %+v alive", st, want)
	}
	must(t, s.kv.View(t.Context(), func(r *kv.Reader) error { return roomtest.CheckNodes(r) }))
}

// The floor of free space is reached half-way through a DAG: nothing of it is lost, the
// request says what it waits for, others can be read and removed, and it goes on when
// there is room.
func TestFloorHalfWay(t *testing.T) {
	var full atomic.Bool
	free := func(string) (uint64, error) {
		if full.Load() {
			return 2 << 20, nil // above the reserve, below the floor
		}
		return 1 << 40, nil
	}
	s := openTest(t, t.TempDir(), Config{MinFreeSpace: 4 << 20, Reserve: 1 << 20, FreeSpace: free})
	all := dagtest.Tree(dagtest.Leaves(9_000, 50), 100) // some batches
	w := &walker{t: t, f: &family{below: map[cid.Cid]map[string]int{dagtest.Last(all): roomtest.SizesOf(all)}}, Store: s, net: walktest.NewNetwork(all...), dir: t.TempDir()}
	other := roomtest.PinDAG(t, s, dagtest.Chain(5))
	pins, err := pin.New(t.Context(), pin.Config{Logger: slog.New(slog.DiscardHandler)}, s, w)
	must(t, err)
	defer func() { must(t, pins.Close()) }()
	w.beforeWrite = func(blocks int) {
		if blocks >= 1000 {
			full.Store(true)
		}
	}
	v, err := pins.Add(t.Context(), roomtest.Account, pin.Spec{CID: dagtest.Last(all).String(), Root: dagtest.Last(all)})
	must(t, err)
	await := func(what string, ok func(pin.View) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			now, err := pins.Get(t.Context(), roomtest.Account, v.ID)
			must(t, err)
			if ok(now) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s, %v", what, now.Status, now.Info)
			}
		}
	}
	await("it says what it waits for", func(v pin.View) bool {
		return v.Status == pin.Pinning && strings.Contains(v.Info["status_details"], "disk is too full")
	})
	if _, err := pins.Add(t.Context(), roomtest.Account, pin.Spec{CID: dagtest.Last(all).String(), Root: dagtest.Last(all)}); !errors.Is(err, pin.ErrDiskFull) {
		t.Errorf("another is taken: %v", err)
	}
	must(t, pins.Remove(t.Context(), roomtest.Account, other.Request.ID))
	w.mu.Lock()
	w.beforeWrite = nil
	w.mu.Unlock()
	before, err := s.Stats(t.Context())
	must(t, err)
	full.Store(false)
	await("it goes on", func(v pin.View) bool { return v.Status == pin.Pinned })
	reclaimAll(t, s)
	checkHeld(t, s, roomtest.SizesOf(all))
	if before.Live.Blocks < 1000 || before.Live.Blocks >= uint64(len(all)) {
		t.Errorf("%d blocks of %d were there when the disk was full", before.Live.Blocks, len(all))
	}
	if asked := w.net.Asked(); asked > len(all)+3*4096 {
		t.Errorf("%d blocks were asked for, of %d", asked, len(all))
	}
}
