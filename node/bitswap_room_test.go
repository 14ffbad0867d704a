package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	blocks "github.com/ipfs/go-block-format"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// far is a link: what is sent on it arrives after a delay, at a rate.
type far struct {
	delay time.Duration
	rate  int // bytes a second

	mu   sync.Mutex
	free time.Time // when the link is free
	sent int       // bytes that arrived
}

// pass sends bytes, and tells of each piece when it was acknowledged.
func (f *far) pass(n int, acked func(n int)) {
	f.mu.Lock()
	if now := time.Now(); f.free.Before(now) {
		f.free = now
	}
	at := f.free
	f.free = f.free.Add(f.takes(n))
	f.mu.Unlock()
	for ; n > 0; n -= writePiece {
		piece := min(n, writePiece)
		at = at.Add(f.takes(piece))
		time.Sleep(time.Until(at.Add(f.delay)))
		f.mu.Lock()
		f.sent += piece
		f.mu.Unlock()
		acked(piece)
	}
}

func (f *far) takes(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(f.rate)
}

func (f *far) arrived() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

func messageOf(bs ...blocks.Block) message.BitSwapMessage {
	m := message.New(false)
	for _, b := range bs {
		m.AddBlock(b)
	}
	return m
}

// read has a peer read blocks of a size for a while by a link, as the engine gives them: one
// message after the other.
func read(ctx context.Context, r *room, p peer.ID, b blocks.Block, f *far) {
	for ctx.Err() == nil {
		t, err := r.enter(ctx, p, messageOf(b))
		if err != nil {
			return
		}
		r.answered(p, f.delay)
		go func() {
			defer r.leave(t)
			f.pass(t.size, func(n int) { r.moved(t, n) })
		}()
	}
}

// left gives what is under way, and what waits.
func (r *room) left() (used, waits int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used, r.waits
}

// What is on its way to a peer fills its path, however long, and is not much more.
func TestWindowFollowsThePath(t *testing.T) {
	const MB = 1_000_000
	for _, test := range []struct {
		delay time.Duration
		rate  int
	}{
		{time.Millisecond, 100 * MB},
		{200 * time.Millisecond, 25 * MB},
		{600 * time.Millisecond, 10 * MB}, // a satellite
		{200 * time.Millisecond, 100_000},
		{20 * time.Millisecond, 12_500}, // a modem
	} {
		for _, size := range []int{messageSize, 1 << 20} {
			t.Run(fmt.Sprintf("%v, %d bytes/s, messages of %d", test.delay, test.rate, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRoom(Limits{Memory: 2 << 30}.withDefaults())
					b := dagtest.Leaves(1, size)[0]
					f := &far{delay: test.delay, rate: test.rate}
					ctx, cancel := context.WithCancel(t.Context())
					go read(ctx, r, "p", b, f)
					lead := max(5*time.Second, time.Duration(2*r.usual)*time.Second/time.Duration(test.rate)) // its path is not known at first
					time.Sleep(lead)
					before := f.arrived()
					const during = 100 * time.Second
					time.Sleep(during)
					if got, most := f.arrived()-before, test.rate*int(during/time.Second); got < most*9/10 {
						t.Errorf("%d bytes came, the link takes %d", got, most)
					}
					r.mu.Lock()
					used := r.paths["p"].used
					r.mu.Unlock()
					if most := max(windowLeast, size, min(r.usual, test.rate), 5*int(float64(test.rate)*test.delay.Seconds())/2); used > most+size {
						t.Errorf("%d bytes are on their way, want at most %d and a message", used, most)
					}
					cancel()
					time.Sleep(time.Hour) // until all of it has come
					r.sweep(time.Now())
					if used, waits := r.left(); used != 0 || waits != 0 || len(r.paths) != 0 {
						t.Errorf("%d bytes and %d turns are left", used, waits)
					}
				})
			})
		}
	}
}

// With a thousand slow readers the memory is bounded, and others get their blocks at once.
func TestRoomForManySlowReaders(t *testing.T) {
	for _, size := range []int{16 << 10, messageSize, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const slow = 1000
				l := Limits{Memory: 1 << 30, SendWorkers: 2 * slow}.withDefaults()
				r := newRoom(l)
				b := dagtest.Leaves(1, size)[0]
				ctx, cancel := context.WithCancel(t.Context())
				for i := range slow {
					go read(ctx, r, peer.ID(fmt.Sprint(i)), b, &far{delay: 100 * time.Millisecond, rate: 50_000})
				}
				most := 0
				longest := time.Duration(0)
				small := messageOf(dagtest.Leaves(1, 4<<10)...)
				for range 20 {
					time.Sleep(time.Second / 3)
					start := time.Now()
					turn, err := r.enter(t.Context(), "near", small)
					if err != nil {
						t.Fatal(err)
					}
					longest = max(longest, time.Since(start))
					r.leave(turn)
					r.mu.Lock()
					most = max(most, r.used)
					r.mu.Unlock()
				}
				if most > r.memory || most < r.memory/2 {
					t.Errorf("%d bytes of %d were used", most, r.memory)
				}
				if longest > time.Second {
					t.Errorf("another reader waited for %v", longest)
				}
				cancel()
				synctest.Wait()
				time.Sleep(time.Hour)
				if used, waits := r.left(); used != 0 || waits != 0 || r.crowded() {
					t.Errorf("%d bytes and %d turns are left", used, waits)
				}
			})
		})
	}
}

// What waits takes no memory if there is none, goes with what waits already if it is small, and
// has an end.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(Limits{Memory: 1, OutstandingBytes: 1 << 20, SendWorkers: 3}.withDefaults())
		all := dagtest.Leaves(40, 1<<20)
		var running []*turn
		enter := func(p peer.ID, b blocks.Block) *turn {
			t.Helper()
			turn, err := r.enter(t.Context(), p, messageOf(b))
			if err != nil || turn == nil {
				t.Fatal(turn, err)
			}
			return turn
		}
		for i := range r.memory/(2<<20) - 1 { // one for each of some peers; the rest is for what is quick
			running = append(running, enter(peer.ID(fmt.Sprint(i)), all[i]))
		}
		if r.crowded() {
			t.Error("it is crowded, and nobody waits")
		}
		ctx, cancel := context.WithCancel(t.Context())
		waits := func(ctx context.Context, p peer.ID, m message.BitSwapMessage) (turned chan *turn) {
			turned = make(chan *turn, 1)
			go func() {
				got, err := r.enter(ctx, p, m)
				if got == nil && err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				turned <- got
			}()
			synctest.Wait()
			return turned
		}
		m := messageOf(all[30])
		m.SetPendingBytes(7)
		late := waits(t.Context(), "late", m)
		if len(late) != 0 || !r.crowded() || len(m.Blocks()) != 0 {
			t.Errorf("with no memory left %d messages are under way, and one that waits has %d blocks", len(late), len(m.Blocks()))
		}
		gone := waits(ctx, "gone", messageOf(all[31]))
		cancel()
		if got := <-gone; got != nil {
			t.Error("a message is sent whose server is closed")
		}
		// A small one of a peer with something under way waits, and the next goes with it.
		a, b := message.New(false), message.New(false)
		a.AddHave(all[32].Cid())
		b.AddDontHave(all[33].Cid())
		small := waits(t.Context(), "0", a)
		if got, err := r.enter(t.Context(), "0", b); got != nil || err != nil {
			t.Errorf("the second waits by itself: %v", err)
		}
		r.leave(running[1])
		got := <-late
		if len(got.gone) != 1 || got.gone[0] != all[30].Cid() || m.PendingBytes() != 7 {
			t.Errorf("to be read again: %v; pending: %d", got.gone, m.PendingBytes())
		}
		r.leave(running[0])
		got = <-small
		if len(got.m.Haves()) != 1 || len(got.m.DontHaves()) != 1 {
			t.Errorf("of two messages %d and %d answers are sent", len(got.m.Haves()), len(got.m.DontHaves()))
		}
	})
}

// A peer that asks on and on, and takes nothing, does not take all workers.
func TestTurnsOfOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(Limits{}.withDefaults())
		big := dagtest.Leaves(1, messageSize)[0]
		var refused int
		for range 200 {
			go func() {
				if _, err := r.enter(t.Context(), "p", messageOf(big)); errors.Is(err, errTakesNothing) {
					refused++
				}
			}()
			synctest.Wait()
		}
		if r.waits != turnsMost || refused != 200-turnsMost-windowFirst/messageSize {
			t.Errorf("%d wait, and %d are refused", r.waits, refused)
		}
		if r.crowded() {
			t.Error("others have to wait")
		}
	})
}
