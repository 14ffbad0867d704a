package node

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

const (
	// A connection is closed if its peer takes no piece for so long. A piece of 64 KiB in
	// 15 s is a hundredth of the slowest line on which blocks are fetched.
	writeStall = 15 * time.Second
	// The same while others have to wait for memory or a worker. Else peers that ask for much
	// and take nothing would hold up all others for as long as Bitswap waits, up to two
	// minutes.
	writeStallBusy = 3 * time.Second
	// How often that is checked.
	writeCheck = 500 * time.Millisecond
	writePiece = 64 << 10
)

// writes keeps track of the writes that are under way.
type writes struct {
	crowded func() bool // whether others have to wait; nil is never

	mu     sync.Mutex
	open   map[*sending]struct{}
	ending bool // the server is closed, which waits for all of them
}

// sending is something that a peer is to take.
type sending struct {
	by    network.Conn
	moved time.Time // when it began, or the peer took something; guarded by writes.mu
}

// answerTimer is a stream that measures how long the first answer takes.
type answerTimer struct {
	network.Stream
	answered func(after time.Duration)
	asked    atomic.Int64 // when it was first written to, in nanoseconds since began
	began    time.Time
	once     sync.Once
}

func (s *answerTimer) Write(b []byte) (int, error) {
	s.asked.CompareAndSwap(0, max(1, int64(time.Since(s.began))))
	return s.Stream.Write(b)
}

func (s *answerTimer) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	if asked := s.asked.Load(); n > 0 && asked > 0 {
		s.once.Do(func() { s.answered(time.Since(s.began) - time.Duration(asked)) })
	}
	return n, err
}

func newWrites() *writes { return &writes{open: make(map[*sending]struct{})} }

// moves notes that something begins, or that the peer took some of it.
func (w *writes) moves(s *sending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.moved = time.Now()
	w.open[s] = struct{}{}
}

func (w *writes) done(s *sending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, s)
}

// end has peers cut off, from now on, that do not take at once what is sent to them.
func (w *writes) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
}

// stalled gives the connections whose peers take nothing, by any stream.
func (w *writes) stalled(now time.Time) (conns []network.Conn) {
	crowded := w.crowded != nil && w.crowded()
	w.mu.Lock()
	defer w.mu.Unlock()
	patience := writeStall
	switch {
	case w.ending:
		patience = writeCheck
	case crowded:
		patience = writeStallBusy
	}
	moved := make(map[network.Conn]time.Time)
	for s := range w.open {
		if s.moved.After(moved[s.by]) {
			moved[s.by] = s.moved
		}
	}
	for c, last := range moved {
		if now.Sub(last) >= patience {
			conns = append(conns, c)
		}
	}
	return conns
}

// watchedStream is a stream that records when its other end took something.
type watchedStream struct {
	network.Stream
	writes *writes
	moved  func(n int) // called when the other end took so many bytes; nil is nothing
}

// wantStream is a watchedStream that wants go by. Nobody reads it: Bitswap answers by other
// streams. But over WebRTC a stream's end is acknowledged when it is read, and a JavaScript
// peer reads no message before the end that it sent at once was acknowledged.
type wantStream struct {
	watchedStream
	drain sync.Once
}

// Write writes a piece at a time, and has what comes read from the first time on.
func (s *wantStream) Write(b []byte) (n int, err error) {
	n, err = s.watchedStream.Write(b)
	s.drain.Do(func() {
		if s.Conn().ConnState().Transport == webRTCName {
			go func() { _, _ = io.Copy(io.Discard, s.Stream) }() // until the stream ends
		}
	})
	return n, err
}

// webRTCName is how libp2p names the transport in the state of a connection.
const webRTCName = "webrtc-direct"

// Write writes a piece at a time.
func (s *watchedStream) Write(b []byte) (n int, err error) {
	now := &sending{by: s.Conn()}
	defer s.writes.done(now)
	for {
		s.writes.moves(now)
		piece := b[n:min(n+writePiece, len(b))]
		m, err := s.Stream.Write(piece)
		n += m
		if s.moved != nil {
			s.moved(m)
		}
		if err != nil || n == len(b) {
			return n, err
		}
	}
}
