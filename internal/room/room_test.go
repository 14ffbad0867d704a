package room

import (
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// Calls have together what the room has, and those of one client their part. Small ones always have theirs.
func TestRoomIsShared(t *testing.T) {
	r := New(10<<20, 6<<20)
	grow := func(s *Share, mib int64, want error) {
		t.Helper()
		if err := s.Grow(mib << 20); !errors.Is(err, want) {
			t.Errorf("%d MiB more: %v", mib, err)
		}
	}
	a, b, c := r.Share("a"), r.Share("a"), r.Share("c")
	grow(a, 4, nil)
	grow(b, 3, ErrFull) // the client has 6 MiB
	grow(b, 2, nil)
	grow(c, 5, ErrFull) // the room has 10 MiB
	grow(c, 4, nil)
	small := r.Share("a")
	if err := small.Grow(free); err != nil {
		t.Errorf("a small call: %v", err)
	}
	grow(a, -3, nil)
	grow(b, 2, nil)
	for _, s := range []*Share{a, b, c, small, c} {
		s.Close()
	}
	if r.used != 0 || len(r.of) != 0 {
		t.Errorf("%d bytes are left, of %v", r.used, r.of)
	}
	var none *Room
	grow(none.Share("a"), 1<<20, nil)
}

// Who needs much waits, in the order of coming, and not for long. One that waits for its own client keeps
// nobody else.
func TestRoomIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(10<<20, 6<<20)
		need := func(who string, bytes int64) (*Share, chan error) {
			s, done := r.Share(who), make(chan error, 1)
			go func() { done <- s.Need(t.Context(), bytes+free) }()
			synctest.Wait()
			return s, done
		}
		waits := func(done chan error) {
			t.Helper()
			synctest.Wait()
			if len(done) != 0 {
				t.Errorf("it does not wait: %v", <-done)
			}
		}
		has := func(done chan error) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			default:
				t.Error("it waits")
			}
		}
		a, first := need("a", 100<<20) // as much as a client may have
		has(first)
		_, own := need("a", 1<<20)
		waits(own)
		b, second := need("b", 4<<20)
		has(second)
		c, large := need("c", 5<<20)
		waits(large)
		d, behind := need("d", 1<<20)
		waits(behind)
		b.Close()
		waits(large)
		waits(behind) // it came later
		a.Close()
		has(large)
		has(behind)
		has(own)
		c.Close()
		d.Close()
		e, all := need("e", 6<<20)
		has(all)
		f, more := need("f", 6<<20)
		start := time.Now()
		if err := <-more; !errors.Is(err, ErrFull) || time.Since(start) != maxWait {
			t.Errorf("it waits %v, then %v", time.Since(start), err)
		}
		e.Close()
		f.Close()
		if r.used != 1<<20 || len(r.queue) != 0 {
			t.Errorf("%d bytes are left, and %d wait", r.used, len(r.queue))
		}
	})
}

// Nodes that are read count as long as they are held.
func TestNodesThatAreHeld(t *testing.T) {
	r := New(64<<20, 64<<20)
	s := r.Share("a")
	nodes := NewNodes(s, 16<<20)
	for range 200 {
		if err := nodes.Open(Gone(new([1 << 20]byte)), 1<<20, 1); err != nil {
			t.Fatal("nodes that are not held: ", err)
		}
	}
	var held [][]byte
	var err error
	for range 20 {
		data := make([]byte, 1<<20)
		held = append(held, data)
		if err = nodes.Open(Gone(&data[0]), len(data), 1); err != nil {
			break
		}
	}
	if _, ok := errors.AsType[*TooDeepError](err); !ok || len(held) < 15 {
		t.Errorf("%d MiB may be held: %v", len(held), err)
	}
	other := NewNodes(r.Share("a"), 100<<20)
	for err = nil; err == nil; err = other.Open(Gone(&held[len(held)-1][0]), 1<<20, 1) {
		held = append(held, make([]byte, 1<<20))
	}
	if !errors.Is(err, ErrFull) || len(held) < 60 || len(held) > 70 {
		t.Errorf("calls hold %d MiB together: %v", len(held), err)
	}
	runtime.KeepAlive(held)
	s.Close()
}
