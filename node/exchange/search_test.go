package exchange

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// fakeFinder gives the same peers for everything, or only for some.
type fakeFinder struct {
	give []peer.ID
	only map[cid.Cid]bool // nil: everything
	mu   sync.Mutex
	for_ []cid.Cid
}

func (f *fakeFinder) Find(ctx context.Context, about string, c cid.Cid) <-chan peer.AddrInfo {
	f.mu.Lock()
	f.for_ = append(f.for_, c)
	f.mu.Unlock()
	out := make(chan peer.AddrInfo)
	go func() {
		defer close(out)
		if f.only != nil && !f.only[c] {
			return
		}
		for _, id := range f.give {
			select {
			case out <- peer.AddrInfo{ID: id}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// What nobody who is connected has is looked for, once in a while.
func TestSearch(t *testing.T) {
	all := someBlocks(200, 100)
	f := &fakeFinder{give: []peer.ID{"nobody", "has"}}
	bubble(t, Config{Finder: f}, func(t *testing.T, n *fakeNet) {
		n.peer("other").connect()
		has := n.peer("has")
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(all[0].Cid())
		time.Sleep(3*searchAgain + 5*time.Second)
		f.mu.Lock()
		if len(f.for_) != 4 || f.for_[0] != all[0].Cid() {
			t.Errorf("looked for %v", f.for_)
		}
		f.mu.Unlock()
		has.add(all...)
		time.Sleep(retryAfter)
		synctest.Wait()
		for _, a := range s.Take() {
			all = slices.DeleteFunc(all, func(b blocks.Block) bool { return b.Cid() == a.Block.Cid() })
		}
		if took := get(t, s, all, time.Minute); len(all) != 199 || took > time.Second {
			t.Errorf("%d were left, which took %v", len(all), took)
		}
	})
}

// A peer that gets a block, and does not tell those that wait for it, is asked again soon.
func TestPeerDoesNotTellWhatComes(t *testing.T) {
	all := someBlocks(2, 100)
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		p := n.peer("forgetful").connect()
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(all[0].Cid())
		time.Sleep(time.Second) // it said that it lacks it
		p.mu.Lock()
		p.blocks[string(all[0].Cid().Hash())] = all[0]
		clear(p.wants)
		p.mu.Unlock()
		if took := get(t, s, all[:1], time.Minute); took > retryFirst {
			t.Errorf("it came after %v", took)
		}
		// It is asked ever more seldom for what it does not get.
		s.Ask(all[1].Cid())
		time.Sleep(10 * retryAfter)
		if asked := p.counted(func(e entry) bool { return e.cid == all[1].Cid() && !e.cancel }); asked < 10 || asked > 16 {
			t.Errorf("in ten minutes it was asked %d times", asked)
		}
	})
}

// What waits for others to be sought is asked for, also when none of those is sought any more.
func TestNothingStaysParked(t *testing.T) {
	all := someBlocks(questionsMost+3*soughtMost, 100)
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		p := n.peer("fetches it too", all[0]).connect()
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(all[0].Cid())
		get(t, s, all[:1], time.Minute)
		s.Ask(cidsOf(all[1:])...)
		time.Sleep(time.Second)
		p.add(all[1:]...)
		time.Sleep(20 * time.Second)
		if came := len(s.Take()); came != len(all)-1 {
			t.Errorf("%d of %d blocks came", came, len(all)-1)
		}
	})
}

// heldFinder finds nobody, for as long as it is let.
type heldFinder struct {
	mu    sync.Mutex
	about []string
	now   int
}

func (f *heldFinder) Find(ctx context.Context, about string, _ cid.Cid) <-chan peer.AddrInfo {
	f.mu.Lock()
	f.about = append(f.about, about)
	f.now++
	f.mu.Unlock()
	out := make(chan peer.AddrInfo)
	go func() {
		<-ctx.Done()
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
		close(out)
	}()
	return out
}

func (f *heldFinder) state() (about []string, now int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.about), f.now
}

// A search may wait for its turn for long, and ends with what it is for.
func TestSearchEnds(t *testing.T) {
	all := someBlocks(2, 100)
	f := new(heldFinder)
	bubble(t, Config{Finder: f}, func(t *testing.T, n *fakeNet) {
		found, given := n.x.NewSession("found", nil), n.x.NewSession("given up", nil)
		defer found.Close()
		found.Ask(all[0].Cid())
		given.Ask(all[1].Cid())
		time.Sleep(5 * searchAgain)
		about, now := f.state()
		if slices.Sort(about); !slices.Equal(about, []string{"found", "given up"}) || now != 2 {
			t.Errorf("searches were for %q, %d go on", about, now)
		}
		given.Close()
		synctest.Wait()
		if _, now := f.state(); now != 1 {
			t.Errorf("%d searches go on after the session's end", now)
		}
		n.peer("has", all[0]).connect()
		get(t, found, all[:1], time.Second)
		synctest.Wait()
		if _, now := f.state(); now != 0 {
			t.Errorf("%d searches go on after the block has come", now)
		}
	})
}

// A search that finds somebody late does not hold up another's.
func TestSearchesOfManySessions(t *testing.T) {
	all := someBlocks(100, 100)
	f := &fakeFinder{give: []peer.ID{"has"}}
	bubble(t, Config{Finder: f}, func(t *testing.T, n *fakeNet) {
		n.peer("has", all...)
		var wg sync.WaitGroup
		for _, b := range all {
			wg.Go(func() {
				s := n.x.NewSession("", nil)
				defer s.Close()
				get(t, s, []blocks.Block{b}, time.Minute)
			})
		}
		wg.Wait()
	})
}
