package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bsnetwork "github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	// streamsPerPeer is how many streams to a peer are open for sending blocks. By libp2p's
	// defaults a peer takes 64 streams of a protocol and resets the others, of which
	// Bitswap learns nothing. The rest is for the node's own requests, and for streams
	// that the peer still counts for a moment after they are closed here.
	streamsPerPeer = 48
	// A stream takes message after message, up to so many bytes: enough that opening it
	// costs nothing, and few enough that what is sent is soon known to have arrived. On a long path it
	// takes more: a stream's window begins small, and grows with each round trip.
	streamBytes, farStreamBytes = 4 << 20, 64 << 20
	// A stream ends when nothing was sent on it for so long. That is well past the time
	// between two messages of a transfer, and before readers take it for dead.
	streamIdle = time.Second
	// A peer has so long to say that it has read a stream to its end.
	streamEnds = 30 * time.Second

	// A message may take sendLatency and the size of all that is under way to the peer at
	// sendRate, a modem's, but at least sendLeast and at most sendLongest. One that makes no
	// headway is cut off sooner.
	sendRate               = 100_000 / 8 // bytes a second
	sendLeast, sendLongest = 10 * time.Second, 10 * time.Minute
	sendLatency            = 2 * time.Second
)

// bitswapProtocols are the protocols for sending blocks, the best first.
var bitswapProtocols = []protocol.ID{
	bsnet.ProtocolBitswap, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers,
}

// errSenderClosed: nothing is sent any more.
var errSenderClosed = errors.New("the Bitswap server is closed")

// sender sends what Bitswap's server has for peers. Boxo's network opens a stream for each
// message. A peer that has too many streams resets some, and the messages on those are lost
// but count as sent. Here a stream takes many messages, as the protocol allows, and no more
// streams are open at the same time than a peer takes.
//
// What was sent on a stream counts once the peer has read the stream to its end. If the peer
// resets the stream, nothing of it counts: libp2p reports a reset some time after it
// happened, and what was written meanwhile seemed to go out.
type sender struct {
	bsnetwork.BitSwapNetwork // for all but sending
	host                     bitswapHost
	served                   blockGetter
	room                     *room
	log                      *slog.Logger

	blocks, bytes atomic.Uint64 // that arrived

	mu      sync.Mutex // is not held while something is sent
	closed  bool
	peers   map[peer.ID]*outlet
	streams int // of all peers
	// If more streams than most are open, the peer with the most has no more time to end its own.
	// Else some peers that never end theirs would have all that there may be, and nobody else would
	// be sent anything.
	most int
	open map[*outStream]struct{} // streams whose end is waited for
	wg   sync.WaitGroup          // goroutines that wait for their ends, or end them

	sending sync.WaitGroup // messages
}

// blockGetter gives the blocks that peers may have.
type blockGetter interface {
	Get(ctx context.Context, c cid.Cid) (blocks.Block, error)
}

// outlet is the streams that are open to a peer. The sender's lock guards it.
type outlet struct {
	open   int
	idle   []*outStream
	freed  chan struct{} // closed when there is room for a stream, or an idle one
	single bool          // the peer ends a stream after one message
}

// outStream is a stream for messages. One SendMessage uses it at a time. The sender's lock
// guards all but the stream.
type outStream struct {
	network.Stream
	to    peer.ID
	heard bool      // its end is waited for
	ended bool      // its end has come
	shut  bool      // nothing is sent on it any more
	reset bool      // its end is not waited for any more
	used  time.Time // when it was given back

	size          int    // what was written
	blocks, bytes uint64 // of the messages
}

// newSender makes one. The caller closes it after the last SendMessage.
func newSender(n bsnetwork.BitSwapNetwork, h bitswapHost, served blockGetter, l Limits, log *slog.Logger) *sender {
	s := &sender{
		BitSwapNetwork: n, host: h, served: served, room: newRoom(l), log: log,
		peers: make(map[peer.ID]*outlet), most: l.fairStreams(), open: make(map[*outStream]struct{}),
	}
	h.writes.crowded = s.room.crowded
	return s
}

// SendMessage waits until there is room for a message to the peer, and has it sent after that.
// A message that waits long may have its blocks read anew. If there is no error, the message may
// still be lost.
func (s *sender) SendMessage(ctx context.Context, p peer.ID, m message.BitSwapMessage) error {
	if newest(s.host.Network(), p) == nil {
		return errNoDirect
	}
	t, err := s.room.enter(ctx, p, m)
	if err != nil || t == nil {
		return err
	}
	if err := s.readAgain(ctx, t); err != nil {
		s.room.leave(t)
		return fmt.Errorf("read what was to be sent: %w", err)
	}
	s.sending.Go(func() {
		defer s.room.leave(t)
		if err := s.send(ctx, p, t); err != nil {
			s.log.Debug("a message was not sent", "peer", p, "err", err)
		}
	})
	return nil
}

// readAgain puts the blocks into a message that were left out of it.
func (s *sender) readAgain(ctx context.Context, t *turn) error {
	for _, c := range t.gone {
		b, err := s.served.Get(ctx, c)
		switch {
		case ipld.IsNotFound(err): // it was deleted since
			t.m.AddDontHave(c)
		case err != nil:
			return err
		default:
			t.m.AddBlock(b)
		}
	}
	return nil
}

// send sends a message. It has the time that all of what is under way to the peer may take.
func (s *sender) send(ctx context.Context, p peer.ID, t *turn) error {
	timeout := sendLatency + time.Duration(s.room.underWay(t))*time.Second/sendRate
	ctx, cancel := context.WithTimeout(ctx, min(max(timeout, sendLeast), sendLongest))
	defer cancel()
	for {
		out, fresh, err := s.take(ctx, p)
		if err != nil {
			return fmt.Errorf("open a stream to send by: %w", err)
		}
		if err = s.write(ctx, out, t); err == nil {
			s.giveBack(out, t)
			return nil
		}
		s.drop(out)
		// A stream that was open before may have been reset since. The peer has at most a
		// part of this message, which it ignores, so it is sent again on another stream.
		if fresh || ctx.Err() != nil {
			return err
		}
	}
}

// write sends a message on a stream.
func (s *sender) write(ctx context.Context, out *outStream, t *turn) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := out.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	stream := out.Stream
	if lane, stall := s.room.lane(t); lane != nil {
		place := lane.enter(stall)
		defer place.leave()
		stream = &orderedStream{out.Stream, ctx, place}
	}
	w := &watchedStream{Stream: stream, writes: s.host.writes, moved: func(n int) { s.room.moved(t, n) }}
	switch out.Protocol() {
	case bsnet.ProtocolBitswapOneZero, bsnet.ProtocolBitswapNoVers:
		return t.m.ToNetV0(w)
	default:
		return t.m.ToNetV1(w)
	}
}

// take gives a stream on the peer's newest connection that no other call uses. fresh says
// that it is a new one. The caller gives it back, or drops it.
func (s *sender) take(ctx context.Context, p peer.ID) (out *outStream, fresh bool, err error) {
	c := newest(s.host.Network(), p)
	if c == nil {
		return nil, false, errNoDirect
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return nil, false, errSenderClosed
		}
		o := s.peers[p]
		if o == nil {
			o = &outlet{freed: make(chan struct{})}
			s.peers[p] = o
		}
		for len(o.idle) > 0 {
			out := o.idle[len(o.idle)-1]
			o.idle = o.idle[:len(o.idle)-1]
			if out.Conn() == c {
				return out, false, nil
			}
			s.shut(out)
		}
		if o.open < streamsPerPeer {
			o.open++
			if s.streams++; s.streams > s.most {
				s.makeRoom()
			}
			s.mu.Unlock()
			stream, err := s.host.newServingStream(ctx, c, func(after time.Duration) { s.room.answered(p, after) }, bitswapProtocols...)
			s.mu.Lock()
			if err != nil {
				s.leave(p)
				return nil, false, err
			}
			return &outStream{Stream: stream, to: p}, true, nil
		}
		freed := o.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
	}
}

// giveBack takes a stream back after a message was sent on it. It is used again, unless it
// is time for it to end.
func (s *sender) giveBack(out *outStream, t *turn) {
	limit := streamBytes
	if lane, _ := s.room.lane(t); lane != nil {
		limit = farStreamBytes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if out.ended {
		// The peer may not have read the message.
		s.left(out)
		return
	}
	out.size += t.m.Size()
	for _, b := range t.m.Blocks() {
		out.blocks++
		out.bytes += uint64(len(b.RawData()))
	}
	if !out.heard { // not before something was written: what is agreed upon goes with that
		out.heard = true
		s.open[out] = struct{}{}
		s.wg.Go(func() { s.hear(out) })
	}
	o := s.peers[out.to]
	if o.single || out.size >= limit {
		s.shut(out)
		return
	}
	out.used = time.Now()
	o.idle = append(o.idle, out)
	o.wake()
}

// drop ends a stream on which a message could not be sent.
func (s *sender) drop(out *outStream) {
	_ = out.Reset() // one that is gone is what we want
	s.mu.Lock()
	defer s.mu.Unlock()
	if out.shut = true; out.ended || !out.heard {
		s.left(out)
	}
}

// shut ends this side of a stream. Once the peer has ended its own side, what was sent on
// the stream counts.
func (s *sender) shut(out *outStream) {
	out.shut = true
	s.wg.Go(func() {
		_ = out.SetReadDeadline(time.Now().Add(streamEnds)) // if this fails, the stream is gone and hear returns
		if out.CloseWrite() != nil {
			_ = out.Reset()
		}
	})
}

// hear waits for the end of a stream. Nothing is expected to come on it.
func (s *sender) hear(out *outStream) {
	_, err := io.Copy(io.Discard, out)
	if err == nil {
		_ = out.Close()
	} else {
		_ = out.Reset()
		s.log.Debug("a peer did not take all that was sent to it", "peer", out.to, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.ended = true
	if err == nil {
		s.blocks.Add(out.blocks)
		s.bytes.Add(out.bytes)
	}
	o := s.peers[out.to]
	if err == nil && !out.shut {
		o.single = true // some read one message of a stream, and end it
	}
	i := slices.Index(o.idle, out)
	if i >= 0 {
		o.idle = slices.Delete(o.idle, i, i+1)
	}
	if i >= 0 || out.shut {
		s.left(out)
	} // else a SendMessage uses it just now, and will see
}

// left frees the place of a stream that has ended.
func (s *sender) left(out *outStream) {
	delete(s.open, out)
	s.leave(out.to)
}

func (s *sender) leave(p peer.ID) {
	o := s.peers[p]
	s.streams--
	if o.open--; o.open == 0 {
		delete(s.peers, p)
	}
	o.wake()
}

// makeRoom ends a stream of the peer that has the most, if the peer has one on which nothing is
// being sent. What the peer has not read of it is lost.
func (s *sender) makeRoom() {
	var to peer.ID
	var most *outlet
	for p, o := range s.peers {
		if most == nil || o.open > most.open {
			to, most = p, o
		}
	}
	for out := range s.open {
		if out.to != to || !out.shut || out.reset || out.ended {
			continue
		}
		out.reset = true
		s.wg.Go(func() { _ = out.Reset() }) // then hear returns
		return
	}
	if len(most.idle) > 0 {
		s.shut(most.idle[0]) // its end is the next to go
		most.idle = most.idle[1:]
	}
}

func (o *outlet) wake() {
	close(o.freed)
	o.freed = make(chan struct{})
}

// sweep ends streams that were idle for long.
func (s *sender) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.peers {
		o.idle = slices.DeleteFunc(o.idle, func(out *outStream) bool {
			long := now.Sub(out.used) >= streamIdle
			if long {
				s.shut(out)
			}
			return long
		})
	}
}

// sent gives how many blocks, and bytes of them, have arrived at peers.
func (s *sender) sent() (blocks, bytes uint64) { return s.blocks.Load(), s.bytes.Load() }

// settle waits until no message is being sent any more. There is no more SendMessage.
func (s *sender) settle() { s.sending.Wait() }

// close ends all streams, and waits for that. It may be called twice.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
	open := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	for _, out := range open {
		_ = out.Reset()
	}
	s.wg.Wait()
}
