package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bspb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// badPeer is a peer that speaks Bitswap's messages and none of its manners: what
// comes to it is not read.
type badPeer struct {
	host host.Host
	node peer.ID
	open atomic.Int64 // streams that the node opened, and nobody reads
}

func newBadPeer(t *testing.T, n *Node) *badPeer {
	t.Helper()
	return newBadPeerOf(t, n, nil)
}

// newBadPeerOf connects one with a key; nil is a new one.
func newBadPeerOf(t *testing.T, n *Node, key crypto.PrivKey) *badPeer {
	t.Helper()
	b := &badPeer{host: newTestHostAt(t, "/ip4/127.0.0.1/tcp/0", key), node: n.host.ID()}
	b.host.SetStreamHandler(bsnet.ProtocolBitswap, func(network.Stream) { b.open.Add(1) })
	(&source{host: b.host}).connect(t, n)
	return b
}

// newSilentPeer connects one that says nothing on streams that it did not open.
func newSilentPeer(t *testing.T, n *Node) *badPeer {
	t.Helper()
	b := &badPeer{host: newTestHost(t), node: n.host.ID()}
	b.host.Network().SetStreamHandler(func(network.Stream) {})
	(&source{host: b.host}).connect(t, n)
	return b
}

// stream opens a stream to the node.
func (b *badPeer) stream(ctx context.Context) (network.Stream, error) {
	return b.host.NewStream(ctx, b.node, bsnet.ProtocolBitswap)
}

// send sends messages on one stream.
func (b *badPeer) send(t *testing.T, ms ...message.BitSwapMessage) {
	t.Helper()
	s, err := b.stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		if err := m.ToNetV1(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// wants are messages that ask for blocks, some each.
func wants(of []cid.Cid, each int, kind bspb.Message_Wantlist_WantType, answer bool) (ms []message.BitSwapMessage) {
	for i := 0; i < len(of); i += each {
		m := message.New(false)
		for j, c := range of[i:min(i+each, len(of))] {
			m.AddEntry(c, int32(i+j+1), kind, answer)
		}
		ms = append(ms, m)
	}
	return ms
}

// cidsOfNothing are of blocks that nobody has.
func cidsOfNothing(n int) []cid.Cid {
	out := make([]cid.Cid, n)
	for i := range out {
		out[i] = dagtest.Raw(fmt.Sprintf("nobody has %d", i)).Cid()
	}
	return out
}

// heapPeak watches the heap until stop is called, which gives by how much it
// had grown at most. What is garbage is collected before each look.
func heapPeak() (stop func() uint64) {
	look := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	base, peak := look(), uint64(0)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			peak = max(peak, look())
			select {
			case <-quit:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(quit)
		<-done
		return peak - min(base, peak)
	}
}

// A peer that asks for 10,000 blocks that nobody has, in one message or in many,
// with answers that it does not read or without, is remembered for 1,024 of
// them. Others are served, and pins go on.
func TestTenThousandWants(t *testing.T) {
	have, other := dagtest.Tree(dagtest.Leaves(200, 1000), 20), dagtest.Tree(dagtest.Leaves(500, 999), 20)
	store := walktest.NewStore(t, have...)
	hold(t, store, 99, have...)
	n := newTestNode(t, store)
	many := cidsOfNothing(10_000)
	const peers = 8
	grown := heapPeak()
	var bad []*badPeer
	for i := range peers {
		b := newBadPeer(t, n)
		bad = append(bad, b)
		each := []int{10_000, 1000, 100, 10_000}[i%4]
		kind := []bspb.Message_Wantlist_WantType{bspb.Message_Wantlist_Block, bspb.Message_Wantlist_Have}[i%2]
		b.send(t, wants(many, each, kind, i >= peers/2)...)
	}
	most := func() (most int) {
		for _, b := range bad {
			most = max(most, len(n.bitswap.server.WantlistForPeer(b.host.ID())))
		}
		return most
	}
	eventually(t, "the wants have come", func() bool { return most() >= wantsPerPeer/2 })

	third := newSource(t)
	third.connect(t, n)
	for _, b := range have {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := third.bs.GetBlock(ctx, b.Cid())
		cancel()
		if err != nil {
			t.Fatalf("another peer is not served: %v", err)
		}
	}
	done, result := start(t.Context(), n, newJob(dagtest.Last(other), newSource(t, other...).addr()))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, other)
	if m := most(); m > wantsPerPeer {
		t.Errorf("%d wants of one peer are kept", m)
	}
	// A want that is kept takes half a KiB; all of them would take eight times
	// as much.
	if g := grown(); g > 32<<20 {
		t.Errorf("memory grew by %d bytes", g)
	}
}

// A peer that asks for everything and takes nothing holds up neither the memory
// nor those who serve others.
func TestPeersThatTakeNothing(t *testing.T) {
	// Above 256 KiB, what a stream takes before its other end reads, a send waits
	// for the peer.
	large := dagtest.Leaves(100, 300<<10)
	small := dagtest.Tree(dagtest.Leaves(200, 1000), 20)
	store := walktest.NewStore(t, append(large, small...)...)
	hold(t, store, 99, append(large, small...)...)
	n := newTestNode(t, store)
	var all []cid.Cid
	for _, b := range large {
		all = append(all, b.Cid())
	}
	const peers = 4
	grown := heapPeak()
	var bad []peer.ID
	for range peers {
		b := newBadPeer(t, n)
		bad = append(bad, b.host.ID())
		b.send(t, wants(all, len(all), bspb.Message_Wantlist_Block, true)...)
		eventually(t, "blocks are sent to it", func() bool { return b.open.Load() > 0 })
	}
	third := newSource(t)
	third.connect(t, n)
	for _, b := range small {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := third.bs.GetBlock(ctx, b.Cid())
		cancel()
		if err != nil {
			t.Fatalf("another peer is not served: %v", err)
		}
	}
	for _, p := range bad {
		eventually(t, "the peer is cut off", func() bool { return n.host.Network().Connectedness(p) != network.Connected })
	}
	if n.host.Network().Connectedness(third.host.ID()) != network.Connected {
		t.Error("a peer that takes what it asked for is cut off")
	}
	// Each end of a stream may buffer 256 KiB, and of the node's 4 MiB are under
	// way for a peer.
	if g, most := grown(), uint64(peers*16<<20); g > most {
		t.Errorf("memory grew by %d bytes, of %d", g, most)
	}
}

// A peer that sends what nobody asked for, as fast as it can, is not stored from
// and not kept in memory, and pins from others go on.
func TestFloodOfUnwantedBlocks(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(2000, 1000), 20)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var sent atomic.Int64
	grown := heapPeak()
	for range 2 {
		b := newBadPeer(t, n)
		wg.Go(func() {
			s, err := b.stream(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Reset()
			defer context.AfterFunc(ctx, func() { s.Reset() })()
			for i := 0; ctx.Err() == nil; i++ {
				m := message.New(false)
				m.AddBlock(dagtest.Raw(fmt.Sprintf("%d of %s, %0*d", i, b.host.ID(), 1<<20, 0)))
				// And one that is wrong: bytes that are not those of its CID.
				lie, err := blocks.NewBlockWithCid([]byte(fmt.Sprint(i)), dagtest.Last(all))
				if err != nil {
					t.Error(err)
					return
				}
				m.AddBlock(lie)
				if err := m.ToNetV1(s); err != nil {
					if ctx.Err() == nil {
						t.Errorf("the flood was cut off: %v", err)
					}
					return
				}
				sent.Add(1 << 20)
			}
		})
	}
	eventually(t, "the flood comes", func() bool { return sent.Load() > 32<<20 })
	job := newJob(dagtest.Last(all), newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is a flood", func() bool { return sent.Load() > 200<<20 })
	g := grown()
	cancel()
	wg.Wait()
	store.CheckWhole(1, all)
	if count, _ := dagtest.Distinct(all); store.Stored() != count {
		t.Errorf("%d blocks were stored, and the DAG has %d", store.Stored(), count)
	}
	if s := n.Stats(); s.BlocksReceived != uint64(store.Stored()) {
		t.Errorf("%d blocks were counted", s.BlocksReceived)
	}
	// A message is 4 MiB at most, and each end of a stream has 16 MiB at most.
	if g > 96<<20 {
		t.Errorf("memory grew by %d bytes while %d came", g, sent.Load())
	}
}

// promiser says that it has everything, and sends nothing.
func promiser(t *testing.T) (addr string, promises *atomic.Int64) {
	t.Helper()
	h := newTestHost(t)
	promises = new(atomic.Int64)
	answerWants(t, h, func(m message.BitSwapMessage, c cid.Cid) {
		promises.Add(1)
		m.AddHave(c)
	})
	return withPeer(h.Addrs()[0], h.ID()), promises
}

// Pins that only peers have which lie, or promise and send nothing, do not keep
// others from coming, or from those who have them.
func TestPeersThatSendNothing(t *testing.T) {
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	promising, promises := promiser(t)
	lying, lies := liar(t)
	grown := heapPeak()
	ctx, cancel := context.WithCancel(t.Context())
	var dead []func() (pin.Totals, error)
	for i, b := range dagtest.Leaves(100, 100) {
		job := newJob(b.Cid(), promising, lying)
		job.Attempt = pin.Attempt(1000 + i)
		done, result := start(ctx, n, job)
		dead = append(dead, func() (pin.Totals, error) { return wait(t, done, result) })
	}
	eventually(t, "both were asked", func() bool { return promises.Load() > 0 && lies.Load() > 0 })

	// Those who answer are asked for the same, after all.
	all := dagtest.Tree(dagtest.Leaves(1000, 500), 20)
	job := newJob(dagtest.Last(all), promising, lying, newSource(t, all...).addr())
	done, result := start(t.Context(), n, job)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if count, _ := dagtest.Distinct(all); store.Stored() != count {
		t.Errorf("%d blocks were stored, and the DAG has %d", store.Stored(), count)
	}
	cancel()
	for _, end := range dead {
		if _, err := end(); !errors.Is(err, context.Canceled) {
			t.Errorf("a pin that nobody has ended with %v", err)
		}
	}
	if g := grown(); g > 64<<20 {
		t.Errorf("memory grew by %d bytes", g)
	}
}

// A peer that begins messages as large as they may be, and does not end them, takes
// memory for two of them at a time. Others are heard.
func TestHalfMessages(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	bad := newBadPeer(t, n)
	half := append(binary.AppendUvarint(nil, network.MessageSizeMax), make([]byte, network.MessageSizeMax-1)...)
	grown := heapPeak()
	var streams sync.WaitGroup
	for range 60 {
		s, err := bad.stream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Reset()
		streams.Go(func() { // as far as it is taken
			_ = s.SetWriteDeadline(time.Now().Add(2 * time.Second))
			_, _ = s.Write(half)
		})
	}
	streams.Wait()
	all := dagtest.Tree(dagtest.Leaves(50, 100<<10), 20)
	done, result := start(t.Context(), n, newJob(dagtest.Last(all), newSource(t, all...).addr()))
	if _, err := wait(t, done, result); err != nil {
		t.Errorf("a pin from another peer: %v", err)
	}
	if g := grown(); g > 64<<20 {
		t.Errorf("memory grew by %d MiB", g>>20)
	}
}

// Peers that open all the streams that they can, and say nothing on them, do not keep others from
// being heard.
func TestSilentStreams(t *testing.T) {
	all := dagtest.Leaves(1, 1000)
	store := walktest.NewStore(t, all...)
	hold(t, store, 99, all...)
	n := newTestNode(t, store, func(c *Config) { c.Limits.Memory = 4 << 30 })
	ai, err := peer.AddrInfoFromString(n.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	for range allBitswapStreams/bitswapStreams + 1 {
		h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if err := h.Connect(t.Context(), *ai); err != nil {
			t.Fatal(err)
		}
		for range bitswapStreams {
			s, err := h.NewStream(t.Context(), ai.ID, bsnet.ProtocolBitswap)
			if err == nil {
				_, err = s.Write([]byte{0}) // an empty message
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	other := newSource(t)
	other.connect(t, n)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := other.bs.GetBlock(ctx, all[0].Cid()); err != nil {
		t.Errorf("another peer is not served: %v", err)
	}
}

// A node closes soon while a peer takes nothing of what it asked for.
func TestCloseWhileSending(t *testing.T) {
	large := dagtest.Leaves(100, 1<<20)
	store := walktest.NewStore(t, large...)
	hold(t, store, 99, large...)
	n := newTestNode(t, store)
	var all []cid.Cid
	for _, b := range large {
		all = append(all, b.Cid())
	}
	b := newBadPeer(t, n)
	b.send(t, wants(all, len(all), bspb.Message_Wantlist_Block, true)...)
	eventually(t, "blocks are sent to it", func() bool { return b.open.Load() > 0 })
	closed := make(chan error)
	go func() { closed <- n.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(writeStall): // well below boxo's patience
		t.Error("it is not closed")
		<-closed
	}
}
