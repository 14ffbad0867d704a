package exchange

import (
	"testing"
	"testing/synctest"
	"time"
)

// A source that falls silent is a stall once it goes on, and a gap already while
// it is silent; waiting for somebody who has a block is neither.
func TestStalls(t *testing.T) {
	all := someBlocks(60, 100)
	bubble(t, Config{}, func(t *testing.T, n *fakeNet) {
		s := n.x.NewSession("", nil)
		defer s.Close()
		s.Ask(all[0].Cid())
		time.Sleep(time.Hour) // nobody has it
		p := n.peer("peer", all...).connect()
		synctest.Wait()
		get(t, s, all[:20], time.Minute)
		if st := n.x.Stats(); st.Stalls != 0 || st.Gap >= lostAfter || st.Wants != 0 {
			t.Errorf("before: %+v", st)
		}
		p.mu.Lock()
		p.mute = true
		p.mu.Unlock()
		s.Ask(all[20].Cid())
		time.Sleep(20 * time.Second)
		if st := n.x.Stats(); st.Gap < 19*time.Second || st.Wants != 1 {
			t.Errorf("while it is silent: %+v", st)
		}
		p.mu.Lock()
		p.mute = false
		p.mu.Unlock()
		get(t, s, all[20:21], 2*time.Minute)
		st := n.x.Stats()
		if st.Stalls != 1 || st.Again == 0 || st.Gap < 20*time.Second {
			t.Errorf("after: %+v", st)
		}
		get(t, s, all[21:], time.Minute)
		if again := n.x.Stats(); again.Stalls != 1 || again.Blocks != uint64(len(all)) {
			t.Errorf("at the end: %+v", again)
		}
		time.Sleep(3 * recentSpan)
		if st := n.x.Stats(); st.Gap != 0 {
			t.Errorf("of late there was a gap of %v", st.Gap)
		}
	})
}

func TestRecentMax(t *testing.T) {
	var r recentMax
	now := time.Unix(1_000_000, 0)
	step := func(d time.Duration) { now = now.Add(d) }
	expect := func(want time.Duration) {
		t.Helper()
		if got := r.get(now); got != want {
			t.Errorf("at %v it is %v, want %v", now.Unix(), got, want)
		}
	}
	expect(0)
	r.note(5*time.Second, now)
	r.note(2*time.Second, now)
	expect(5 * time.Second)
	step(recentSpan)
	r.note(3*time.Second, now)
	expect(5 * time.Second) // still of late
	step(recentSpan)
	expect(3 * time.Second)
	step(3 * recentSpan)
	expect(0)
}
