package moving

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// A source is not read further ahead than there is room for, and nothing of it is lost.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		big := map[string]string{"x": strings.Repeat("x", 1<<20)}
		const n = 2 * maxQueued >> 20
		added := 0
		go func() {
			for i := range n {
				q.add(Pin{CID: fmt.Sprint(i), Meta: big})
				added++
			}
			q.close()
		}()
		synctest.Wait()
		if added > maxQueued>>20+1 || added < maxQueued>>20-1 {
			t.Errorf("%d pins of a MiB are queued", added)
		}
		for i := range n {
			if p, ok := q.next(); !ok || p.CID != fmt.Sprint(i) {
				t.Fatalf("the next pin is %s, want %d", p.CID, i)
			}
		}
		if p, ok := q.next(); ok || q.size != 0 {
			t.Errorf("the queue has %s behind the last pin, and %d bytes", p.CID, q.size)
		}
	})
}

// Origins take room too. Those that the pins of a node share take it once.
func TestQueueCountsOrigins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := strings.Repeat("x", 1<<20)
		of := func() []string { return []string{big} }
		shared := of()
		for name, c := range map[string]struct {
			origins func() []string
			limit   int
		}{
			"of their own": {of, maxQueued>>20 + 1},
			"shared":       {func() []string { return shared }, 2 * maxQueued >> 20},
		} {
			q := newQueue()
			added := 0
			var adding sync.WaitGroup
			adding.Go(func() {
				for range 2 * maxQueued >> 20 {
					q.add(Pin{Origins: c.origins()})
					added++
				}
				q.close()
			})
			synctest.Wait()
			if added > c.limit || added < c.limit-2 {
				t.Errorf("%s: %d pins are queued, want %d", name, added, c.limit)
			}
			for _, ok := q.next(); ok; _, ok = q.next() {
			}
			adding.Wait()
			if q.size != 0 {
				t.Errorf("%s: an empty queue has %d bytes", name, q.size)
			}
		}
	})
}
