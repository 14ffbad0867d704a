package exchange

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// One block that a peer sends other bytes for costs that block: all others come as fast
// as without it, and it is named soon. Whoever else has it is asked.
func TestDamagedBlock(t *testing.T) {
	all := someBlocks(2000, 100)
	bad := all[700].Cid()
	var alone time.Duration
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		n.peer("good", all...).connect()
		alone = get(t, s, all, time.Minute)
	})
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		p := n.peer("damaged", all...)
		p.broken = map[string]bool{string(bad.Hash()): true}
		p.connect()
		s, other := n.x.NewSession("a", nil), n.x.NewSession("b", nil)
		defer s.Close()
		defer other.Close()
		s.Ask(bad)
		time.Sleep(3 * time.Second) // until it is put aside, others share with it as with any pin
		if took := get(t, other, slices.Concat(all[:700], all[701:]), time.Minute); took > alone*3/2 {
			t.Errorf("others took %v, alone %v", took, alone)
		}
		time.Sleep(7*time.Second - alone)
		synctest.Wait()
		if text := s.Stats().Troubles; !strings.Contains(text, bad.String()) || !strings.Contains(text, p.id.String()) || !strings.Contains(text, "other bytes") {
			t.Errorf("it says %q", text)
		}
		if asked := p.counted(func(e entry) bool { return forBlock(e) && e.cid == bad }); asked > 8 {
			t.Errorf("it was asked for %d times", asked)
		}
		more := someBlocks(500, 90)
		p.add(more...)
		if took := get(t, other, more, time.Minute); took > alone*3/2 {
			t.Errorf("later others took %v", took)
		}
		n.peer("good", all...).connect()
		time.Sleep(time.Second)
		synctest.Wait()
		if as := s.Take(); len(as) != 1 || as[0].From != "good" {
			t.Errorf("what came is %v", as)
		}
		if text := s.Stats().Troubles; text != "" {
			t.Errorf("in the end it says %q", text)
		}
	})
}

// Several damaged ones in a DAG are all named, beside blocks that nobody has.
func TestTroubles(t *testing.T) {
	all := someBlocks(300, 100)
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		p := n.peer("damaged", all[:298]...)
		p.broken = map[string]bool{string(all[10].Cid().Hash()): true, string(all[11].Cid().Hash()): true}
		p.connect()
		s := n.x.NewSession("", nil)
		defer s.Close()
		get(t, s, all[:10], time.Minute)
		s.Ask(cidsOf(all[10:])...)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		text := s.Stats().Troubles
		for _, b := range []blocks.Block{all[10], all[11], all[298], all[299]} {
			if !strings.Contains(text, b.Cid().String()) {
				t.Errorf("it does not name %s", b.Cid())
			}
		}
		if !strings.Contains(text, "no connected peer has 2 of") || !strings.Contains(text, "asked of 1 peer and 0 gateways; others came from peer "+p.id.String()) {
			t.Errorf("it says %q", text)
		}
	})
}

// A session that goes on with what is on disk has received nothing itself, and its source
// may be gone. All that nobody has is counted, what waits for its turn to be looked for too,
// and some of it is named, in a text of bounded length. Of the root other words tell.
func TestTroublesOfWhatIsMissing(t *testing.T) {
	all := someBlocks(101, 100)
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		for i := range 50 {
			n.peer(fmt.Sprintf("%d%s", i, strings.Repeat("x", 50))).connect()
		}
		s := n.x.NewSession("codec"+string(all[0].Cid().Hash()), nil)
		defer s.Close()
		s.Ask(all[0].Cid())
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if text := s.Stats().Troubles; text != "" {
			t.Errorf("of the root it says %q", text)
		}
		s.Forget(all[0].Cid())
		s.Ask(cidsOf(all[1:])...)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		text := s.Stats().Troubles
		named := 0
		for _, b := range all {
			if strings.Contains(text, b.Cid().String()) {
				named++
			}
		}
		if !strings.Contains(text, "no connected peer has 100 of") || named != 3 || !strings.Contains(text, "asked of 50 peers and 0 gateways, none of which") || len(text) > 600 {
			t.Errorf("it names %d and says %q", named, text)
		}
	})
}

// A peer that does not answer for one block is asked for all others as before, and for
// that one ever more seldom. It is named.
func TestNoAnswerForOne(t *testing.T) {
	all := someBlocks(2000, 100)
	bad := all[5].Cid()
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		p := n.peer("silent for one", all...)
		p.deaf = map[string]bool{string(bad.Hash()): true}
		p.connect()
		s := n.x.NewSession("", nil)
		defer s.Close()
		get(t, s, all[:5], time.Second)
		s.Ask(bad)
		get(t, s, all[6:], time.Second)
		least := windowMost
		for i := range 10 {
			more := someBlocks(500, 110+i)
			p.add(more...)
			get(t, s, more, time.Second)
			time.Sleep(time.Second)
			n.x.mu.Lock()
			least = min(least, n.x.lines[p.id].window.size)
			n.x.mu.Unlock()
		}
		if least < windowStart {
			t.Errorf("the window was %d", least)
		}
		if text := s.Stats().Troubles; !strings.Contains(text, bad.String()) || !strings.Contains(text, "does not answer") {
			t.Errorf("it says %q", text)
		}
		if asked := p.counted(func(e entry) bool { return forBlock(e) && e.cid == bad }); asked > 8 {
			t.Errorf("it was asked for %d times", asked)
		}
	})
}

// A block that no message can take is found out among its siblings, which all come, and
// is named.
func TestMessageTooLarge(t *testing.T) {
	small := someBlocks(500, 1000)
	large := someBlocks(1, 6<<20)[0]
	for name, place := range map[string]int{"first": 0, "in the middle": 250, "last": 500} {
		t.Run(name, func(t *testing.T) {
			all := slices.Insert(slices.Clone(small), place, large)
			bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
				p := n.peer("has a large one", all...)
				p.limit = 4 << 20
				p.connect()
				s := n.x.NewSession("", nil)
				defer s.Close()
				missing := map[cid.Cid]bool{}
				for _, b := range all {
					missing[b.Cid()] = true
				}
				s.Ask(cidsOf(all)...)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				for _, a := range s.Take() {
					delete(missing, a.Block.Cid())
				}
				if len(missing) != 1 || !missing[large.Cid()] {
					t.Fatalf("%d are missing", len(missing))
				}
				text := s.Stats().Troubles
				for _, want := range []string{large.Cid().String(), p.id.String(), fmt.Sprint(6 << 20), "more than the 4194304 (4 MiB)"} {
					if !strings.Contains(text, want) {
						t.Errorf("%q does not say %s", text, want)
					}
				}
				n.x.mu.Lock()
				size := n.x.lines[p.id].window.size
				n.x.mu.Unlock()
				if size < windowStart {
					t.Errorf("the window is still %d", size)
				}
			})
		})
	}
}

// Of a peer that answers all of a message by one, less is asked for at a time until its
// answers are read: whether or not it is known that they were too large.
func TestPeerThatAnswersAtOnce(t *testing.T) {
	for _, unheard := range []bool{false, true} {
		for _, size := range []int{1 << 20, 256 << 10, 60_000} {
			t.Run(fmt.Sprintf("%d bytes, unheard %v", size, unheard), func(t *testing.T) {
				all := someBlocks(200, size)
				bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
					p := n.peer("at once", all...)
					p.limit, p.unheard = 4<<20, unheard
					p.connect()
					s := n.x.NewSession("", nil)
					defer s.Close()
					get(t, s, all[:1], time.Minute)
					if took := get(t, s, all[1:], time.Minute); took > 30*time.Second {
						t.Errorf("it took %v", took)
					}
					// After it was lost twice no more than half as much is asked for, down to one.
					widest := slices.Max(p.batches)
					at := slices.Index(p.batches, widest)
					if then := p.batches[at+2]; then > widest/2 {
						t.Errorf("%d are asked for after %d were lost twice: %v", then, widest, p.batches)
					}
					if size == 1<<20 && slices.Min(p.batches[at:]) != 1 {
						t.Errorf("so many are asked for at a time: %v", p.batches)
					}
				})
			})
		}
	}
}

// A gateway that fails for very many blocks of one session gives others what it has at
// once, whenever they begin.
func TestAilingGateway(t *testing.T) {
	good, odd := someBlocks(1000, 100), someBlocks(500, 101)
	g := newFakeGateway("some", good...)
	g.answer = func(c cid.Cid) error {
		if slices.ContainsFunc(odd, func(b blocks.Block) bool { return b.Cid() == c }) {
			return errors.New("it answers 400")
		}
		return nil
	}
	var alone time.Duration
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		alone = get(t, s, good, time.Minute)
	})
	g.asked = 0
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("odd", nil)
		defer s.Close()
		s.Ask(cidsOf(odd)...)
		time.Sleep(time.Hour)
		synctest.Wait()
		// The first few of each, and then one at a time, ten minutes apart.
		if asked := g.count().asked; asked > 60 {
			t.Errorf("it was asked %d times for nothing", asked)
		}
		n.x.mu.Lock()
		ails := n.x.health["https://some"].ails
		n.x.mu.Unlock()
		if !ails {
			t.Error("it does not ail")
		}
		for range 3 {
			other := n.x.NewSession("good", nil)
			if took := get(t, other, good, time.Minute); took > alone*3/2 {
				t.Errorf("another took %v, alone %v", took, alone)
			}
			other.Close()
			time.Sleep(time.Minute)
		}
	})
}

// A gateway that was down is used again once it is there, by who waits for it.
func TestGatewayComesBack(t *testing.T) {
	all := someBlocks(300, 100)
	g := newFakeGateway("down", all...)
	down := true
	g.answer = func(cid.Cid) error {
		if down {
			return errors.New("it answers 500")
		}
		return nil
	}
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		began := time.Now()
		time.AfterFunc(30*time.Second, func() { g.mu.Lock(); down = false; g.mu.Unlock() })
		get(t, s, all, 3*time.Minute)
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// One that says that it is asked for too much is asked little, as long as it says.
func TestGatewayThatIsAskedTooMuch(t *testing.T) {
	all := someBlocks(300, 100)
	g := newFakeGateway("limited", all...)
	var since time.Time
	g.answer = func(cid.Cid) error {
		if time.Since(since) < time.Minute {
			return &BusyError{For: time.Minute, Err: errors.New("too many")}
		}
		return nil
	}
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		since = time.Now().Add(time.Second) // a search takes as long
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(cidsOf(all[:100])...)
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if asked := g.count().asked; asked > gatewayStart+busyAfter {
			t.Errorf("it was asked %d times while it wanted not to be", asked)
		}
		time.Sleep(80 * time.Second)
		synctest.Wait()
		if as := s.Take(); len(as) != 100 {
			t.Errorf("%d came", len(as))
		}
	})
}

// Who has very many slow blocks holds up others for no longer than one of their requests
// is waited for.
func TestSlowBlocksHoldUpNobody(t *testing.T) {
	slow, good := someBlocks(300, 101), someBlocks(1000, 100)
	g := newFakeGateway("slow for some", good...)
	g.wait = func(ctx context.Context, c cid.Cid) {
		if slices.ContainsFunc(slow, func(b blocks.Block) bool { return b.Cid() == c }) {
			<-ctx.Done()
		}
	}
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		for i := range 3 {
			s := n.x.NewSession(fmt.Sprint("slow", i), nil)
			defer s.Close()
			s.Ask(cidsOf(slow[i*100 : i*100+100])...)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		other := n.x.NewSession("good", nil)
		defer other.Close()
		if took := get(t, other, good, time.Minute); took > 10*time.Second {
			t.Errorf("another took %v", took)
		}
	})
}
