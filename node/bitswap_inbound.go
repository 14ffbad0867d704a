package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/semaphore"
)

const (
	// A stream is given up if a message has begun on it and the next piece has not come
	// within this. A piece of 64 KiB in 30 s is slower than a modem.
	readStall = 30 * time.Second
	readPiece = 64 << 10

	// Boxo's reader takes memory for a whole message, up to 4 MiB, as soon as it knows
	// the message's length, on each of the streams that a peer may open. So a message
	// above readFree waits for room. The messages of one peer have readPerPeer, twice what
	// boxo's server has under way for one peer; those of all peers have a part of
	// Limits.Memory. Smaller messages are bounded by the number of streams; most have
	// 16 KiB.
	readFree    = 32 << 10
	readPerPeer = 2 * network.MessageSizeMax
	readShare   = 16 // of Limits.Memory
	readLeast   = 4 * readPerPeer
	// While a message waits for room, the slowest that has some loses it every readSlowCheck, if it
	// has had it for so long and comes more slowly than readSlow. Else some peers that send a piece now and
	// then would have all the room. A line that gets blocks through while others wait is quicker.
	readSlowCheck = 2 * time.Second
	readSlow      = 64 << 10 // bytes a second
)

var errReadStall = errors.New("there was no room for a Bitswap message in time")

// reads bounds the memory of messages that come in.
type reads struct {
	all *semaphore.Weighted
	// tooLarge is called for a message that is not read because its length is above what
	// any message may have. It gives the block that was asked for, if it was only one.
	// proven is called, with the size, if the message was indeed that block. Nil does
	// nothing.
	tooLarge func(from peer.ID, bytes uint64) (asked cid.Cid)
	proven   func(from peer.ID, c cid.Cid, size uint64)

	mu      sync.Mutex
	peers   map[peer.ID]*peerReads       // with streams
	streams int                          // of all peers
	large   map[*meteredStream]time.Time // that have room, and since when
	// With more streams than most the peer that has the most loses one. Between messages a stream
	// may be silent for any time, so a few peers with silent streams would have all that there may
	// be, and nobody else would be heard.
	most int
}

type peerReads struct {
	room    *semaphore.Weighted
	streams map[*meteredStream]time.Time // with the end of the last message; zero while one is read
}

func newReads(l Limits) *reads {
	return &reads{
		all:   semaphore.NewWeighted(max(int64(l.Memory/readShare), readLeast)),
		peers: make(map[peer.ID]*peerReads),
		large: make(map[*meteredStream]time.Time),
		most:  l.fairStreams(),
	}
}

// open begins to read a peer's stream. The caller closes the result; that does not close
// the stream.
func (r *reads) open(s network.Stream) *meteredStream {
	p := s.Conn().RemotePeer()
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.peers[p]
	if of == nil {
		of = &peerReads{room: semaphore.NewWeighted(readPerPeer), streams: make(map[*meteredStream]time.Time)}
		r.peers[p] = of
	}
	m := &meteredStream{Stream: s, reads: r, peer: p, of: of}
	of.streams[m] = time.Now()
	if r.streams++; r.streams > r.most {
		if out := r.worst(); out != nil {
			r.forget(out)
			go func() { _ = out.Reset() }() // this takes as long as its connection may be stuck
		}
	}
	return m
}

// acquire takes room of all. While it waits, messages that come slowly lose theirs.
func (r *reads) acquire(ctx context.Context, bytes int64) error {
	if r.all.TryAcquire(bytes) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx
		ticker := time.NewTicker(readSlowCheck)
		defer ticker.Stop()
		for {
			r.cutSlowest(time.Now())
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return r.all.Acquire(ctx, bytes)
}

// cutSlowest resets the stream of the message with room that comes most slowly, if it is too slow.
func (r *reads) cutSlowest(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var slowest *meteredStream
	least := float64(readSlow)
	for s, since := range r.large {
		if has := now.Sub(since); has >= readSlowCheck {
			if rate := float64(s.came.Load()) / has.Seconds(); rate < least {
				slowest, least = s, rate
			}
		}
	}
	if slowest != nil {
		delete(r.large, slowest)            // it gives its room back when it notices
		go func() { _ = slowest.Reset() }() // this takes as long as its connection may be stuck
	}
}

func (r *reads) hasRoom(s *meteredStream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.came.Store(0)
	r.large[s] = time.Now()
}

func (r *reads) hasNone(s *meteredStream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.large, s)
}

// worst gives a stream of the peer that has the most: the one that is silent for longest, or else
// any.
func (r *reads) worst() (out *meteredStream) {
	var most *peerReads
	for _, of := range r.peers {
		if most == nil || len(of.streams) > len(most.streams) {
			most = of
		}
	}
	var since time.Time
	for s, at := range most.streams {
		if out == nil || !at.IsZero() && (since.IsZero() || at.Before(since)) {
			out, since = s, at
		}
	}
	return out
}

// forget has a stream not count any more.
func (r *reads) forget(s *meteredStream) {
	if _, ok := s.of.streams[s]; !ok {
		return
	}
	r.streams--
	if delete(s.of.streams, s); len(s.of.streams) == 0 {
		delete(r.peers, s.peer)
	}
}

// meteredStream is a stream of messages, each with its length before it as a varint
// (https://specs.ipfs.tech/bitswap-protocol/#wire-format). One goroutine reads it. A message
// waits for room before it is read, and has to keep coming.
type meteredStream struct {
	network.Stream
	reads *reads
	peer  peer.ID
	of    *peerReads

	length uint64       // of the message, as far as it is known
	shift  uint         // of the next byte of the length
	left   uint64       // of the message; 0 while its length is read
	piece  uint64       // bytes that must come before the deadline is moved
	room   int64        // bytes of room that the message has taken
	came   atomic.Int64 // bytes of the message since it has room
}

// Read reads no further than to the end of a length or of a message.
func (s *meteredStream) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if s.left == 0 {
		if s.shift == 0 {
			s.release() // the last message has been handled
			s.silentSince(time.Now())
			s.deadline(time.Time{})
		}
		n, err = s.Stream.Read(b[:1])
		if n == 1 {
			if s.shift == 0 {
				s.silentSince(time.Time{})
			}
			if lengthErr := s.lengthByte(b[0]); lengthErr != nil {
				return 0, lengthErr
			}
		}
		return n, err
	}
	n, err = s.Stream.Read(b[:min(uint64(len(b)), s.left)])
	s.left -= uint64(n)
	s.came.Add(int64(n))
	if s.piece -= min(s.piece, uint64(n)); s.piece == 0 {
		s.piece = readPiece
		s.deadline(time.Now().Add(readStall))
	}
	return n, err
}

// lengthByte takes in a byte of a length. When it returns nil for the last one, the message
// has its room.
func (s *meteredStream) lengthByte(b byte) error {
	s.length |= uint64(b&0x7f) << s.shift
	s.shift += 7
	if b >= 0x80 && s.shift < 64 { // the reader refuses what is longer
		s.deadline(time.Now().Add(readStall))
		return nil
	}
	length := s.length
	s.length, s.shift = 0, 0
	s.left, s.piece = length, readPiece
	if length > network.MessageSizeMax {
		s.tooLarge(length)
	}
	if length <= readFree || length > network.MessageSizeMax { // those are refused, too
		s.deadline(time.Now().Add(readStall))
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readStall)
	defer cancel()
	if s.of.room.Acquire(ctx, int64(length)) != nil {
		return errReadStall
	}
	if s.reads.acquire(ctx, int64(length)) != nil {
		s.of.room.Release(int64(length))
		return errReadStall
	}
	s.room = int64(length)
	s.reads.hasRoom(s)
	s.deadline(time.Now().Add(readStall))
	return nil
}

// deadline sets until when something has to come. It fails only if the stream is gone.
func (s *meteredStream) deadline(t time.Time) { _ = s.SetReadDeadline(t) }

// silentSince notes since when no message is read; zero is that one is.
func (s *meteredStream) silentSince(t time.Time) {
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	if _, ok := s.of.streams[s]; ok {
		s.of.streams[s] = t
	}
}

// release gives the room back.
func (s *meteredStream) release() {
	if s.room > 0 {
		s.reads.hasNone(s)
		s.reads.all.Release(s.room)
		s.of.room.Release(s.room)
		s.room = 0
	}
}

// close ends the reading. Nobody may be reading.
func (s *meteredStream) close() {
	s.release()
	s.reads.mu.Lock()
	defer s.reads.mu.Unlock()
	s.reads.forget(s)
}
