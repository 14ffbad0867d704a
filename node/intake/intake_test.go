package intake

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// begin begins an upload that is closed at the end of the test.
func begin(t *testing.T, s *walktest.Store, l pin.Limits, change ...func(*Config)) *Intake {
	t.Helper()
	cfg := Config{Store: s, Share: new(Share), Dir: t.TempDir()}
	for _, f := range change {
		f(&cfg)
	}
	in, err := Begin(t.Context(), cfg, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	return in
}

func put(t *testing.T, in *Intake, all ...blocks.Block) (news int) {
	t.Helper()
	for _, b := range all {
		n, err := in.Put(t.Context(), b.Cid(), b.RawData())
		if err != nil {
			t.Fatal(err)
		}
		news += n
	}
	return news
}

func flush(t *testing.T, in *Intake) {
	t.Helper()
	if err := in.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// fetch walks a DAG with a network that has nothing, and counts what the walk reads of it.
func fetch(t *testing.T, s *walktest.Store, root cid.Cid, all []blocks.Block, l pin.Limits) (a pin.Attempt, read int) {
	t.Helper()
	s.ForgetLooks()
	a = s.NewAttempt()
	asker := walktest.NewNetwork().Asker(10, 1)
	defer asker.Close()
	got, err := walk.Run(t.Context(), walk.Config{Store: s, Asker: asker}, pin.Job{
		DAG: pin.DAGOf(root), Attempt: a, Progress: new(pin.Progress), Slot: freeSlot{}, Limits: l,
	})
	if err != nil {
		t.Fatal(err)
	}
	n, size := dagtest.Distinct(all)
	if want := (pin.Totals{Blocks: uint64(n), Bytes: uint64(size)}); got != want {
		t.Errorf("totals are %+v, want %+v", got, want)
	}
	for _, b := range dagtest.Unique(all) {
		if s.Looked(b.Cid()) {
			read++
		}
	}
	return a, read
}

type freeSlot struct{}

func (freeSlot) Acquire(ctx context.Context) error { return ctx.Err() }
func (freeSlot) Release()                          {}

// dags are DAGs of several shapes, each with its root last.
func dags() map[string][]blocks.Block {
	leaf := dagtest.Raw("leaf")
	inner := dagtest.PB("inner", leaf.Cid())
	asRaw := dagtest.Under(cid.Raw, inner) // the same bytes as a leaf
	inline := dagtest.Identity(cid.DagProtobuf, dagtest.PBBytes("inlined", leaf.Cid()))
	return map[string][]blocks.Block{
		"leaf":   {leaf},
		"tree":   dagtest.Tree(dagtest.Leaves(200, 300), 8),
		"chain":  dagtest.Chain(60),
		"shared": {leaf, inner, dagtest.PB("shared", inner.Cid(), leaf.Cid(), inner.Cid())},
		"codecs": {leaf, inner, dagtest.CBOR("codecs", inner.Cid(), asRaw)},
		"inline": {leaf, dagtest.PB("outer", inline)},
	}
}

// A DAG is whole when its last block has come, whatever the order. The walk that pins it reads
// the root alone, and what it holds stays when the upload is dropped.
func TestAnyOrderIsWhole(t *testing.T) {
	for name, all := range dags() {
		for seed := range uint64(6) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				s := walktest.NewStore(t)
				in := begin(t, s, pin.Limits{BlockBytes: 4 << 20})
				order := slices.Clone(all)
				switch seed {
				case 0:
				case 1:
					slices.Reverse(order)
				default:
					rng := rand.New(rand.NewPCG(seed, 0))
					rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
					in.cfg.Share.n.Store(int64(seed)) // some have smaller batches
				}
				for i, b := range order {
					put(t, in, b)
					if i%7 == int(seed) {
						flush(t, in)
					}
				}
				flush(t, in)
				s.CheckMarks()
				root := dagtest.Last(all)
				if missing, err := in.Lacks(t.Context(), root); err != nil || missing.Defined() {
					t.Errorf("it lacks %s, %v", missing, err)
				}
				a, read := fetch(t, s, root, all, pin.Limits{BlockBytes: 4 << 20})
				most := 1
				if name == "codecs" { // what is read as raw never came as that
					most = 2
				}
				if read > most {
					t.Errorf("the walk reads %d blocks", read)
				}
				if err := in.Close(); err != nil {
					t.Error(err)
				}
				if err := s.Drop(t.Context(), in.Attempt()); err != nil {
					t.Error(err)
				}
				s.CheckWhole(a, all)
			})
		}
	}
}

// What is not whole is not marked: one block less, and the walk would miss it.
func TestNothingIsWholeBeforeAllIsThere(t *testing.T) {
	all := dags()["tree"]
	for skip := range all {
		if skip%17 != 0 {
			continue
		}
		s := walktest.NewStore(t)
		in := begin(t, s, pin.Limits{})
		for i, b := range all {
			if i != skip {
				put(t, in, b)
			}
		}
		flush(t, in)
		s.CheckMarks()
		if s.IsWhole(dagtest.Last(all)) {
			t.Errorf("without block %d the root is whole", skip)
		}
		if missing, err := in.Lacks(t.Context(), dagtest.Last(all)); err != nil || missing != all[skip].Cid() {
			t.Errorf("it lacks %s, want %s, %v", missing, all[skip].Cid(), err)
		}
	}
}

// A block that is not here is found before anything is read that is further below: of a long
// chain of blocks with many links to what is not here, nothing is kept in memory.
func TestAbsentIsFoundFirst(t *testing.T) {
	s := walktest.NewStore(t)
	in := begin(t, s, pin.Limits{})
	var absent []blocks.Block
	chain := []blocks.Block{dagtest.CBOR("end")}
	for i := range 5 {
		absent = append(absent, dagtest.Raw(fmt.Sprint("absent", i)), dagtest.CBOR(fmt.Sprint("absent", i)))
		chain = append(chain, dagtest.CBOR("", absent[2*i].Cid(), absent[2*i+1].Cid(), dagtest.Last(chain)))
	}
	put(t, in, chain...)
	flush(t, in)
	s.ForgetLooks()
	if missing, err := in.Lacks(t.Context(), dagtest.Last(chain)); err != nil || missing != absent[len(absent)-2].Cid() {
		t.Errorf("missing is %s, %v; want %s", missing, err, absent[len(absent)-2].Cid())
	}
	for _, b := range chain[:len(chain)-1] {
		if s.Looked(b.Cid()) {
			t.Errorf("%s is looked at in vain", b.Cid())
		}
	}
}

// With too little memory to find out what is whole, the walk looks for itself.
func TestLittleMemory(t *testing.T) {
	all := dags()["tree"]
	order := slices.Clone(all)
	slices.Reverse(order)
	s := walktest.NewStore(t)
	in := begin(t, s, pin.Limits{})
	in.cfg.Share.n.Store(1 << 20) // everybody else is busy, too
	put(t, in, order...)
	flush(t, in)
	s.CheckMarks()
	in.cfg.Share.n.Store(1)
	a, read := fetch(t, s, dagtest.Last(all), all, pin.Limits{})
	if read != len(dagtest.Unique(all)) {
		t.Errorf("the walk reads %d of %d blocks", read, len(all))
	}
	if err := errors.Join(in.Close(), s.Drop(t.Context(), in.Attempt())); err != nil {
		t.Error(err)
	}
	s.CheckWhole(a, all)
}

// What is here already is not written again, and counts for nothing; what comes twice counts
// twice.
func TestWhatIsHereIsNotWritten(t *testing.T) {
	all := dags()["tree"]
	_, size := dagtest.Distinct(all)
	s := walktest.NewStore(t)
	first := begin(t, s, pin.Limits{})
	if n := put(t, first, all...); n != size {
		t.Errorf("it counts for %d bytes, want %d", n, size)
	}
	if n := put(t, first, all...); n != size {
		t.Errorf("the second time it counts for %d bytes, want %d", n, size)
	}
	flush(t, first)
	stored := s.Stored()
	again := begin(t, s, pin.Limits{})
	if n := put(t, again, all...); n != 0 {
		t.Errorf("what is here counts for %d bytes", n)
	}
	flush(t, again)
	if n := s.Stored(); n != stored {
		t.Errorf("%d blocks were written again", n-stored)
	}
	s.CheckMarks()
	// A block whose bytes are damaged is written again.
	s.Damage(all[3].Cid(), []byte("damaged"))
	s.Unreadable(all[4].Cid())
	third := begin(t, s, pin.Limits{})
	if n := put(t, third, all...); n != len(all[3].RawData())+len(all[4].RawData()) {
		t.Errorf("what is damaged counts for %d bytes", n)
	}
	flush(t, third)
	if data, err := third.Get(t.Context(), all[3].Cid()); err != nil || string(data) != string(all[3].RawData()) {
		t.Errorf("what was damaged is %q, %v", data, err)
	}
}

// A block that was here, and is deleted before the link to it is durable, is written again.
func TestWhatWasHereMayBeGone(t *testing.T) {
	all := dags()["tree"]
	s := walktest.NewStore(t, all...)
	var once atomic.Bool
	s.BeforeWrite = func(context.Context, graph.Batch) error {
		if once.CompareAndSwap(false, true) {
			s.Lose(all[0].Cid())
			s.Lose(all[len(all)-1].Cid())
		}
		return nil
	}
	in := begin(t, s, pin.Limits{})
	put(t, in, all...)
	flush(t, in)
	s.CheckMarks()
	for _, b := range all {
		if !s.Has(b.Cid()) {
			t.Errorf("%s is gone", b.Cid())
		}
	}
	if _, read := fetch(t, s, dagtest.Last(all), all, pin.Limits{}); read > 1 {
		t.Errorf("the walk reads %d blocks", read)
	}
}

// What no DAG may have is refused, and the upload goes on.
func TestRefusals(t *testing.T) {
	denied := dagtest.Raw("denied")
	s := walktest.NewStore(t)
	in := begin(t, s, pin.Limits{BlockBytes: 100, Links: 3}, func(c *Config) {
		c.Refuse = func(c cid.Cid) error {
			if c.Equals(denied.Cid()) {
				return pin.ErrDenied
			}
			return nil
		}
	})
	leaf := dagtest.Raw("leaf")
	many := []cid.Cid{leaf.Cid(), dagtest.Raw("a").Cid(), dagtest.Raw("b").Cid(), dagtest.Raw("c").Cid()}
	for name, b := range map[string]blocks.Block{
		"too large":      dagtest.Block(cid.Raw, make([]byte, 101)),
		"too many links": dagtest.PB("", many...),
		"no dag-pb":      dagtest.Block(cid.DagProtobuf, []byte("\xff")),
		"a codec":        dagtest.Block(0x300, []byte("x")),
		"a link":         dagtest.CBOR("", dagtest.Block(0x300, []byte("x")).Cid()),
	} {
		if _, err := in.Put(t.Context(), b.Cid(), b.RawData()); !errors.As(err, new(*pin.RefusedError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := in.Put(t.Context(), denied.Cid(), denied.RawData()); !errors.Is(err, pin.ErrDenied) {
		t.Errorf("a denied block: %v", err)
	}
	put(t, in, leaf)
	flush(t, in)
	if !s.Has(leaf.Cid()) || s.Stored() != 1 {
		t.Errorf("%d blocks are here", s.Stored())
	}
}

// An error of the disk ends the upload, and one of a call's context only the call.
func TestErrors(t *testing.T) {
	boom := errors.New("boom")
	s := walktest.NewStore(t)
	in := begin(t, s, pin.Limits{})
	leaf := dagtest.Raw("leaf")
	put(t, in, leaf)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a flush whose context has ended: %v", err)
	}
	flush(t, in)
	s.BeforeWrite = func(context.Context, graph.Batch) error { return boom }
	put(t, in, dagtest.Raw("other"))
	if err := in.Flush(t.Context()); !errors.Is(err, boom) {
		t.Errorf("a flush to a disk that fails: %v", err)
	}
	s.BeforeWrite = nil
	if _, err := in.Put(t.Context(), leaf.Cid(), leaf.RawData()); !errors.Is(err, boom) {
		t.Errorf("after that: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if _, err := in.Put(t.Context(), leaf.Cid(), leaf.RawData()); !errors.Is(err, pin.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if n := in.cfg.Share.n.Load(); n != 0 {
		t.Errorf("%d uploads divide memory", n)
	}
}

// An error of the disk is not lost on a call whose context has ended: what was not written would else
// count as durable.
func TestErrorDuringAnEndedCall(t *testing.T) {
	boom := errors.New("boom")
	s := walktest.NewStore(t)
	in := begin(t, s, pin.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	s.BeforeWrite = func(context.Context, graph.Batch) error {
		cancel()
		return boom
	}
	put(t, in, dagtest.Raw("leaf"))
	for range 64 { // each waits for the disk or for its context, whichever it sees
		if err := in.Flush(ctx); err == nil {
			t.Fatal("a flush to a disk that fails succeeds")
		}
	}
	s.BeforeWrite = nil
	if err := in.Flush(t.Context()); !errors.Is(err, boom) {
		t.Errorf("a flush after one that failed: %v", err)
	}
}

// An upload that is closed while a call waits for the disk gives back its memory and its files.
func TestCloseDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := walktest.NewStore(t)
		in := begin(t, s, pin.Limits{})
		s.BeforeWrite = func(ctx context.Context, _ graph.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}
		put(t, in, dagtest.Raw("leaf"))
		go func() { _ = in.Flush(t.Context()) }()
		synctest.Wait()
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := in.cfg.Share.n.Load(); n != 0 || in.open != nil {
			t.Errorf("%d uploads divide memory", n)
		}
	})
}

// However many uploads there are, together they take a bounded memory.
func TestShare(t *testing.T) {
	for _, n := range []int64{0, 1, 2, 8, 32, 1000} {
		var s Share
		s.n.Store(n)
		if got := int64(s.of(batchTotal, batchLeast)) * n; got > overMax*batchTotal {
			t.Errorf("%d uploads gather %d bytes", n, got)
		}
	}
}
