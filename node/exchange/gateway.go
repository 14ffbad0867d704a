package exchange

import (
	"context"
	"errors"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Gateway is a provider that is asked by HTTP.
type Gateway interface {
	// String says which it is, such as its base URL.
	String() string
	// Block fetches a block, whose hash the caller need not check. Errors:
	// ErrAbsent; [*BusyError]; the context's; any other is that the gateway is of
	// no use.
	Block(ctx context.Context, c cid.Cid) ([]byte, error)
}

// ErrAbsent: the gateway does not have the block.
var ErrAbsent = errors.New("the gateway does not have the block")

// BusyError is a gateway that wants to be left alone for a while.
type BusyError struct {
	For time.Duration // zero is that it did not say
	Err error
}

func (e *BusyError) Error() string { return e.Err.Error() }
func (e *BusyError) Unwrap() error { return e.Err }

const (
	// A gateway is asked for so many blocks at a time at first, and for so many at
	// most: each is a request of its own.
	gatewayStart, gatewayMost = 8, requestsMost
	// So many requests are under way to all gateways. What is read of an answer waits
	// in memory, unchecked, and may be as large as a block.
	requestsMost = bytesInFlight / (2 << 20)
	// A session asks so many gateways: records of providers may name any number.
	gatewaysMost = 8
	// One that does not say how long it is busy is left alone for so long, and one
	// that is of no use for longer.
	gatewayPause   = 5 * time.Second
	gatewayUseless = 10 * time.Minute
	// So many useless ones are remembered.
	uselessMost = 1024
)

// Found makes gateways that are said to have a block sources of the sessions that want
// it.
func (x *Exchange) Found(c cid.Cid, gs []Gateway) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w := x.wants[string(c.Hash())]
	if w == nil {
		return
	}
	for _, g := range gs {
		id := peer.ID(g.String()) // which no peer has
		if x.closed || time.Now().Before(x.useless[id]) {
			continue
		}
		l := x.lines[id]
		if l == nil {
			l = newLine(x, id)
			l.window = window{size: gatewayStart, most: gatewayMost}
			l.gateway, l.fetches = g, make(map[string]context.CancelFunc)
			x.lines[id] = l
		}
		for _, s := range w.sessions {
			if s.gateways < gatewaysMost {
				s.addSource(l, isNamed)
			}
		}
		if len(l.sources) == 0 {
			delete(x.lines, id)
			continue
		}
		w.requeue()
	}
	for _, s := range w.sessions {
		s.assign()
	}
}

// request does for a gateway what an entry of a message says.
func (l *line) request(e entry) {
	key := string(e.cid.Hash())
	cancel, under := l.fetches[key]
	switch {
	case e.cancel && under:
		cancel()
	case !e.cancel && !e.have && !under:
		ctx, cancel := context.WithCancel(l.x.ctx)
		l.fetches[key] = cancel
		l.x.requests++
		l.x.wg.Go(func() {
			defer cancel()
			lost := l.x.awake.Lost()
			data, err := l.gateway.Block(ctx, e.cid)
			if err != nil && l.x.awake.Lost() > lost { // it is not to blame for what it was too late for
				data, err = l.gateway.Block(ctx, e.cid)
			}
			l.fetched(e.cid, data, err)
		})
	}
}

// fetched takes in what a gateway answered.
func (l *line) fetched(c cid.Cid, data []byte, err error) {
	x := l.x
	x.mu.Lock()
	delete(l.fetches, string(c.Hash()))
	if x.requests--; x.requests == requestsMost-1 {
		for s := range x.sessions {
			if s.gateways > 0 {
				s.assign()
				s.tell()
			}
		}
	}
	x.mu.Unlock()
	var busy *BusyError
	switch {
	case err == nil:
		b, err := blocks.NewBlockWithCid(data, c)
		if err == nil {
			x.receive(l.id, []blocks.Block{b}, nil, nil)
		}
	case errors.Is(err, ErrAbsent):
		x.receive(l.id, nil, nil, []cid.Cid{c})
	case errors.Is(err, context.Canceled):
	case errors.As(err, &busy):
		x.log.Debug("a gateway is busy", "gateway", l.id, "err", err)
		x.pause(l, max(busy.For, gatewayPause))
	default:
		x.log.Info("a gateway is of no use", "gateway", string(l.id), "err", err)
		x.mu.Lock()
		if len(x.useless) >= uselessMost {
			clear(x.useless)
		}
		x.useless[l.id] = time.Now().Add(gatewayUseless)
		x.mu.Unlock()
		x.PeerDisconnected(l.id)
	}
}

// resume asks a gateway again that was busy.
func (l *line) resume() {
	l.paused = time.Time{}
	for s := range l.sources {
		for _, w := range s.wants {
			if !w.isAsked() {
				s.parked.remove(w)
				s.queue.put(w)
			}
		}
		s.assign()
	}
}

// pause asks a gateway nothing for a while, and others for what it was asked.
func (x *Exchange) pause(l *line, d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l.paused = time.Now().Add(d)
	x.takeBack(l)
}
