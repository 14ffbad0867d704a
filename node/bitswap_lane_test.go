package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// slowStream is a stream whose window is full after some bytes, until the peer makes room a round
// trip later. All streams of a link share its rate.
type slowStream struct {
	network.Stream
	link    *far
	trip    time.Duration
	window  int
	written int
}

func (s *slowStream) Write(b []byte) (int, error) {
	if s.written < s.window && s.written+len(b) > s.window {
		time.Sleep(s.trip)
	}
	s.written += len(b)
	s.link.pass(len(b), func(int) {})
	return len(b), nil
}

// sendBySide writes messages of some size at the same time, and gives when each had gone out.
func sendBySide(t *testing.T, l *lane, stall, trip time.Duration, rate, n, size, window int) (ends []time.Duration) {
	t.Helper()
	link := &far{rate: rate}
	began := time.Now()
	ends = make([]time.Duration, n)
	var all sync.WaitGroup
	for i := range n {
		s := network.Stream(&slowStream{link: link, trip: trip, window: window})
		if l != nil {
			p := l.enter(stall)
			defer p.leave()
			s = &orderedStream{s, t.Context(), p}
			all.Go(func() { writeAll(t, s, size); p.leave(); ends[i] = time.Since(began) })
			continue
		}
		all.Go(func() { writeAll(t, s, size); ends[i] = time.Since(began) })
	}
	all.Wait()
	return ends
}

func writeAll(t *testing.T, s network.Stream, size int) {
	w := &watchedStream{Stream: &connStream{s}, writes: newWrites()}
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Error(err)
	}
}

// connStream has a connection that is none.
type connStream struct{ network.Stream }

func (s *connStream) Conn() network.Conn { return nil }

// The messages to a far peer end one after the other, and not all in the end.
func TestLaneKeepsOrder(t *testing.T) {
	const n, size, rate, trip = 32, 256 << 10, 25 << 20, 200 * time.Millisecond
	takes := time.Duration(n) * size * time.Second / rate
	synctest.Test(t, func(t *testing.T) {
		sideBySide := sendBySide(t, nil, 0, trip, rate, n, size, size)
		if sideBySide[0] < takes*3/4 {
			t.Fatalf("without a lane the first of %d ended after %v of %v: this test shows nothing", n, sideBySide[0], takes)
		}
		ends := sendBySide(t, new(lane), 10*time.Millisecond, trip, rate, n, size, size)
		if !slices.IsSorted(ends) && !sortedWithin(ends, laneWidth) {
			t.Errorf("they ended in another order: %v", ends)
		}
		for i, end := range ends {
			if want := takes * time.Duration(i+1+laneWidth) / n; end > want {
				t.Errorf("message %d ended after %v, want %v", i, end, want)
			}
		}
	})
}

// sortedWithin reports whether all are in order but for neighbours that are less than width apart.
func sortedWithin(ends []time.Duration, width int) bool {
	for i := range ends {
		for j := i + width; j < len(ends); j++ {
			if ends[j] < ends[i] {
				return false
			}
		}
	}
	return true
}

// A message whose stream is full lets those behind it pass: all take the time of one round trip more,
// and not of one each.
func TestLanePassesFullStreams(t *testing.T) {
	const n, size, rate, trip = 16, 1 << 20, 100 << 20, 200 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		ends := sendBySide(t, new(lane), trip/stallShare, trip, rate, n, size, 256<<10)
		limit := time.Duration(n)*size*time.Second/rate + trip + time.Duration(n)*trip/stallShare
		if last := slices.Max(ends); last > limit {
			t.Errorf("the last ended after %v, want %v", last, limit)
		}
	})
}

// A message that is given up while it waits leaves its lane, and what is left goes on.
func TestLaneIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(lane)
		var head []*place
		for range laneWidth {
			p := l.enter(time.Hour)
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			head = append(head, p)
		}
		ctx, cancel := context.WithCancel(t.Context())
		given, next := l.enter(time.Hour), l.enter(time.Hour)
		errs, went := make(chan error, 1), make(chan error, 1)
		go func() { errs <- given.wait(ctx); given.leave() }()
		go func() { went <- next.wait(t.Context()) }()
		synctest.Wait()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait()
		select {
		case <-went:
			t.Fatal("the next passed those before it")
		default:
		}
		head[0].wrote()
		head[0].leave()
		if err := <-went; err != nil {
			t.Error(err)
		}
		next.wrote()
		next.leave()
		head[1].wrote()
		head[1].leave()
		if len(l.places) > 0 {
			t.Errorf("%d places are kept", len(l.places))
		}
	})
}

// Only long paths have a lane, and the patience in it follows the path.
func TestLaneOfAPath(t *testing.T) {
	r := newRoom(Limits{OutstandingBytes: 4 << 20, Memory: 1 << 30, SendWorkers: 8})
	for _, c := range []struct {
		trip  time.Duration
		rate  float64
		lane  bool
		stall time.Duration
	}{
		{0, 0, false, 0},
		{laneTrip - 1, 1 << 20, false, 0},
		{200 * time.Millisecond, 0, true, 5 * time.Millisecond},
		{200 * time.Millisecond, 1 << 30, true, 5 * time.Millisecond},
		{200 * time.Millisecond, 16 << 20, true, 15625 * time.Microsecond},
		{200 * time.Millisecond, 1000, true, 50 * time.Millisecond},
	} {
		l, stall := r.lane(&turn{path: &path{trip: c.trip, rate: c.rate}})
		if (l != nil) != c.lane || stall != c.stall {
			t.Errorf("%v at %.0f B/s: a lane: %v, %v", c.trip, c.rate, l != nil, stall)
		}
	}
}
