package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

const (
	// laneTrip is the round trip from which on the messages to a peer leave in their order. On shorter
	// paths the peer's next wants come before the path is empty.
	laneTrip = 20 * time.Millisecond
	// laneWidth is how many messages are written at once: one more than fills the path, so that the
	// next is there at once.
	laneWidth = 2
	// A message lets those behind it pass if its piece has not gone out after 1/stallShare of a round
	// trip, or after stallPieces times as long as a piece takes at the rate of the path, but at
	// the latest after 1/stallLatest of a round trip. Its stream is full then, as a new one is after 256 KiB
	// (yamux), and the peer's answer, which makes room, takes a round trip.
	stallShare, stallLatest = 40, 4
	stallPieces             = 2 * laneWidth
)

// lane has the messages to one far peer leave in their order. If all of 32 blocks went out side by
// side, they would all end at nearly the same time. The peer would ask for the next ones only then,
// and the path would be empty for a round trip.
type lane struct {
	mu     sync.Mutex
	places []*place      // of messages that are being sent, in their order
	moved  chan struct{} // closed when a place may have come forward; nil if nobody waits
}

// place is that of a message in its lane. The lane's lock guards stalled.
type place struct {
	lane    *lane
	stall   time.Duration
	timer   *time.Timer // nil before the first piece
	stalled bool
}

// enter takes the last place. A piece that takes longer than stall lets others pass. The caller
// calls leave.
func (l *lane) enter(stall time.Duration) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &place{lane: l, stall: stall}
	l.places = append(l.places, p)
	return p
}

func (p *place) leave() {
	p.lane.mu.Lock()
	defer p.lane.mu.Unlock()
	p.lane.places = slices.DeleteFunc(p.lane.places, func(o *place) bool { return o == p })
	p.lane.wake()
}

func (l *lane) wake() {
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
}

// first reports whether fewer than laneWidth messages before p are on their way and not stalled.
func (p *place) first() bool {
	before := 0
	for _, o := range p.lane.places {
		if o == p {
			break
		}
		if !o.stalled {
			before++
		}
	}
	return before < laneWidth
}

// wait waits until a piece of the message may be written. The caller calls wrote after that.
func (p *place) wait(ctx context.Context) error {
	l := p.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	for !p.first() {
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		l.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(p.stall, p.stalls)
	} else {
		p.timer.Reset(p.stall)
	}
	return nil
}

func (p *place) stalls() {
	p.lane.mu.Lock()
	defer p.lane.mu.Unlock()
	p.stalled = true
	p.lane.wake()
}

// wrote notes that a piece went out. The message takes its place again.
func (p *place) wrote() {
	p.timer.Stop()
	p.lane.mu.Lock()
	defer p.lane.mu.Unlock()
	p.stalled = false // if stalls comes just now, it lets one piece of others pass
}

// orderedStream is a stream whose writes wait for their turn in a lane.
type orderedStream struct {
	network.Stream
	ctx   context.Context
	place *place
}

// Write writes one piece.
func (s *orderedStream) Write(b []byte) (int, error) {
	if err := s.place.wait(s.ctx); err != nil {
		return 0, err
	}
	defer s.place.wrote()
	return s.Stream.Write(b)
}
