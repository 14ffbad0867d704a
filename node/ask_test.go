package node

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/exchange"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// fakeClient answers wants after a while, or never.
type fakeClient struct {
	t      *testing.T
	answer func(s *fakeSession, c cid.Cid) bool // if and when it is false, the want is lost
	have   map[cid.Cid]blocks.Block
	after  time.Duration // to an answer
	linger time.Duration // from a cancel until it is effective

	mu       sync.Mutex
	sessions int
	wanted   map[cid.Cid]int // open, by want
	asked    map[cid.Cid]int // ever
}

type fakeSession struct {
	*fakeClient
	number int // from 1
	ctx    context.Context
}

func newFakeClient(t *testing.T, have []blocks.Block) *fakeClient {
	c := &fakeClient{
		t:      t,
		answer: func(*fakeSession, cid.Cid) bool { return true },
		have:   make(map[cid.Cid]blocks.Block),
		after:  20 * time.Millisecond,
		linger: 10 * time.Millisecond,
		wanted: make(map[cid.Cid]int),
		asked:  make(map[cid.Cid]int),
	}
	for _, b := range have {
		c.have[b.Cid()] = b
	}
	return c
}

func (c *fakeClient) NewSession(ctx context.Context) exchange.Fetcher {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions++
	return &fakeSession{c, c.sessions, ctx}
}

func (c *fakeClient) GetWantlist() []cid.Cid {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []cid.Cid
	for k, n := range c.wanted {
		if n > 0 {
			out = append(out, k)
		}
	}
	return out
}

func (s *fakeSession) GetBlock(context.Context, cid.Cid) (blocks.Block, error) { panic("not used") }

func (s *fakeSession) GetBlocks(ctx context.Context, keys []cid.Cid) (<-chan blocks.Block, error) {
	out := make(chan blocks.Block, len(keys))
	s.mu.Lock()
	var come []blocks.Block
	for _, k := range keys {
		if s.wanted[k] > 0 {
			s.t.Errorf("%s is asked for while it is still wanted", k)
		}
		s.wanted[k]++
		s.asked[k]++
		if s.answer(s, k) {
			come = append(come, s.have[k])
		}
	}
	s.mu.Unlock()
	go func() {
		defer close(out)
		select {
		case <-time.After(s.after):
			for _, b := range come {
				out <- b
			}
			if len(come) == len(keys) {
				s.done(keys)
				return
			}
			s.done(cids(come))
			select {
			case <-ctx.Done():
			case <-s.ctx.Done():
			}
		case <-ctx.Done():
			come = nil
		case <-s.ctx.Done():
			come = nil
		}
		time.Sleep(s.linger)
		s.done(slices.DeleteFunc(slices.Clone(keys), func(k cid.Cid) bool {
			return slices.ContainsFunc(come, func(b blocks.Block) bool { return b.Cid() == k })
		}))
	}()
	return out, nil
}

func (s *fakeSession) done(keys []cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		s.wanted[k]--
	}
}

// drive asks for all blocks as the walk does, and gives how long it took.
func drive(t *testing.T, client *fakeClient, all []blocks.Block) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := newAsker(ctx, client, new(shares))
	began, next, got := time.Now(), 0, 0
	for got < len(all) {
		a.renew(time.Now())
		for _, w := range a.recalled() {
			a.again(w)
		}
		if a.wanting() {
			for ; next < len(all) && a.room() > 0; next++ {
				c := all[next].Cid()
				a.want(&want{cid: c, key: string(c.Hash())})
			}
		}
		a.send()
		if a.counting() > windowMax+lostAside {
			t.Fatalf("%d wants are open", a.counting())
		}
		select {
		case b := <-a.in:
			if a.take(b.block, time.Now()) == nil {
				t.Errorf("%s came twice", b.block.Cid())
			} else {
				got++
			}
		case <-time.After(tick):
		}
		if time.Since(began) > time.Hour {
			t.Fatalf("%d of %d blocks came", got, len(all))
		}
	}
	took := time.Since(began)
	if !a.empty() || a.open != 0 || a.aside != 0 || len(a.requests) != 0 {
		t.Errorf("left over: %d wants, %d open, %d aside, %d requests", len(a.wants), a.open, a.aside, len(a.requests))
	}
	cancel()
	a.stop()
	return took
}

func TestAskerWidensItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := leaves(5000, 10)
		client := newFakeClient(t, all)
		// 16 a round are 313 rounds; doubling to 448 they are about 16.
		if took := drive(t, client, all); took > 40*client.after {
			t.Errorf("it took %v", took)
		}
		if client.sessions != 1 {
			t.Errorf("%d sessions", client.sessions)
		}
	})
}

func TestAskerFindsLostWantsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := leaves(20000, 10)
		client := newFakeClient(t, all)
		lost := 0
		client.answer = func(s *fakeSession, c cid.Cid) bool {
			if s.number == 1 && client.asked[c] == 1 && c.Hash()[10]%37 == 0 {
				lost++
				return false
			}
			return true
		}
		took := drive(t, client, all)
		if lost < 100 {
			t.Fatalf("only %d were lost", lost)
		}
		if took > 10*time.Second {
			t.Errorf("it took %v with %d lost", took, lost)
		}
		for c, n := range client.asked {
			if n > 3 {
				t.Errorf("%s was asked for %d times", c, n)
			}
		}
	})
}

// A session that has lost its peer answers nothing any more, the next one does.
func TestAskerRenewsASilentSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := leaves(3000, 10)
		client := newFakeClient(t, all)
		n := 0
		client.answer = func(s *fakeSession, _ cid.Cid) bool {
			n++
			return s.number > 1 || n < 1000
		}
		if took := drive(t, client, all); took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// While nobody answers, the asking gets rare, and it goes on.
func TestAskerIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := leaves(100, 10)
		client := newFakeClient(t, all)
		began := time.Now()
		client.answer = func(*fakeSession, cid.Cid) bool {
			gone := time.Since(began)
			return gone < 50*time.Millisecond || gone > 10*time.Minute
		}
		drive(t, client, all)
		for c, n := range client.asked {
			if n > 30 {
				t.Errorf("%s was asked for %d times in ten minutes", c, n)
			}
		}
	})
}

// One root that nobody has is asked for about once a minute.
func TestAskerSeeks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := leaves(1, 10)
		client := newFakeClient(t, all)
		began := time.Now()
		client.answer = func(*fakeSession, cid.Cid) bool { return time.Since(began) > 20*time.Minute }
		took := drive(t, client, all)
		if n := client.asked[all[0].Cid()]; n < 5 || n > 25 || took > 25*time.Minute {
			t.Errorf("asked %d times in %v", n, took)
		}
	})
}

func TestAskerDoesNotBlameTheNetworkForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := leaves(10, 10)
		client := newFakeClient(t, all)
		ctx, cancel := context.WithCancel(t.Context())
		a := newAsker(ctx, client, new(shares))
		for _, b := range all {
			a.want(&want{cid: b.Cid(), key: string(b.Cid().Hash())})
		}
		a.send()
		a.take((<-a.in).block, time.Now())
		began := time.Now()
		time.Sleep(time.Minute) // the walk waits for a worker
		a.pause(time.Since(began))
		for range all[1:] {
			a.renew(time.Now())
			for _, w := range a.recalled() {
				a.again(w)
			}
			if a.take((<-a.in).block, time.Now()) == nil {
				t.Fatal("it was not wanted any more")
			}
		}
		if client.sessions != 1 {
			t.Errorf("%d sessions", client.sessions)
		}
		cancel()
		a.stop()
	})
}

func TestWindow(t *testing.T) {
	s := new(shares)
	w := newWindow()
	if got := w.size(s); got != windowMin {
		t.Fatalf("it begins at %d", got)
	}
	for range 10000 {
		w.answered(30*time.Millisecond, 4096, w.size(s)-1)
	}
	if got := w.size(s); got != windowMax {
		t.Errorf("with quick answers it is %d", got)
	}
	s.add(true)
	s.add(true)
	if got := w.size(s); got != windowMax/2 {
		t.Errorf("shared by two it is %d", got)
	}
	s.add(false)
	for range 200 {
		w.answered(30*time.Millisecond, 1<<20, w.size(s)-1)
	}
	if got := w.size(s); got < 60 || got > 66 {
		t.Errorf("with blocks of 1 MiB it is %d", got)
	}
	for range 10000 {
		w.answered(5*time.Second, 4096, w.size(s)-1)
	}
	if got := w.size(s); got != windowMin {
		t.Errorf("with late answers it is %d", got)
	}
	unused := newWindow()
	for range 1000 {
		unused.answered(30*time.Millisecond, 4096, 1)
	}
	if unused.wide != windowMin {
		t.Errorf("unused it widened to %d", unused.wide)
	}
}
