package exchange

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// fakeGateway answers by HTTP.
type fakeGateway struct {
	name  string
	delay time.Duration

	mu     sync.Mutex
	blocks map[string]blocks.Block
	fails  []error                              // that the next requests get
	answer func(cid.Cid) error                  // that one for a block gets; nil is none
	wait   func(ctx context.Context, c cid.Cid) // before it is answered; nil is no longer than delay
	asked  int
	most   int // at the same time
	now    int
}

func newFakeGateway(name string, have ...blocks.Block) *fakeGateway {
	g := &fakeGateway{name: name, delay: 10 * time.Millisecond, blocks: map[string]blocks.Block{}}
	for _, b := range have {
		g.blocks[string(b.Cid().Hash())] = b
	}
	return g
}

func (g *fakeGateway) String() string { return "https://" + g.name }

func (g *fakeGateway) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	g.mu.Lock()
	g.asked++
	g.now++
	g.most = max(g.most, g.now)
	var err error
	if len(g.fails) > 0 {
		err, g.fails = g.fails[0], g.fails[1:]
	} else if g.answer != nil {
		err = g.answer(c)
	}
	b, ok := g.blocks[string(c.Hash())]
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}()
	if g.wait != nil {
		g.wait(ctx, c)
	}
	select {
	case <-time.After(g.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrAbsent
	}
	return b.RawData(), nil
}

// counts is how often a gateway was asked, is being, and was at the same time.
type counts struct{ asked, now, most int }

func (g *fakeGateway) count() counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	return counts{g.asked, g.now, g.most}
}

// gateways makes a configuration in which providers of everything are gateways.
func gateways(gs ...*fakeGateway) Config {
	f := &fakeFinder{}
	by := map[peer.ID][]Gateway{}
	for _, g := range gs {
		f.give = append(f.give, peer.ID(g.name))
		by[peer.ID(g.name)] = []Gateway{g}
	}
	return Config{Finder: f, Gateways: func(ai peer.AddrInfo) []Gateway { return by[ai.ID] }}
}

// All of a DAG comes from a gateway alone.
func TestGateway(t *testing.T) {
	all := someBlocks(2000, 100)
	g := newFakeGateway("all", all...)
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		n.peer("other").connect()
		s := n.x.NewSession("", nil)
		took := get(t, s, all, time.Minute)
		synctest.Wait()
		if took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if st := s.Stats(); st.Sources != 1 || st.Again != 0 {
			t.Errorf("stats %+v", st)
		}
		if g.count().most > gatewayMost || g.count().asked != 2000 {
			t.Errorf("asked %d times, %d at a time", g.count().asked, g.count().most)
		}
		s.Close()
		if st := n.x.Stats(); st.Peers != 1 {
			t.Errorf("the gateway is kept: %+v", st)
		}
	})
}

// Gateways and peers are used together, and what one lacks comes from the other.
func TestGatewayBesidePeers(t *testing.T) {
	all := someBlocks(1000, 100)
	g := newFakeGateway("most", append(all[:1:1], all[300:]...)...)
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		get(t, s, all[:1], time.Minute)
		n.peer("some", all[:600]...).connect()
		get(t, s, all[1:], time.Minute)
	})
}

// A gateway that is busy is left alone, and then asked again.
func TestBusyGateway(t *testing.T) {
	all := someBlocks(100, 100)
	g := newFakeGateway("busy", all...)
	g.fails = []error{&BusyError{For: 30 * time.Second, Err: errors.New("busy")}}
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(all[0].Cid())
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if g.count().asked != 1 {
			t.Errorf("it was asked %d times", g.count().asked)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if as := s.Take(); len(as) != 1 || g.count().asked != 2 {
			t.Fatalf("%d came, and it was asked %d times", len(as), g.count().asked)
		}
		get(t, s, all[1:], time.Minute)
	})
}

// One that fails for one block after the other is asked for few, and whoever else has
// it for the others.
func TestUselessGateway(t *testing.T) {
	all := someBlocks(100, 100)
	liar, good := newFakeGateway("liar", all...), newFakeGateway("good", all...)
	for range 100 {
		liar.fails = append(liar.fails, errors.New("it lies"))
	}
	bubble(t, gateways(liar, good), func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		get(t, s, all, time.Minute)
		synctest.Wait()
		if liar.count().asked > ailingAfter+gatewayStart {
			t.Errorf("the liar was asked %d times", liar.count().asked)
		}
	})
}

// What is not wanted any more is not waited for.
func TestGatewayRequestsAreTakenBack(t *testing.T) {
	all := someBlocks(5, 100)
	g := newFakeGateway("slow", all...)
	g.delay = time.Hour
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		s.Ask(cidsOf(all)...)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if g.count().now == 0 {
			t.Error("it was not asked")
		}
		if g.count().asked > len(all) {
			t.Errorf("it was asked %d times for %d blocks", g.count().asked, len(all))
		}
		s.Close()
		synctest.Wait()
		if g.count().now != 0 {
			t.Errorf("%d requests are under way", g.count().now)
		}
	})
}

// A gateway that hangs for one block, or sends a few bytes of it now and then, is named, and
// the block, until that comes. One that is a little late is not.
func TestGatewayThatHangsIsNamed(t *testing.T) {
	all := someBlocks(6, 100)
	bad := all[3].Cid()
	g := newFakeGateway("hangs", all...)
	var hangs chan struct{}
	g.wait = func(ctx context.Context, c cid.Cid) {
		if c != bad {
			return
		}
		select {
		case <-hangs:
		case <-ctx.Done():
		}
	}
	bubble(t, gateways(g), func(t *testing.T, n *fakeNet) {
		hangs = make(chan struct{})
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(cidsOf(all)...)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if text := s.Stats().Troubles; text != "" {
			t.Errorf("after a moment it says %q", text)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		text := s.Stats().Troubles
		if want := "block " + bad.String() + ": gateway https://hangs: has not sent all of it in "; !strings.HasPrefix(text, want) {
			t.Errorf("it says %q, want %q and for how long", text, want)
		}
		for _, b := range all {
			if b.Cid() != bad && strings.Contains(text, b.Cid().String()) {
				t.Errorf("it names a block that came: %q", text)
			}
		}
		close(hangs)
		time.Sleep(time.Minute)
		synctest.Wait()
		if text := s.Stats().Troubles; text != "" {
			t.Errorf("when it came it says %q", text)
		}
	})
}
