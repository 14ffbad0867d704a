package exchange

import (
	"testing"
	"testing/synctest"
	"time"
)

// Of pins that all get a large first block at the same time, and wait for a worker, few have
// it in memory. All get theirs in the end, and who has a worker is not held up.
func TestManyFirstBlocks(t *testing.T) {
	const size = 3 << 20
	roots := someBlocks(40, size)
	more := someBlocks(200, 1000)
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		n.peer("source", append(roots, more...)...).connect()
		running := n.x.NewSession("running", nil)
		defer running.Close()
		get(t, running, more[:100], time.Minute)
		var waiting []*Session
		for _, b := range roots {
			s := n.x.NewSession(b.Cid().String(), nil)
			defer s.Close()
			s.Ask(b.Cid())
			waiting = append(waiting, s)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		n.x.mu.Lock()
		first := n.x.first
		n.x.mu.Unlock()
		if first < firstMost/2 || first > firstMost {
			t.Errorf("%d bytes wait, want %d at most", first, firstMost)
		}
		if took := get(t, running, more[100:], time.Minute); took > time.Second {
			t.Errorf("the one that has a worker took %v", took)
		}
		came := 0
		for range 100 {
			for _, s := range waiting { // one worker after the other
				if s.Has() {
					came += len(s.Take())
				}
			}
			time.Sleep(time.Second)
		}
		if came != len(roots) {
			t.Errorf("%d of %d came", came, len(roots))
		}
		n.x.mu.Lock()
		defer n.x.mu.Unlock()
		if n.x.first != 0 {
			t.Errorf("%d bytes still count", n.x.first)
		}
	})
}
