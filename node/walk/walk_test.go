package walk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// freeSlot is a worker that is always free.
type freeSlot struct{}

func (freeSlot) Acquire(ctx context.Context) error { return ctx.Err() }
func (freeSlot) Release()                          {}

func newJob(root cid.Cid, a pin.Attempt) pin.Job {
	return pin.Job{DAG: pin.DAGOf(root), Attempt: a, Progress: new(pin.Progress), Slot: freeSlot{}, IdleTimeout: time.Minute}
}

// setting is a network, a store, and how a walk is set up.
type setting struct {
	net   *walktest.Network
	store *walktest.Store
	room  int
	cfg   Config
}

func newSetting(t testing.TB, have ...blocks.Block) *setting {
	return &setting{net: walktest.NewNetwork(have...), store: walktest.NewStore(t), room: 64, cfg: Config{Dir: t.TempDir()}}
}

func (s *setting) run(ctx context.Context, job pin.Job) (pin.Totals, error) {
	asker := s.net.Asker(s.room, uint64(job.Attempt))
	defer asker.Close()
	cfg := s.cfg
	cfg.Store, cfg.Asker = s.store, asker
	return Run(ctx, cfg, job)
}

// mustWalk walks all of a DAG and checks what came of it.
func (s *setting) mustWalk(t *testing.T, all []blocks.Block, a pin.Attempt) *pin.Progress {
	t.Helper()
	job := newJob(dagtest.Last(all), a)
	totals, err := s.run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	s.store.CheckWhole(a, all)
	s.store.CheckMarks()
	n, size := dagtest.Distinct(all)
	if totals != (pin.Totals{Blocks: uint64(n), Bytes: uint64(size)}) {
		t.Errorf("totals are %+v, want %d blocks and %d bytes", totals, n, size)
	}
	if p := job.Progress; p.Blocks.Load() != totals.Blocks || p.Bytes.Load() != totals.Bytes {
		t.Errorf("progress says %d blocks and %d bytes", p.Blocks.Load(), p.Bytes.Load())
	}
	return job.Progress
}

// web makes a DAG of layers in which each node links to several of the layer below,
// so that most are reached by many ways.
func web(seed uint64, layers, wide int) []blocks.Block {
	rng := rand.New(rand.NewPCG(seed, 0))
	all := dagtest.Leaves(wide, 20+int(seed%7))
	below := all
	for l := range layers {
		var next []blocks.Block
		for i := range wide {
			var ls []cid.Cid
			for range 1 + rng.IntN(4) {
				ls = append(ls, below[rng.IntN(len(below))].Cid())
			}
			ls = append(ls, below[i%len(below)].Cid(), all[rng.IntN(len(all))].Cid())
			next = append(next, dagtest.PB(fmt.Sprint(seed, l, i), ls...))
		}
		all, below = append(all, next...), next
	}
	return reachable(append(all, dagtest.PB(fmt.Sprint("root", seed), dagtest.CIDs(below)...)))
}

// reachable leaves out blocks that the last does not lead to.
func reachable(all []blocks.Block) []blocks.Block {
	by := map[cid.Cid]blocks.Block{}
	for _, b := range all {
		by[b.Cid()] = b
	}
	seen := map[cid.Cid]bool{}
	var visit func(c cid.Cid)
	visit = func(c cid.Cid) {
		if seen[c] {
			return
		}
		seen[c] = true
		ls, err := links.Of(c, by[c].RawData())
		if err != nil {
			panic(err)
		}
		for _, l := range ls {
			visit(l)
		}
	}
	visit(dagtest.Last(all))
	var out []blocks.Block
	for _, b := range all {
		if seen[b.Cid()] {
			out = append(out, b)
		}
	}
	return out
}

// Whatever the shape, and whatever little is kept in memory, all of a DAG comes to
// disk, is held, and is marked from the bottom up.
func TestShapes(t *testing.T) {
	for name, all := range map[string][]blocks.Block{
		"tree":  dagtest.Tree(dagtest.Leaves(700, 20), 7),
		"wide":  dagtest.Tree(dagtest.Leaves(3000, 20), 3000),
		"chain": dagtest.Chain(400),
		"web":   web(1, 6, 30),
		"comb":  comb(100, 20),
	} {
		for _, most := range []int{1, 3, 50, 1 << 20} {
			for _, room := range []int{1, 7, 500} {
				t.Run(fmt.Sprintf("%s, %d kept, %d at a time", name, most, room), func(t *testing.T) {
					t.Parallel()
					s := newSetting(t, all...)
					s.room = room
					s.cfg.openMost, s.cfg.loadedMost, s.cfg.seenMost = most, most, most
					s.mustWalk(t, all, 1)
					if n, _ := dagtest.Distinct(all); s.net.Asked() != n {
						t.Errorf("asked for %d blocks of %d", s.net.Asked(), n)
					}
				})
			}
		}
	}
}

// comb is a chain of nodes that each have some leaves, too, after the next node.
func comb(n, teeth int) []blocks.Block {
	leaves := dagtest.Leaves(n*teeth, 30)
	var all []blocks.Block
	for i := range n {
		mine := leaves[i*teeth : (i+1)*teeth]
		ls := dagtest.CIDs(mine)
		if i > 0 {
			ls = append([]cid.Cid{dagtest.Last(all)}, ls...)
		}
		all = append(append(all, mine...), dagtest.PB(fmt.Sprint(i), ls...))
	}
	return all
}

// A second attempt at what is whole reads nothing but the root.
func TestWholeDAGIsPassedOver(t *testing.T) {
	all := web(2, 5, 20)
	s := newSetting(t, all...)
	s.mustWalk(t, all, 1)
	batches := s.store.Batches()
	s.net = walktest.NewNetwork()
	s.mustWalk(t, all, 2)
	if n := s.store.Batches() - batches; n > 2 {
		t.Errorf("%d batches were written for a root", n)
	}
}

// A new version of a DAG asks for what is new, and links to the rest.
func TestNewVersion(t *testing.T) {
	leaves := dagtest.Leaves(3000, 40)
	old := dagtest.Tree(leaves, 10)
	changed := append([]blocks.Block(nil), leaves...)
	changed[1234] = dagtest.Raw("changed")
	now := dagtest.Tree(changed, 10)
	s := newSetting(t, append(old, now...)...)
	s.mustWalk(t, old, 1)
	asked, stored := s.net.Asked(), s.store.Stored()
	s.mustWalk(t, now, 2)
	if n := s.net.Asked() - asked; n != 5 { // the leaf, and the path to it
		t.Errorf("asked for %d blocks", n)
	}
	if n := s.store.Stored() - stored; n != 5 {
		t.Errorf("stored %d blocks", n)
	}
}

// What was whole when it was looked at may be let go of before the link to it.
func TestPassedOverAndThenNotWhole(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(200, 40), 5)
	root := dagtest.PB("over it", dagtest.Last(all), dagtest.Raw("x").Cid())
	now := append(append([]blocks.Block(nil), all...), dagtest.Raw("x"), root)
	for name, lose := range map[string]func(s *walktest.Store){
		"not whole":       func(s *walktest.Store) { s.ForgetWhole() },
		"its root gone":   func(s *walktest.Store) { s.ForgetWhole(); s.Lose(dagtest.Last(all)) },
		"some of it gone": func(s *walktest.Store) { s.ForgetWhole(); s.Lose(all[3].Cid()); s.Lose(all[210].Cid()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetting(t, now...)
			s.mustWalk(t, all, 1)
			lost := false
			s.store.BeforeWrite = func(_ context.Context, b graph.Batch) error {
				for _, l := range b.Links {
					if !lost && l.DAG() == pin.DAGOf(dagtest.Last(all)) {
						lost = true
						lose(s.store)
					}
				}
				return nil
			}
			s.mustWalk(t, now, 2)
			if !lost {
				t.Error("nothing was lost")
			}
		})
	}
}

// Limits hold for what is passed over, too.
func TestLimitsOfWhatIsPassedOver(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(200, 40), 5)
	now := append(append([]blocks.Block(nil), all...), dagtest.PB("over it", dagtest.Last(all)))
	n, size := dagtest.Distinct(now)
	for name, c := range map[string]struct {
		limits  pin.Limits
		refused bool
	}{
		"blocks":      {pin.Limits{Blocks: uint64(n) - 1}, true},
		"bytes":       {pin.Limits{Bytes: uint64(size) - 1}, true},
		"links":       {pin.Limits{Links: 4}, true},
		"block bytes": {pin.Limits{BlockBytes: 39}, true},
		"depth":       {pin.Limits{Depth: 3}, true},
		"just kept":   {pin.Limits{Blocks: uint64(n), Bytes: uint64(size), Links: 5, Depth: 5, BlockBytes: 1000}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetting(t, now...)
			s.mustWalk(t, all, 1)
			job := newJob(dagtest.Last(now), 2)
			job.Limits = c.limits
			_, err := s.run(t.Context(), job)
			var refused *pin.RefusedError
			if errors.As(err, &refused) != c.refused || !c.refused && err != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}

// An interrupted walk goes on where it was: what was whole is not read again, and
// nothing is fetched twice.
func TestResume(t *testing.T) {
	for name, all := range map[string][]blocks.Block{
		"tree":  dagtest.Tree(dagtest.Leaves(2000, 20), 10),
		"web":   web(3, 6, 60),
		"chain": dagtest.Chain(300),
	} {
		for _, most := range []int{2, 1 << 20} {
			t.Run(fmt.Sprint(name, most), func(t *testing.T) {
				t.Parallel()
				s := newSetting(t, all...)
				s.room, s.cfg.openMost = 20, most
				n, _ := dagtest.Distinct(all)
				for part := 1; part < 4; part++ {
					ctx, cancel := context.WithCancel(t.Context())
					s.store.BeforeWrite = func(context.Context, graph.Batch) error {
						if s.store.Stored() > n*part/4 {
							cancel()
						}
						return nil
					}
					s.store.Slow = true
					if _, err := s.run(ctx, newJob(dagtest.Last(all), 1)); !errors.Is(err, context.Canceled) {
						t.Fatalf("error %v", err)
					}
					s.store.CheckMarks()
				}
				s.store.BeforeWrite = nil
				s.mustWalk(t, all, 1)
				if s.store.Stored() != n {
					t.Errorf("%d blocks were stored, the DAG has %d", s.store.Stored(), n)
				}
				if ids := s.store.Nodes(1); ids > n {
					t.Errorf("%d nodes of one attempt for %d blocks", ids, n)
				}
			})
		}
	}
}

// A part that was whole before an interruption is passed over after it.
func TestResumePassesOverWhatIsWhole(t *testing.T) {
	parts := make([][]blocks.Block, 3)
	var all []blocks.Block
	var roots []cid.Cid
	for i := range parts {
		parts[i] = web(uint64(10+i), 4, 20)
		all, roots = append(all, parts[i]...), append(roots, dagtest.Last(parts[i]))
	}
	root := dagtest.PB("all", roots...)
	all = append(all, root)
	s := newSetting(t, append(append([]blocks.Block{root}, parts[0]...), parts[2]...)...) // the second is missing
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	job := newJob(root.Cid(), 1)
	go func() {
		_, err := s.run(ctx, job)
		done <- err
	}()
	n := len(dagtest.Unique(append(append([]blocks.Block{root}, parts[0]...), parts[2]...)))
	for deadline := time.Now().Add(time.Minute); !s.store.IsWhole(roots[0]) || !s.store.IsWhole(roots[2]); {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d blocks are there", s.store.Stored(), n)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	s.store.CheckMarks()
	s.net.Add(parts[1]...)
	s.store.ForgetLooks()
	s.mustWalk(t, all, 1)
	for _, b := range append(parts[0][:len(parts[0])-1:len(parts[0])-1], parts[2][:len(parts[2])-1]...) {
		if s.store.Looked(b.Cid()) {
			t.Fatal("a block below what is whole was read")
		}
	}
}
