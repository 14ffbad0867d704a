package moving

import (
	"fmt"
	"strings"
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
