package node

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// reader is a peer with libp2p's own limits that takes what it is sent, at the pace of
// one message at a time.
type reader struct {
	*badPeer
	streams atomic.Int64 // that are open
	most    atomic.Int64 // at the same time

	mu    sync.Mutex
	got   map[cid.Cid]int
	bytes int
}

// newReader connects one. each is called for each message, before the next is read of
// its stream; what it gives is whether the stream is read on.
func newReader(t *testing.T, n *Node, each func(network.Stream) bool) *reader {
	t.Helper()
	r := &reader{badPeer: &badPeer{host: newTestHost(t), node: n.host.ID()}, got: map[cid.Cid]int{}}
	var one sync.Mutex
	r.host.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) {
		now := r.streams.Add(1)
		for was := r.most.Load(); now > was && !r.most.CompareAndSwap(was, now); was = r.most.Load() {
		}
		defer r.streams.Add(-1)
		defer s.Close()
		in := msgio.NewVarintReaderSize(s, network.MessageSizeMax)
		for {
			m, _, err := message.FromMsgReader(in)
			if err != nil {
				return
			}
			one.Lock()
			on := each(s)
			one.Unlock()
			if !on {
				return
			}
			r.mu.Lock()
			for _, b := range m.Blocks() {
				r.got[b.Cid()]++
				r.bytes += len(b.RawData())
			}
			r.mu.Unlock()
		}
	})
	(&source{host: r.host}).connect(t, n)
	return r
}

func (r *reader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func holding(t *testing.T, bs []blocks.Block) *Node {
	t.Helper()
	store := walktest.NewStore(t, bs...)
	hold(t, store, 99, bs...)
	return newTestNode(t, store)
}

// A peer with libp2p's default limits that asks for a thousand blocks at once gets all
// of them, whatever their size, and they are counted.
func TestReaderWithDefaultLimits(t *testing.T) {
	for _, size := range []int{4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		t.Run(fmt.Sprintf("%d KiB", size>>10), func(t *testing.T) {
			all := dagtest.Leaves(1006, size)
			n := holding(t, all)
			r := newReader(t, n, func(network.Stream) bool {
				time.Sleep(time.Millisecond) // it does something with each message
				return true
			})
			r.send(t, wants(dagtest.CIDs(all), len(all), bspb.Message_Wantlist_Block, true)...)
			eventually(t, "all come", func() bool { return r.count() == len(all) })
			if most := r.most.Load(); most > streamsPerPeer {
				t.Errorf("%d streams were open at a time", most)
			}
			eventually(t, "all are counted", func() bool {
				st := n.Stats()
				return st.BlocksServed == uint64(len(all)) && st.BytesServed == uint64(r.bytes)
			})
			eventually(t, "no stream stays open", func() bool { return r.streams.Load() == 0 })
			n.bitswap.sender.mu.Lock()
			defer n.bitswap.sender.mu.Unlock()
			if left := len(n.bitswap.sender.peers) + len(n.bitswap.sender.open); left > 0 {
				t.Errorf("%d streams and peers are kept", left)
			}
		})
	}
}

// What a peer resets is not counted as sent, and comes when it is asked for again.
func TestResetsAreNotCounted(t *testing.T) {
	all := dagtest.Leaves(400, 16<<10)
	n := holding(t, all)
	var resets atomic.Int64
	var healthy atomic.Bool
	r := newReader(t, n, func(s network.Stream) bool {
		if healthy.Load() {
			return true
		}
		resets.Add(1)
		_ = s.Reset()
		return false
	})
	r.send(t, wants(dagtest.CIDs(all), len(all), bspb.Message_Wantlist_Block, true)...)
	sent := func() uint64 { return n.bitswap.server.LedgerForPeer(r.host.ID()).Sent }
	eventually(t, "all are sent for nothing", func() bool { return sent() >= 400*16<<10 })
	eventually(t, "all streams are over", func() bool {
		n.bitswap.sender.mu.Lock()
		defer n.bitswap.sender.mu.Unlock()
		return len(n.bitswap.sender.peers) == 0
	})
	if st := n.Stats(); st.BlocksServed > 0 || st.BytesServed > 0 || resets.Load() == 0 || r.count() > 0 {
		t.Errorf("%d blocks of %d bytes count as sent after %d resets", st.BlocksServed, st.BytesServed, resets.Load())
	}
	healthy.Store(true)
	r.send(t, wants(dagtest.CIDs(all), len(all), bspb.Message_Wantlist_Block, true)...)
	eventually(t, "all come", func() bool { return r.count() == len(all) })
	eventually(t, "all are counted once", func() bool { return n.Stats().BlocksServed == uint64(len(all)) })
}

// A peer that reads one message of a stream and ends it gets all by asking again for
// what it missed, a message a stream.
func TestReaderOfOneMessage(t *testing.T) {
	all := dagtest.Leaves(200, 16<<10)
	n := holding(t, all)
	r := newReader(t, n, func(network.Stream) bool { return true })
	r.host.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) {
		defer s.Close()
		m, _, err := message.FromMsgReader(msgio.NewVarintReaderSize(s, network.MessageSizeMax))
		if err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, b := range m.Blocks() {
			r.got[b.Cid()]++
		}
	})
	for range 20 {
		var missing []cid.Cid
		r.mu.Lock()
		for _, c := range dagtest.CIDs(all) {
			if r.got[c] == 0 {
				missing = append(missing, c)
			}
		}
		r.mu.Unlock()
		if len(missing) == 0 {
			return
		}
		before := r.count()
		r.send(t, wants(missing, len(missing), bspb.Message_Wantlist_Block, true)...)
		eventually(t, "some come", func() bool { return r.count() > before })
		eventually(t, "nothing is under way", func() bool {
			n.bitswap.sender.mu.Lock()
			defer n.bitswap.sender.mu.Unlock()
			return len(n.bitswap.sender.peers) == 0
		})
	}
	t.Errorf("%d of %d came", r.count(), len(all))
}

// A peer that never ends its side of a stream has no more time for that when too many are open.
func TestReaderThatEndsNothing(t *testing.T) {
	all := dagtest.Leaves(100, 16<<10)
	n := holding(t, all)
	bad := &badPeer{host: newTestHost(t), node: n.host.ID()}
	bad.host.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) { _, _ = io.Copy(io.Discard, s) })
	(&source{host: bad.host}).connect(t, n)
	s := n.bitswap.sender
	// ended are streams to it on which nothing is sent any more, and how many of them are reset.
	ended := func() (all, reset int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for out := range s.open {
			if out.to == bad.host.ID() && out.shut {
				all++
				if out.reset {
					reset++
				}
			}
		}
		return all, reset
	}
	bad.send(t, wants(dagtest.CIDs(all), len(all), bspb.Message_Wantlist_Block, true)...)
	eventually(t, "it has some streams", func() bool { all, _ := ended(); return all > 1 })
	if _, reset := ended(); reset > 0 {
		t.Errorf("%d streams are reset though there is room", reset)
	}
	s.mu.Lock()
	s.most = 0
	s.mu.Unlock()
	before, _ := ended()
	r := newReader(t, n, func(network.Stream) bool { return true })
	r.send(t, wants(dagtest.CIDs(all), len(all), bspb.Message_Wantlist_Block, true)...)
	eventually(t, "all come", func() bool { return r.count() == len(all) })
	if all, reset := ended(); all-reset >= before {
		t.Errorf("of %d streams %d stay", before, all-reset)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for _, o := range s.peers {
		sum += o.open
	}
	if s.streams != sum {
		t.Errorf("%d streams count, and %d are open", s.streams, sum)
	}
}

// BenchmarkServe has a plain boxo node with libp2p's limits read from a node.
func BenchmarkServe(b *testing.B) {
	for _, shape := range []struct{ n, size int }{{4000, 4 << 10}, {1000, 64 << 10}, {64, 1 << 20}} {
		b.Run(fmt.Sprintf("%dx%dB", shape.n, shape.size), func(b *testing.B) {
			all := dagtest.Leaves(shape.n, shape.size)
			store := walktest.NewStore(b, all...)
			hold(b, store, 99, all...)
			n := newTestNode(b, store)
			b.SetBytes(int64(shape.n * shape.size))
			for b.Loop() {
				third := newSource(b)
				ai := peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()}
				if err := third.host.Connect(b.Context(), ai); err != nil {
					b.Fatal(err)
				}
				for begin := 0; begin < len(all); begin += 128 { // what 64 streams can take
					some := dagtest.CIDs(all[begin:min(begin+128, len(all))])
					ctx, cancel := context.WithTimeout(b.Context(), patience)
					got, err := third.bs.GetBlocks(ctx, some)
					if err != nil {
						b.Fatal(err)
					}
					came := 0
					for range got {
						came++
					}
					cancel()
					if came != len(some) {
						b.Fatalf("%d of %d came", came, len(some))
					}
				}
				third.close()
			}
		})
	}
}
