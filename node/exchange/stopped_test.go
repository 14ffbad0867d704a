package exchange

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// A peer is not held to be silent for the time in which this process did not run.
func TestStoppedProcess(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		all := someBlocks(10, 100)
		p := n.peer("slow", all...)
		p.connect()
		s := n.x.NewSession("", []peer.ID{p.id})
		defer s.Close()
		get(t, s, all[:1], time.Minute)
		p.mute = true
		s.Ask(all[1].Cid())
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		const stopped = time.Hour
		n.x.mu.Lock()
		defer n.x.mu.Unlock()
		n.x.forgive(stopped)
		n.x.look(time.Now().Add(stopped))
		if again := n.x.again.Load(); again != 0 || s.gap > time.Second {
			t.Errorf("%d are asked for again after a stop, and the longest gap is %v", again, s.gap)
		}
		n.x.look(time.Now().Add(stopped + 2*lostAfter))
		if again := n.x.again.Load(); again != 1 {
			t.Errorf("%d are asked for again after a silence, want 1", again)
		}
	})
}

// stoppedGateway has a block, and answers the first request when it is too late, since
// the process was stopped meanwhile.
type stoppedGateway struct {
	block blocks.Block
	stop  func()
	asked int
}

func (g *stoppedGateway) Block(context.Context, cid.Cid) ([]byte, error) {
	if g.asked++; g.asked == 1 {
		g.stop()
		return nil, errors.New("nothing came in time")
	}
	return g.block.RawData(), nil
}

func (g *stoppedGateway) String() string { return "https://stopped.example" }

// A request that took too long since this process did not run is made again, and does
// not speak against the gateway.
func TestStoppedWhileAGatewayIsAsked(t *testing.T) {
	var away atomic.Int64
	cfg := Config{now: func() time.Time { return time.Now().Add(time.Duration(away.Load())) }}
	bubble(t, cfg, func(t *testing.T, n *fakeNet) {
		b := someBlocks(1, 100)[0]
		g := &stoppedGateway{block: b, stop: func() { away.Add(int64(time.Hour)) }}
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(b.Cid())
		n.x.Found(b.Cid(), []Gateway{g})
		get(t, s, []blocks.Block{b}, time.Minute)
		if g.asked != 2 {
			t.Errorf("it was asked %d times", g.asked)
		}
	})
}
