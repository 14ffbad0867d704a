package exchange

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// An origin is asked for blocks at once, and nobody else is bothered.
func TestOriginIsAskedFirst(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(2000, 100)
		origin, other := n.peer("origin", all...).connect(), n.peer("other", all...).connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		get(t, s, all, time.Minute)
		if st := s.Stats(); st.Again != 0 || st.Sources != 1 || st.Gap > 100*time.Millisecond {
			t.Errorf("stats %+v", st)
		}
		if k := other.counted(func(entry) bool { return true }); k != 0 {
			t.Errorf("the other was told %d things", k)
		}
		if k := origin.counted(forBlock); k != 2000 {
			t.Errorf("the origin was asked %d times", k)
		}
		if origin.open() != 0 {
			t.Errorf("%d wants are left with the origin", origin.open())
		}
	})
}

// Who has it is found among those who are connected, and the rest is asked of them.
func TestBroadcast(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(500, 100)
		var others []*fakePeer
		for i := range 20 {
			others = append(others, n.peer(fmt.Sprint("other", i)).connect())
		}
		has := n.peer("has", all...).connect()
		old := n.peer("old")
		old.old = true
		old.connect()
		s := n.x.NewSession("", nil)
		defer s.Close()
		get(t, s, all[:1], time.Minute)
		get(t, s, all[1:], time.Minute)
		synctest.Wait()
		for _, p := range others {
			if p.counted(ifHave) != 1 || p.counted(forBlock) != 0 || p.open() != 0 {
				t.Errorf("another was told %v, and keeps %d", p.told, p.open())
			}
		}
		if has.counted(forBlock) != 500 {
			t.Errorf("who has it was asked for %d", has.counted(forBlock))
		}
		if old.counted(forBlock) != 1 || old.open() != 0 {
			t.Errorf("the old peer was told %v, and keeps %d", old.told, old.open())
		}
	})
}

// An answer that is lost is missed within a second and asked for again, without
// taking the want back first; nothing else waits for it.
func TestLostAnswers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(3000, 100)
		p := n.peer("origin", all...)
		p.lose, p.every = 1, 5
		p.connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		took := get(t, s, all, time.Minute)
		st := s.Stats()
		if st.Again != 600 || st.Gap > 1300*time.Millisecond || took > 8*time.Second {
			t.Errorf("stats %+v after %v", st, took)
		}
		if n.x.Stats().Again != st.Again {
			t.Errorf("stats of all: %+v", n.x.Stats())
		}
		if k := p.counted(isCancel); k != 0 {
			t.Errorf("%d cancels", k)
		}
	})
}

// The same several times over: no gap is longer than two seconds.
func TestAnswersThatAreLostAgain(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(10, 100)
		p := n.peer("origin", all...).connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		get(t, s, all[:1], time.Minute)
		p.lose = 2
		get(t, s, all[1:2], time.Minute)
		if st := s.Stats(); st.Gap > 2500*time.Millisecond || st.Again != 2 {
			t.Errorf("stats %+v", st)
		}
	})
}

// A slow peer is not asked over and over.
func TestSlowPeer(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(300, 100)
		p := n.peer("origin", all...)
		p.delay = 3 * time.Second
		p.connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		get(t, s, all, time.Hour)
		// Those of the first window are, until it is known how slow it is.
		if st := s.Stats(); st.Again > 3*windowStart {
			t.Errorf("%d blocks of 300 were asked for again", st.Again)
		}
		if twice := n.x.Stats().Twice; twice > 3*windowStart {
			t.Errorf("%d blocks came twice", twice)
		}
	})
}

// What one source does not answer is asked of another.
func TestMuteSource(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(1000, 100)
		mute, good := n.peer("mute", all...), n.peer("good", all...)
		mute.mute = true
		mute.connect()
		good.connect()
		s := n.x.NewSession("", []peer.ID{"mute", "good"})
		defer s.Close()
		took := get(t, s, all, time.Minute)
		if took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		synctest.Wait()
		if mute.open() != 0 {
			t.Errorf("%d wants are left with the mute peer", mute.open())
		}
		if st := s.Stats(); st.Sources != 1 || st.Gap > 2*time.Second {
			t.Errorf("stats %+v", st)
		}
	})
}

// If the only source falls silent others are asked, and looked for.
func TestOnlySourceFallsSilent(t *testing.T) {
	all := someBlocks(100, 100)
	f := &fakeFinder{give: []peer.ID{"found"}}
	bubble(t, Config{Finder: f}, func(t *testing.T, n *fakeNet) {
		p := n.peer("origin", all...).connect()
		n.peer("found", all...)
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		get(t, s, all[:50], time.Minute)
		p.mu.Lock()
		p.mute = true
		p.mu.Unlock()
		if took := get(t, s, all[50:], time.Minute); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Sources that have a part each.
func TestParts(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(900, 100)
		var ids []peer.ID
		for i := range 3 {
			var mine []blocks.Block
			for j, b := range all {
				if j%3 == i || j == 0 {
					mine = append(mine, b)
				}
			}
			p := n.peer(fmt.Sprint(i), mine...).connect()
			ids = append(ids, p.id)
		}
		s := n.x.NewSession("", ids)
		defer s.Close()
		if took := get(t, s, all, time.Minute); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if st := s.Stats(); st.Again != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

// What a source lacks does not hold up what it has, and comes from whoever appears.
func TestSourceThatLacksSome(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(1000, 100)
		n.peer("most", all[200:]...).connect()
		s := n.x.NewSession("", []peer.ID{"most"})
		defer s.Close()
		s.Ask(cidsOf(all[:200])...)
		get(t, s, all[200:], time.Minute)
		if st := s.Stats(); st.Open != 200 {
			t.Errorf("stats %+v", st)
		}
		n.peer("rest", all[:200]...).connect()
		came := 0
		for came < 200 {
			select {
			case <-s.Ready():
				came += len(s.Take())
			case <-time.After(time.Minute):
				t.Fatalf("%d of 200 came", came)
			}
		}
	})
}

// A peer that gets it later says so.
func TestConnectedPeerGetsItLater(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(1, 100)
		origin, other := n.peer("origin").connect(), n.peer("other").connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		s.Ask(all[0].Cid())
		time.Sleep(10 * time.Second)
		for _, p := range []*fakePeer{origin, other} {
			if p.open() != 1 {
				t.Errorf("%s keeps %d wants", p.id, p.open())
			}
		}
		other.add(all...)
		select {
		case <-s.Ready():
		case <-time.After(time.Second):
			t.Fatal("it did not come")
		}
		for len(s.Take()) == 0 {
			<-s.Ready()
		}
		synctest.Wait()
		if origin.open() != 0 {
			t.Error("the origin keeps a want that is answered")
		}
	})
}

// A connection that breaks costs what was on its way, and no more.
func TestDisconnect(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(5000, 100)
		one, two := n.peer("one", all...).connect(), n.peer("two", all...).connect()
		s := n.x.NewSession("", []peer.ID{"one", "two"})
		defer s.Close()
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for p := one; ; p = other(p, one, two) {
				p.disconnect()
				select {
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
					return
				}
				p.connect()
			}
		})
		if took := get(t, s, all, time.Minute); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		stop()
		wg.Wait()
		if st := s.Stats(); st.Gap > time.Second {
			t.Errorf("stats %+v", st)
		}
	})
}

func other(p, a, b *fakePeer) *fakePeer {
	if p == a {
		return b
	}
	return a
}

// Two walks want the same: it is asked for once and given to both.
func TestSharedWants(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(10, 100)
		p := n.peer("origin").connect()
		a, b := n.x.NewSession("", []peer.ID{"origin"}), n.x.NewSession("", []peer.ID{"origin"})
		c := n.x.NewSession("", nil)
		for _, s := range []*Session{a, b, c} {
			s.Ask(cidsOf(all)...)
		}
		time.Sleep(time.Second)
		a.Close()
		p.add(all...)
		for _, s := range []*Session{b, c} {
			came := 0
			for came < len(all) {
				select {
				case <-s.Ready():
					came += len(s.Take())
				case <-time.After(time.Minute):
					t.Fatalf("%d came", came)
				}
			}
		}
		if k := p.counted(forBlock); k != len(all) {
			t.Errorf("asked for %d blocks", k)
		}
		a.Close()
		b.Close()
		c.Close()
	})
}

// Who gives up tells those who were asked.
func TestCloseTakesWantsBack(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(40, 100)
		p, q := n.peer("origin").connect(), n.peer("other").connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		s.Ask(cidsOf(all)...)
		time.Sleep(2 * time.Second)
		s.Forget(all[0].Cid(), all[0].Cid())
		synctest.Wait()
		if p.open() != 39 || q.open() == 0 {
			t.Errorf("%d and %d wants are kept", p.open(), q.open())
		}
		s.Close()
		s.Close()
		s.Ask(all[0].Cid())
		synctest.Wait()
		if p.open() != 0 || q.open() != 0 {
			t.Errorf("%d and %d wants are kept", p.open(), q.open())
		}
	})
}

// A want that is taken back and asked for anew before the message went is asked for.
func TestCancelThatIsTakenBack(t *testing.T) {
	l := &line{}
	c := someBlocks(1, 10)[0].Cid()
	m := l.message([]entry{{cid: c}, {cid: c, cancel: true}, {cid: c}}, true)
	if w := m.Wantlist(); len(w) != 1 || w[0].Cancel {
		t.Errorf("the message has %+v", w)
	}
	m = l.message([]entry{{cid: c}, {cid: c, cancel: true}}, true)
	if w := m.Wantlist(); len(w) != 1 || !w[0].Cancel {
		t.Errorf("the message has %+v", w)
	}
}

// The window opens while it pays, up to what a peer keeps and what memory takes, and
// sessions share it.
func TestWindow(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(6000, 100)
		p := n.peer("origin", all...)
		p.delay = 20 * time.Millisecond
		p.connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		if room := s.Room(); room != windowStart {
			t.Errorf("room for %d at first", room)
		}
		get(t, s, all[:5000], time.Minute)
		if room := s.Room(); room != windowMost {
			t.Errorf("room for %d later", room)
		}
		s.Ask(cidsOf(all[5000:5010])...)
		o := n.x.NewSession("", []peer.ID{"origin"})
		if room := o.Room(); room != windowMost/2 {
			t.Errorf("room for %d beside another", room)
		}
		s.Close()
		o.Close()
	})
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(300, 1<<20)
		n.peer("origin", all...).connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		get(t, s, all, time.Minute)
		if room := s.Room(); room != bytesInFlight>>20 {
			t.Errorf("room for %d blocks of 1 MiB", room)
		}
	})
}

// Blocks that nobody asked for are nothing, and neither are they from strangers.
func TestUnwantedBlocks(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(2, 100)
		p := n.peer("liar", all...).connect()
		s := n.x.NewSession("", []peer.ID{"liar"})
		defer s.Close()
		x := n.x.receive(p.id, false, all, nil, cidsOf(all))
		y := n.x.receive("stranger", false, all, cidsOf(all), nil)
		if len(x)+len(y) != 0 || n.x.Stats().Twice != 4 || len(s.Take()) != 0 {
			t.Errorf("%v, %v, %+v", x, y, n.x.Stats())
		}
	})
}

func cidsOf(bs []blocks.Block) (cs []cid.Cid) {
	for _, b := range bs {
		cs = append(cs, b.Cid())
	}
	return cs
}
