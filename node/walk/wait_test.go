package walk

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// Many directories have the same files, and nobody has those: a walk keeps a bounded
// number of links to them, and goes on when they come.
func TestLinksToWhatNobodyHas(t *testing.T) {
	common := []blocks.Block{dagtest.Raw("in every directory"), dagtest.Raw("this too")}
	var dirs []blocks.Block
	for i := range 1000 {
		dirs = append(dirs, dagtest.PB(fmt.Sprint(i), dagtest.CIDs(common)...))
	}
	all := dagtest.Tree(append(common, dirs...), 100)
	// Of as many as this each directory takes two, of those that are not tracked. Of
	// as many others one that is tracked takes three, the link to it among them, and
	// one that is on its way takes one.
	const most, room = 200, 64
	for name, want := range map[string]struct{ open, least, blocks int }{
		"all tracked":  {len(all), most/2 + (most-room)/3, most},
		"few tracked":  {20, most/2 + 20, most/2 + 20},
		"none tracked": {1, most / 2, most / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSetting(t, without(all, common)...)
				s.room, s.cfg.openMost, s.cfg.waitMost = room, want.open, most
				job := newJob(dagtest.Last(all), 1)
				var totals pin.Totals
				ended := make(chan error)
				go func() {
					var err error
					totals, err = s.run(t.Context(), job)
					ended <- err
				}()
				time.Sleep(time.Minute)
				// What is above the directories, and what was asked for by then, comes too.
				if n := int(job.Progress.Blocks.Load()); n < want.least || n > want.blocks+room+120 {
					t.Errorf("%d blocks came before the walk waits, want %d to %d", n, want.least, want.blocks)
				}
				s.net.Add(common...)
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if int(totals.Blocks) != len(all) {
					t.Errorf("totals are %+v, want %d blocks", totals, len(all))
				}
				s.store.CheckWhole(1, all)
				s.store.CheckMarks()
			})
		})
	}
}

func without(all, some []blocks.Block) (rest []blocks.Block) {
	left := map[cid.Cid]bool{}
	for _, b := range some {
		left[b.Cid()] = true
	}
	for _, b := range all {
		if !left[b.Cid()] {
			rest = append(rest, b)
		}
	}
	return rest
}

// A block that is linked to by both versions of its CID is one link.
func TestLinksOfBothVersions(t *testing.T) {
	leaf := dagtest.PB("leaf")
	v0 := cid.NewCidV0(leaf.Cid().Hash())
	root := dagtest.PB("root", leaf.Cid(), v0, dagtest.Raw("x").Cid())
	all := []blocks.Block{leaf, dagtest.Raw("x"), root}
	w := &walk{}
	ls, err := w.linksOf(root.Cid(), root.RawData())
	if err != nil || len(ls) != 2 {
		t.Errorf("links are %v, %v", ls, err)
	}
	newSetting(t, all...).mustWalk(t, all, 1)
}

// watchedSlot is a worker of which it is known whether the walk holds it.
type watchedSlot struct{ held atomic.Bool }

func (s *watchedSlot) Acquire(ctx context.Context) error {
	s.held.Store(true)
	return ctx.Err()
}

func (s *watchedSlot) Release() { s.held.Store(false) }

// While the last blocks of a walk are written others use its worker, unless it has many bytes in hand.
func TestWorkerWhileTheDiskWrites(t *testing.T) {
	for name, want := range map[string]struct {
		bytes int
		held  bool
	}{"few bytes": {100, false}, "many bytes": {lastBytes + 1, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				block := dagtest.Raw(strings.Repeat("x", want.bytes))
				s, slot := newSetting(t, block), new(watchedSlot)
				job := newJob(block.Cid(), 1)
				job.Slot = slot
				s.store.BeforeWrite = func(_ context.Context, b graph.Batch) error {
					time.Sleep(time.Minute)
					if len(b.Blocks) > 0 && (slot.held.Load() != want.held || job.Progress.Writes.Load() == want.held) {
						t.Errorf("the worker is held: %v; the walk only writes: %v", slot.held.Load(), job.Progress.Writes.Load())
					}
					return nil
				}
				if _, err := s.run(t.Context(), job); err != nil {
					t.Fatal(err)
				}
				s.store.CheckWhole(1, []blocks.Block{block})
			})
		})
	}
}

// A walk that has to ask for a block again, as it was lost from disk meanwhile, does not only write any more.
func TestLostWhileTheDiskWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := dagtest.Raw("x")
		s := newSetting(t, block)
		s.mustWalk(t, []blocks.Block{block}, 1)
		s.store.ForgetWhole()
		s.net = walktest.NewNetwork() // nobody has it now
		job := newJob(block.Cid(), 2)
		s.store.BeforeWrite = func(context.Context, graph.Batch) error {
			time.Sleep(time.Second)
			if !job.Progress.Writes.Load() {
				t.Error("it does not only write")
			}
			s.store.Lose(block.Cid())
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := s.run(ctx, job)
			ended <- err
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s.net.Asked() == 0 || job.Progress.Writes.Load() {
			t.Errorf("it is asked for %d times, and only writes: %v", s.net.Asked(), job.Progress.Writes.Load())
		}
		cancel()
		if err := <-ended; err == nil {
			t.Error("the walk came to its end")
		}
	})
}
