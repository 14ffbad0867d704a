package exchange

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Peers that lie, promise or lack, and what others are to notice of that: nothing.

// Many pins seek blocks that nobody has, more than one peer can be asked for. A new one
// is asked for, and found, all the same.
func TestManySeekers(t *testing.T) {
	const pins, children = 40, 64
	for _, sources := range []int{1, pins} {
		t.Run(fmt.Sprint(sources, " sources"), func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
				roots, missing := someBlocks(pins, 200), someBlocks(pins*children, 300)
				for i := range sources {
					n.peer(fmt.Sprint("partial", i), roots...).connect()
				}
				for i := range pins {
					id := fmt.Sprint("partial", i%sources)
					s := n.x.NewSession(fmt.Sprint(i), []peer.ID{peer.ID(id)})
					defer s.Close()
					get(t, s, roots[i:i+1], time.Minute)
					s.Ask(cidsOf(missing[i*children : (i+1)*children])...)
				}
				time.Sleep(10 * time.Second)
				all := someBlocks(2000, 100)
				n.peer("good", all...).connect()
				for name, origins := range map[string][]peer.ID{"by its origin": {"good"}, "by asking": nil} {
					s := n.x.NewSession(name, origins)
					if took := get(t, s, all[:1000], time.Hour); took > time.Minute {
						t.Errorf("%s: it took %v", name, took)
					}
					s.Close()
					all = all[1000:]
				}
				n.x.mu.Lock()
				defer n.x.mu.Unlock()
				for id, l := range n.x.lines {
					if asks := len(l.asks); asks > questionsMost {
						t.Errorf("%s keeps %d wants", id, asks)
					}
				}
			})
		})
	}
}

// A question that was taken back is put again when its turn comes.
func TestQuestionsTakeTurns(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		const pins = 20
		all := someBlocks(pins*soughtMost, 100)
		p := n.peer("late").connect()
		for i := range pins {
			s := n.x.NewSession(fmt.Sprint(i), nil)
			defer s.Close()
			s.Ask(cidsOf(all[i*soughtMost : (i+1)*soughtMost])...)
		}
		for range 60 {
			time.Sleep(retryAfter)
		}
		asked := map[cid.Cid]bool{}
		p.counted(func(e entry) bool {
			asked[e.cid] = asked[e.cid] || ifHave(e)
			return false
		})
		if len(asked) < len(all)*9/10 {
			t.Errorf("in an hour a peer was asked for %d of %d blocks", len(asked), len(all))
		}
		if p.open() > questionsMost {
			t.Errorf("it keeps %d wants", p.open())
		}
	})
}

// HAVEs for what is not asked of a peer, over and over, take no memory.
func TestManyHaves(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		root, missing := someBlocks(1, 200), someBlocks(100, 300)
		n.peer("partial", root...).connect()
		liar := n.peer("liar")
		liar.mute = true
		liar.connect()
		s := n.x.NewSession("", []peer.ID{"partial"})
		defer s.Close()
		get(t, s, root, time.Minute)
		s.Ask(cidsOf(missing)...)
		time.Sleep(time.Second)
		n.x.mu.Lock()
		c := []cid.Cid{s.parked.front().cid}
		n.x.mu.Unlock()
		for range 10_000 {
			n.x.receive(liar.id, false, nil, c, nil)
			n.x.receive(liar.id, false, nil, nil, c)
		}
		n.x.mu.Lock()
		defer n.x.mu.Unlock()
		for name, q := range map[string]*queue{"queue": &s.queue, "parked": &s.parked} {
			if q.order.Len() != q.len() || q.len() > len(missing) {
				t.Errorf("%s has %d places for %d wants of %d", name, q.order.Len(), q.len(), len(missing))
			}
		}
	})
}

// The same block under very many codecs is one.
func TestHavesUnderManyCodecs(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		b := someBlocks(1, 100)[0]
		p := n.peer("liar")
		p.mute = true
		p.connect()
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(b.Cid())
		m := message.New(false)
		for i := range 1000 {
			m.AddHave(cid.NewCidV1(uint64(0x300000+i), b.Cid().Hash()))
		}
		n.x.ReceiveMessage(t.Context(), p.id, m)
		if got := p.counted(forBlock); got > 1 {
			t.Errorf("it is asked for %d times", got)
		}
		n.x.mu.Lock()
		defer n.x.mu.Unlock()
		if s.queue.order.Len() > 1 {
			t.Errorf("%d places in the queue", s.queue.order.Len())
		}
	})
}

// A block that is sent under another codec than it was asked for is given as it was.
func TestBlockUnderAnotherCodec(t *testing.T) {
	var got []blocks.Block
	received := func(_ peer.ID, bs []blocks.Block) { got = append(got, bs...) }
	bubble(t, Config{Received: received}, func(t *testing.T, n *fakeNet) {
		b := someBlocks(1, 100)[0]
		other, err := blocks.NewBlockWithCid(b.RawData(), cid.NewCidV1(cid.DagCBOR, b.Cid().Hash()))
		if err != nil {
			t.Fatal(err)
		}
		p := n.peer("peer").connect()
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(b.Cid())
		m := message.New(false)
		m.AddBlock(other)
		n.x.ReceiveMessage(t.Context(), p.id, m)
		as := s.Take()
		if len(as) != 1 || as[0].Block.Cid() != b.Cid() || len(got) != 1 || got[0].Cid() != b.Cid() {
			t.Errorf("got %v, told of %v; want %s", as, got, b.Cid())
		}
	})
}

// A source that got slower and slower, and then answers nothing, holds up nothing that
// another has.
func TestGrownPatience(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		own, all := someBlocks(600, 50), someBlocks(2000, 100)
		bad, good := n.peer("bad", append(own, all...)...), n.peer("good", all...)
		bad.connect()
		good.connect()
		first := n.x.NewSession("own", []peer.ID{"bad"})
		for some := range batches(own, 60) { // it answers just before it would be asked again
			n.x.mu.Lock()
			delay := n.x.lines["bad"].window.patience() * 9 / 10
			n.x.mu.Unlock()
			bad.mu.Lock()
			bad.delay = delay
			bad.mu.Unlock()
			get(t, first, some, 24*time.Hour)
		}
		first.Close()
		bad.mu.Lock()
		bad.mute = true
		bad.mu.Unlock()
		s := n.x.NewSession("", []peer.ID{"bad", "good"})
		defer s.Close()
		if took := get(t, s, all, time.Hour); took > 2*lostAfter {
			t.Errorf("it took %v", took)
		}
	})
}

func batches(bs []blocks.Block, n int) func(func([]blocks.Block) bool) {
	return func(yield func([]blocks.Block) bool) {
		for i := 0; i < len(bs); i += n {
			if !yield(bs[i:min(i+n, len(bs))]) {
				return
			}
		}
	}
}

// Peers that say to have a block and do not send it take nothing of the window of one
// that does.
func TestPromises(t *testing.T) {
	took := func(liars int) (took time.Duration) {
		bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
			dead := someBlocks(1, 50)
			for i := range liars {
				p := n.peer(fmt.Sprint("liar", i), dead...)
				p.lose = 1 << 30
				p.connect()
			}
			s := n.x.NewSession("dead", nil)
			defer s.Close()
			s.Ask(dead[0].Cid())
			time.Sleep(2 * time.Minute)
			n.mu.Lock()
			if len(n.protected) > 0 {
				t.Errorf("%d peers that sent nothing are kept", len(n.protected))
			}
			n.mu.Unlock()
			if got := s.Providers(); len(got) > 0 {
				t.Errorf("%d peers that sent nothing are providers", len(got))
			}
			all := someBlocks(400, 256<<10)
			good := n.peer("good", all...)
			good.delay = 50 * time.Millisecond
			good.connect()
			g := n.x.NewSession("good", []peer.ID{"good"})
			defer g.Close()
			took = get(t, g, all, time.Hour)
		})
		return took
	}
	if alone, among := took(0), took(150); among > 2*alone {
		t.Errorf("it takes %v among those who promise, %v else", among, alone)
	}
}

// Small blocks make a window wide, by which more large ones come than there is room
// for. What is too much comes later.
func TestBlocksGrow(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		small, large := someBlocks(4000, 100), someBlocks(800, 256<<10)
		origin := n.peer("origin", append(small, large...)...)
		origin.delay = 30 * time.Millisecond
		origin.connect()
		s := n.x.NewSession("", []peer.ID{"origin"})
		defer s.Close()
		get(t, s, small, time.Minute)
		ask := min(s.Room(), len(large))
		s.Ask(cidsOf(large[:ask])...)
		missing := map[cid.Cid]bool{}
		for _, c := range cidsOf(large[:ask]) {
			missing[c] = true
		}
		for len(missing) > 0 {
			time.Sleep(10 * time.Second) // for the disk
			as, sum := s.Take(), 0
			for _, a := range as {
				sum += len(a.Block.RawData())
				delete(missing, a.Block.Cid())
			}
			if sum > bytesInFlight {
				t.Errorf("%d MiB waited", sum>>20)
			}
			if len(as) == 0 {
				t.Fatalf("%d blocks do not come", len(missing))
			}
		}
	})
}

// holding is a gateway that holds requests, and counts them for all of its kind.
type holding struct {
	name string
	all  *held
}

type held struct {
	mu        sync.Mutex
	now, most int
}

func (h holding) String() string { return "https://gateway.example/" + h.name }

func (h holding) Block(ctx context.Context, _ cid.Cid) ([]byte, error) {
	add := func(n int) {
		h.all.mu.Lock()
		defer h.all.mu.Unlock()
		h.all.now += n
		h.all.most = max(h.all.most, h.all.now)
	}
	add(1)
	defer add(-1)
	select {
	case <-time.After(40 * time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("no block")
}

// Records of providers may name any number of gateways, which may hold what they are
// asked. Requests are bounded for all of them together, and a peer delivers beside.
func TestManyGateways(t *testing.T) {
	const providers, addrs = 10, 32
	all := new(held)
	f := &fakeFinder{}
	by := map[peer.ID][]Gateway{}
	for i := range providers {
		id := peer.ID(fmt.Sprint("gateways", i))
		f.give = append(f.give, id)
		for j := range addrs {
			by[id] = append(by[id], holding{fmt.Sprint(i, "/", j), all})
		}
	}
	bs := someBlocks(2000, 100)
	bubble(t, Config{Finder: f, Gateways: func(ai peer.AddrInfo) []Gateway { return by[ai.ID] }}, func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		time.AfterFunc(10*time.Second, func() {
			n.x.mu.Lock()
			lines := len(n.x.lines)
			n.x.mu.Unlock()
			if lines > gatewaysMost {
				t.Errorf("%d gateways are asked", lines)
			}
			n.peer("good", bs...).connect()
		})
		if took := get(t, s, bs, time.Hour); took > 20*time.Second {
			t.Errorf("it took %v", took)
		}
		all.mu.Lock()
		defer all.mu.Unlock()
		if all.most > requestsMost {
			t.Errorf("%d requests at the same time", all.most)
		}
	})
}

// Providers that are gone do not keep those that are there from being tried.
func TestGoneProviders(t *testing.T) {
	f := &fakeFinder{}
	for i := range 2 * searchProviders {
		f.give = append(f.give, peer.ID(fmt.Sprint("gone", i)))
	}
	f.give = append(f.give, "has")
	bubble(t, Config{Finder: f}, func(t *testing.T, n *fakeNet) {
		b := someBlocks(1, 100)
		n.peer("has", b...)
		s := n.x.NewSession("dag", nil)
		defer s.Close()
		get(t, s, b, 10*time.Second)
	})
}

// However many seek what nobody has, whoever is named as having a block is asked for it
// once connected: as an origin, or as a provider that was found.
func TestNamedPeersAreAskedFirst(t *testing.T) {
	const dead, live = 500, 50
	for _, how := range []string{"origin", "found", "found connected"} {
		t.Run(how, func(t *testing.T) {
			all := someBlocks(dead+live, 100)
			f := &fakeFinder{give: []peer.ID{"has"}, only: map[cid.Cid]bool{}}
			if how != "origin" {
				for _, b := range all[dead:] {
					f.only[b.Cid()] = true
				}
			}
			bubble(t, Config{Finder: f}, func(t *testing.T, n *fakeNet) {
				has := n.peer("has", all[dead:]...)
				if how == "found connected" {
					has.connect()
				}
				n.peer("other").connect()
				for i, b := range all[:dead] {
					s := n.x.NewSession(fmt.Sprint("dead", i), nil)
					defer s.Close()
					s.Ask(b.Cid())
				}
				var sessions []*Session
				for i, b := range all[dead:] {
					var origins []peer.ID
					if how == "origin" {
						origins = []peer.ID{"has"}
					}
					s := n.x.NewSession(fmt.Sprint("live", i), origins)
					defer s.Close()
					s.Ask(b.Cid())
					sessions = append(sessions, s)
				}
				if how == "origin" {
					time.Sleep(700 * time.Millisecond)
					has.connect()
				}
				time.Sleep(searchAfter + 200*time.Millisecond)
				for i, s := range sessions {
					if n := len(s.Take()); n != 1 {
						t.Errorf("live pin %d has %d blocks", i, n)
					}
				}
			})
		})
	}
}

// A source that has no room, as it answers nothing, holds up only what no other may
// have; and for that others are asked too.
func TestFullSourceHoldsUpNothingElse(t *testing.T) {
	const others, dead, wanted = 100, 400, 50
	for _, how := range []string{"it says to have a block", "it sends another"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
				all := someBlocks(wanted+others+dead, 100)
				lacked, have := all[:1], all[1:wanted]
				n.peer("good", have...).connect()
				liar := n.peer("liar")
				liar.mute = true
				liar.connect()
				for i, b := range all[wanted:] {
					var origins []peer.ID
					if i < others {
						origins = []peer.ID{"liar"}
					}
					s := n.x.NewSession(fmt.Sprint(i), origins)
					defer s.Close()
					s.Ask(b.Cid())
				}
				time.Sleep(3 * time.Second)
				s := n.x.NewSession("s", []peer.ID{"good"})
				defer s.Close()
				s.Ask(have[0].Cid(), lacked[0].Cid())
				time.Sleep(100 * time.Millisecond)
				s.Ask(have[1].Cid())
				if how == "it sends another" {
					n.x.receive(liar.id, false, have[1:2], nil, nil)
				} else {
					n.x.receive(liar.id, false, nil, cidsOf(lacked), nil)
				}
				s.Ask(cidsOf(have[2:])...)
				time.Sleep(time.Second)
				if came := len(s.Take()); came != len(have) {
					t.Errorf("%d of %d blocks came", came, len(have))
				}
				n.peer("late", lacked...).connect()
				time.Sleep(heldUpAfter + questionAge + time.Second)
				if came := len(s.Take()); came != 1 {
					t.Errorf("what the full source may have did not come from another")
				}
			})
		})
	}
}
