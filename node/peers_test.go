package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-msgio"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// A root that nobody has is waited for without a worker, and comes from
// whoever has it and connects.
func TestNobodyHasItUntilSomebodyConnects(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	newSource(t, dagtest.Raw("something else")).connect(t, n)
	job := newJob(dagtest.Last(all))
	done, result := start(t.Context(), n, job)
	select {
	case <-done:
		t.Fatal(result())
	case <-time.After(200 * time.Millisecond):
	}
	if held, acquired, _ := job.Slot.(*testSlot).state(); held || acquired != 0 {
		t.Errorf("a worker was taken %d times for nothing, and is held: %v", acquired, held)
	}
	newSource(t, all...).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// A peer that is connected and gets the blocks later is asked, too.
func TestConnectedPeerGetsItLater(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	src := newSource(t)
	job := newJob(dagtest.Last(all), src.addr())
	done, result := start(t.Context(), n, job)
	eventually(t, "the source is asked", func() bool { return len(src.bs.WantlistForPeer(n.host.ID())) == 1 })
	src.add(t, all...)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

func TestSourceVanishesHalfWay(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(3000, 100), 20)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	first := newSource(t, all[100:]...) // some of the leaves are missing: it cannot finish
	job := newJob(dagtest.Last(all), first.addr())
	job.IdleTimeout = 200 * time.Millisecond
	done, result := start(t.Context(), n, job)
	eventually(t, "some came", func() bool { return job.Progress.Blocks.Load() > 300 })
	first.close()
	slot := job.Slot.(*testSlot)
	eventually(t, "the worker is given back", func() bool { held, _, _ := slot.state(); return !held })
	eventually(t, "nobody is counted as a provider", func() bool { return job.Progress.Providers.Load() == 0 })
	newSource(t, all...).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if count, _ := dagtest.Distinct(all); store.Stored() != count {
		t.Errorf("%d blocks were stored, the DAG has %d", store.Stored(), count)
	}
}

// A source that hangs up again and again is dialled again each time, and nothing is
// fetched twice but what was on its way.
func TestSourceDropsConnections(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(16_000, 50), 20)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	src := newSource(t, all...)
	job := newJob(dagtest.Last(all), src.addr())
	drops := 0
	store.BeforeWrite = func(context.Context, graph.Batch) error { // of 4,096 links at most
		if drops < 6 {
			drops++
			time.Sleep(lastingConn) // as long as a connection has to last to be made again at once
			return src.host.Network().ClosePeer(n.host.ID())
		}
		return nil
	}
	done, result := start(t.Context(), n, job)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	if count, _ := dagtest.Distinct(all); store.Stored() != count {
		t.Errorf("%d blocks were stored, the DAG has %d", store.Stored(), count)
	}
	if drops < 2 {
		t.Errorf("only %d connections were dropped", drops)
	}
}

// Two peers have half of it each.
func TestHalvesFromTwoSources(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(400, 100), 10)
	var one, two []blocks.Block
	for i, b := range all {
		if i%2 == 0 {
			one = append(one, b)
		} else {
			two = append(two, b)
		}
	}
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	a, b := newSource(t, one...), newSource(t, two...)
	job := newJob(dagtest.Last(all), a.addr(), b.addr())
	done, result := start(t.Context(), n, job)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// A peer that has only the root does not keep the rest from coming.
func TestSourceThatHasTheRootAlone(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(40, 100), 40)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	job := newJob(dagtest.Last(all), newSource(t, all[len(all)-1]).addr())
	done, result := start(t.Context(), n, job)
	eventually(t, "the root came", func() bool { return job.Progress.Blocks.Load() == 1 })
	newSource(t, all...).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

// answerWants has a host answer each want by what answer puts in the reply.
func answerWants(t *testing.T, h host.Host, answer func(reply message.BitSwapMessage, c cid.Cid)) {
	h.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) {
		defer s.Close()
		r := msgio.NewVarintReaderSize(s, network.MessageSizeMax)
		for {
			m, _, err := message.FromMsgReader(r)
			if err != nil {
				return
			}
			reply := message.New(false)
			for _, e := range m.Wantlist() {
				if !e.Cancel {
					answer(reply, e.Cid)
				}
			}
			if reply.Empty() {
				continue
			}
			out, err := h.NewStream(context.Background(), s.Conn().RemotePeer(), bsnet.ProtocolBitswap)
			if err != nil {
				return
			}
			if err := reply.ToNetV1(out); err != nil && !errors.Is(err, io.EOF) {
				out.Reset()
				return
			}
			out.Close()
		}
	})
}

// liar answers every want with HAVE and with bytes that are something else,
// under the CID that was asked for as far as the protocol allows to say so.
func liar(t *testing.T) (addr string, lies *atomic.Int64) {
	t.Helper()
	h := newTestHost(t)
	lies = new(atomic.Int64)
	answerWants(t, h, func(reply message.BitSwapMessage, c cid.Cid) {
		reply.AddHave(c)
		b, err := blocks.NewBlockWithCid(fmt.Appendf(nil, "not %s", c), c)
		if err != nil {
			t.Error(err)
			return
		}
		reply.AddBlock(b)
		lies.Add(1)
	})
	return withPeer(h.Addrs()[0], h.ID()), lies
}

func TestWrongBlocksAreNeverStored(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(30, 100), 10)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	addr, lies := liar(t)
	job := newJob(dagtest.Last(all), addr)
	done, result := start(t.Context(), n, job)
	eventually(t, "it was lied to", func() bool { return lies.Load() > 0 })
	select {
	case <-done:
		t.Fatal(result())
	case <-time.After(100 * time.Millisecond):
	}
	if job.Progress.Blocks.Load() != 0 || store.Stored() != 0 {
		t.Fatalf("%d blocks, %d stored", job.Progress.Blocks.Load(), store.Stored())
	}
	newSource(t, all...).connect(t, n)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
}

func TestCancelledFetchLeavesNothingBehind(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(3000, 100), 20)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	src := newSource(t, all...)
	src.connect(t, n)
	eventually(t, "they are connected", func() bool { return len(n.host.Network().Peers()) == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	before := 0
	eventually(t, "the number of goroutines is steady", func() bool {
		now := runtime.NumGoroutine()
		steady := now == before
		before = now
		return steady
	})
	var dones []<-chan struct{}
	for i := range 3 {
		job := newJob(dagtest.Last(all), src.addr())
		job.Attempt = pin.Attempt(i + 1)
		done, _ := start(ctx, n, job)
		dones = append(dones, done)
		eventually(t, "some came", func() bool { return job.Progress.Blocks.Load() > 50 })
	}
	cancel()
	for _, done := range dones {
		<-done
	}
	stored := store.Stored()
	// Bitswap's own go a moment later. A few of the connection may come and go.
	eventually(t, "all goroutines end", func() bool { return runtime.NumGoroutine() <= before+2 })
	if store.Stored() != stored {
		t.Error("blocks were stored after the fetches had returned")
	}
	if open := n.bitswap.exchange.Stats().Sessions; open != 0 || len(n.gater.named) != 0 {
		t.Errorf("%d sessions are open, %d peers are named", open, len(n.gater.named))
	}
	eventually(t, "nothing is wanted", func() bool { return n.bitswap.exchange.Stats().Wants == 0 })
}

func TestCloseEndsFetches(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	done, result := start(t.Context(), n, newJob(dagtest.Raw("nobody").Cid()))
	eventually(t, "it is wanted", func() bool { return n.bitswap.exchange.Stats().Wants == 1 })
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := wait(t, done, result); err == nil {
		t.Fatal("no error")
	}
}

// Hundreds that nobody has cost little, and all come when somebody has them.
func TestManySeekers(t *testing.T) {
	const many = 300
	roots := dagtest.Leaves(many, 100)
	store := walktest.NewStore(t)
	n := newTestNode(t, store)
	newSource(t).connect(t, n)
	before := runtime.NumGoroutine()
	var (
		wg   sync.WaitGroup
		jobs []pin.Job
	)
	for i, b := range roots {
		job := newJob(b.Cid())
		job.Attempt = pin.Attempt(i + 1)
		jobs = append(jobs, job)
		wg.Go(func() {
			if _, err := n.Fetch(t.Context(), job); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "all are wanted", func() bool { return n.bitswap.exchange.Stats().Wants == many })
	if each := (runtime.NumGoroutine() - before) / many; each > 10 {
		t.Errorf("%d goroutines for each", each)
	}

	// One that somebody has is not held up by them.
	live := dagtest.Tree(dagtest.Leaves(500, 100), 20)
	job := newJob(dagtest.Last(live), newSource(t, live...).addr())
	job.Attempt = many + 1
	done, result := start(t.Context(), n, job)
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(many+1, live)

	for _, job := range jobs {
		if held, acquired, _ := job.Slot.(*testSlot).state(); held || acquired > 0 {
			t.Fatal("a worker is taken for nothing")
		}
	}
	newSource(t, roots...).connect(t, n)
	wg.Wait()
	for i, b := range roots {
		store.CheckWhole(pin.Attempt(i+1), []blocks.Block{b})
	}
}

func TestOnPeer(t *testing.T) {
	type seen struct {
		id      string
		inbound bool
	}
	peers := make(chan seen, 8)
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.OnPeer = func(id string, inbound bool) { peers <- seen{id, inbound} }
	})
	in, out := newSource(t), newSource(t)
	in.connect(t, n)
	expect := func(want seen) {
		t.Helper()
		select {
		case got := <-peers:
			if got != want {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("nobody told of %+v", want)
		}
	}
	expect(seen{in.host.ID().String(), true})
	ctx, cancel := context.WithCancel(t.Context())
	done, _ := start(ctx, n, newJob(dagtest.Raw("nobody").Cid(), out.addr()))
	expect(seen{out.host.ID().String(), false})
	cancel()
	<-done

	// Not everybody speaks Bitswap.
	mute := newTestHost(t)
	(&source{host: mute}).connect(t, n)
	eventually(t, "it is connected", func() bool { return len(n.host.Network().Peers()) == 3 })
	late := newSource(t)
	late.connect(t, n)
	expect(seen{late.host.ID().String(), true})
}
