package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// A connection is closed by which a peer takes nothing, and sooner while others wait.
func TestStalledWrites(t *testing.T) {
	slow, quick := pipeConn{peer: "slow"}, pipeConn{peer: "quick"}
	now := time.Now()
	w := newWrites()
	crowded := false
	w.crowded = func() bool { return crowded }
	open := func(by network.Conn, age time.Duration) {
		w.open[&sending{by: by, moved: now.Add(-age)}] = struct{}{}
	}
	expect := func(what string, want ...network.Conn) {
		t.Helper()
		if got := w.stalled(now); !slices.Equal(got, want) {
			t.Errorf("%s: stalled are %v, want %v", what, got, want)
		}
	}
	expect("nobody writes")
	open(quick, 0)
	open(slow, writeStallBusy)
	expect("there is room")
	now = now.Add(writeStall - writeStallBusy)
	expect("there is room, after long", slow)
	now = now.Add(writeStallBusy - writeStall)
	crowded = true
	expect("there is no room", slow)
	open(slow, writeStallBusy-1)
	expect("it took something by another stream")
}

// Who asked for blocks and went away is not dialled to send them.
func TestServesWhoIsConnected(t *testing.T) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	gone, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	h := newBitswapHost(newTestHost(t), Limits{SendWorkers: 1}.withDefaults())
	addr, err := manet.FromNetAddr(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	h.Peerstore().AddAddr(gone, addr, peerstore.PermanentAddrTTL)
	dialled := func(send func(context.Context) error) bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // nobody answers
		defer cancel()
		if send(ctx) == nil {
			t.Fatal("a stream was opened to nobody")
		}
		_ = l.SetDeadline(time.Now().Add(100 * time.Millisecond)) // what came is there
		c, err := l.Accept()
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	s := newSender(nil, h, nil, Limits{}.withDefaults(), slog.New(slog.DiscardHandler))
	if dialled(func(ctx context.Context) error { return s.SendMessage(ctx, gone, message.New(false)) }) {
		t.Error("a worker dialled to send blocks")
	}
	if !dialled(func(ctx context.Context) error {
		_, err := h.NewStream(ctx, gone, bsnet.ProtocolBitswap)
		return err
	}) {
		t.Error("nor did who asks for blocks: nothing is shown")
	}
}

// A peer that is silent when the protocol is agreed upon holds a worker no longer than
// one that takes nothing.
func TestSilentWhenServed(t *testing.T) {
	leaves := dagtest.Leaves(10, 1000)
	store := walktest.NewStore(t, leaves...)
	hold(t, store, 99, leaves...)
	n := newTestNode(t, store)
	b := newSilentPeer(t, n)
	b.send(t, wants([]cid.Cid{leaves[0].Cid()}, 1, bspb.Message_Wantlist_Block, true)...)
	stalled := func(after time.Duration) []network.Conn { return n.bitswap.writes.stalled(time.Now().Add(after)) }
	eventually(t, "a stream is being opened", func() bool { return len(stalled(writeStall)) > 0 })
	if got := stalled(0); len(got) > 0 {
		t.Errorf("%v are closed at once", got)
	}
	if got, want := stalled(writeStall), n.host.Network().ConnsToPeer(b.host.ID()); !slices.Equal(got, want) {
		t.Errorf("later %v are closed, not %v", got, want)
	}
	if err := n.host.Network().ClosePeer(b.host.ID()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker is free", func() bool { return len(stalled(writeStall)) == 0 })
}

// With a peer that did not say what it speaks that is agreed upon once.
func TestProtocolIsAgreedUponOnce(t *testing.T) {
	h := newBitswapHost(newTestHost(t), Limits{SendWorkers: 1}.withDefaults())
	other := newTestHost(t)
	other.SetStreamHandler(identify.ID, func(network.Stream) {}) // nothing is said, and it stays open
	other.SetStreamHandler(bsnet.ProtocolBitswap, func(network.Stream) {})
	if err := other.Connect(t.Context(), peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}); err != nil {
		t.Fatal(err)
	}
	var trips []time.Duration
	open := func() (lazily bool) {
		t.Helper()
		s, err := h.newServingStream(t.Context(), newest(h.Network(), other.ID()), func(d time.Duration) { trips = append(trips, d) }, bsnet.ProtocolBitswapOneOne, bsnet.ProtocolBitswap)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		if s.Protocol() != bsnet.ProtocolBitswap {
			t.Errorf("the protocol is %s", s.Protocol())
		}
		_, lazily = s.(*lazyStream)
		return lazily
	}
	if open() {
		t.Error("what it speaks is known at first: this test shows nothing")
	}
	if !open() {
		t.Error("it is asked again what it speaks")
	}
	if len(trips) != 1 || trips[0] <= 0 {
		t.Errorf("the answer took %v", trips)
	}
}

// What is written in pieces is all of it, and is watched no more afterwards.
func TestWatchedStream(t *testing.T) {
	sink := &sinkStream{}
	w := newWrites()
	sink.look = func() { // while it writes
		if len(w.open) != 1 {
			t.Errorf("%d writes are watched", len(w.open))
		}
	}
	data := bytes.Repeat([]byte("0123456789"), 20_000)
	s := &watchedStream{Stream: sink, writes: w}
	if n, err := s.Write(data); n != len(data) || err != nil || !bytes.Equal(sink.got, data) {
		t.Errorf("%d of %d bytes were written, %v", n, len(data), err)
	}
	if sink.largest > writePiece || len(w.open) != 0 {
		t.Errorf("the largest piece was %d; %d writes are watched after the end", sink.largest, len(w.open))
	}
	if n, err := s.Write(nil); n != 0 || err != nil {
		t.Errorf("writing nothing gives %d, %v", n, err)
	}
	sink.fails = errors.New("gone")
	if n, err := s.Write(data); n != 0 || !errors.Is(err, sink.fails) || len(w.open) != 0 {
		t.Errorf("a write that fails gives %d, %v", n, err)
	}
}

type sinkStream struct {
	network.Stream
	got     []byte
	largest int
	fails   error
	look    func()
}

func (s *sinkStream) Conn() network.Conn { return pipeConn{peer: "taker"} }

func (s *sinkStream) Write(b []byte) (int, error) {
	s.look()
	if s.fails != nil {
		return 0, s.fails
	}
	s.got = append(s.got, b...)
	s.largest = max(s.largest, len(b))
	return len(b), nil
}

// Over WebRTC what comes back by a stream for wants is read, so that its end is
// acknowledged. Over others nobody is kept busy by that.
func TestEndsOfWantStreams(t *testing.T) {
	for transport, want := range map[string]int32{webRTCName: 1, "tcp": 0, "websocket": 0} {
		synctest.Test(t, func(t *testing.T) {
			s := &endlessStream{transport: transport, gone: make(chan struct{})}
			w := &wantStream{watchedStream: watchedStream{Stream: s, writes: newWrites()}}
			for range 3 {
				if _, err := w.Write([]byte("wants")); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if got := s.reads.Load(); got != want {
				t.Errorf("%s: %d read from it", transport, got)
			}
			close(s.gone)
		})
	}
}

// endlessStream is a stream by which nothing comes, until it is gone.
type endlessStream struct {
	network.Stream
	transport string
	reads     atomic.Int32
	gone      chan struct{}
}

func (s *endlessStream) Conn() network.Conn          { return stateConn{transport: s.transport} }
func (s *endlessStream) Write(b []byte) (int, error) { return len(b), nil }

func (s *endlessStream) Read([]byte) (int, error) {
	s.reads.Add(1)
	<-s.gone
	return 0, io.EOF
}

// stateConn is a connection that only says what it goes by.
type stateConn struct {
	network.Conn
	transport string
}

func (c stateConn) ConnState() network.ConnectionState {
	return network.ConnectionState{Transport: c.transport}
}
