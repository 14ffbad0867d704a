package turns

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// A look at many parked jobs costs time by those that are due.
func TestLookCostsWhatIsDue(t *testing.T) {
	const n = 20_000
	tu := New(Config{Places: 512, Window: n, Slice: time.Second, IdleSlice: time.Minute})
	now := time.Unix(1e9, 0)
	for i := range tu.cfg.Places { // so that no more are started
		tu.Start(&Job{Key: fmt.Sprint("runs ", i)}, Oldest, now)
	}
	for i := range n {
		j := &Job{Key: fmt.Sprint(i), Account: "a"}
		tu.Keep(j)
		tu.Park(j, Parking{NextTry: now.Add(time.Duration(i-3) * time.Second), Ends: now.Add(time.Hour)})
	}
	looks := 0
	for _, a := range []*dueQueue{tu.parked.tries, tu.parked.ends} {
		at := a.at
		a.at = func(j *Job) time.Time {
			looks++
			return at(j)
		}
	}
	tu.Late(now)
	tu.Next(now)
	tu.Evict(now, math.MaxInt, func(j *Job) Activity { return Activity{Since: now} })
	if looks > 20 {
		t.Errorf("a look at %d parked jobs of which 4 are due looks at %d", n, looks)
	}
	if due := tu.parked.tries.countDue(now, n); due != 4 {
		t.Errorf("%d are due, want 4", due)
	}
	if due := tu.parked.tries.countDue(now.Add(time.Hour), 100); due != 100 {
		t.Errorf("%d are due, want as many as are asked for", due)
	}
	if j := tu.Late(now.Add(time.Hour)); j == nil {
		t.Error("none is late when its end has come")
	}
}

// One account's parked jobs leave room for those of others.
func TestParkedRoom(t *testing.T) {
	const window = 100
	tu := New(Config{Places: 1, Window: window})
	fill := func(account string) (kept []*Job) {
		for range 2 * window {
			if j := (&Job{Account: account}); tu.Keep(j) {
				kept = append(kept, j)
			}
		}
		return kept
	}
	first := fill("0")
	for i := range 5 {
		want := window
		if i+1 >= keptWindows {
			want = minKept
		}
		if n := len(fill(fmt.Sprint(i + 1))); n != want {
			t.Errorf("account %d keeps %d, want %d", i+1, n, want)
		}
	}
	tu.SpillTried("0", time.Unix(1, 0))
	if len(first) != window || len(tu.ToRestore()) != 0 {
		t.Errorf("the first account keeps %d, and %v have room", len(first), tu.ToRestore())
	}
	for _, j := range first {
		tu.Forget(j)
	}
	if !tu.CanKeep("new") || tu.parked.keptAll != (keptWindows-1)*window+3*minKept {
		t.Errorf("%d are kept in the end", tu.parked.keptAll)
	}
	if got := tu.ToRestore(); len(got) != 1 || got[0] != "0" {
		t.Errorf("%v have room, want the first account", got)
	}
}

// Spilled requests that have had a turn are read round by round, also those that are
// spilled meanwhile.
func TestRounds(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	tu := New(Config{Places: 1, Window: 10})
	for n := range 3 {
		tu.SpillTried("a", at(n))
	}
	tail, _ := tu.BeginRound("a")
	equal(t, "a round begins at the start", tail.IsZero(), true)
	tu.SpillTried("a", at(0)) // while it is read
	tu.EndRound("a", at(1), true)
	tail, _ = tu.BeginRound("a")
	equal(t, "it goes on", tail, at(1))
	tu.EndRound("a", at(2), false)
	equal(t, "there is another round", tu.HasSpilled("a"), true)
	tail, _ = tu.BeginRound("a")
	equal(t, "which begins at the start", tail.IsZero(), true)
	tu.EndRound("a", at(2), false)
	equal(t, "and is the last", tu.HasSpilled("a"), false)
	equal(t, "queues in the end", len(tu.queues), 0)
}

// A peer that connects wakes the jobs that name it, and some others, by the places.
func TestPeerCame(t *testing.T) {
	now := time.Unix(1e9, 0)
	tu := New(Config{Places: 8, Window: 100})
	for n := range 10 {
		tu.Park(&Job{Key: fmt.Sprint(n)}, Parking{NextTry: now.Add(time.Duration(10-n) * time.Minute)})
	}
	tu.Park(&Job{Key: "names it"}, Parking{NextTry: now.Add(time.Hour), Peers: []string{"peer"}})
	woken := func() (keys []string) {
		for j := tu.nextWoken(); j != nil; j = tu.nextWoken() {
			tu.Start(j, Again, now)
			keys = append(keys, j.Key)
		}
		return keys
	}
	tu.PeerCame("peer", true, now)
	equal(t, "woken", woken(), []string{"names it", "9", "8"})
	tu.PeerCame("other", true, now.Add(wakeInterval-1))
	equal(t, "woken soon after", len(woken()), 0)
	tu.PeerCame("other", false, now.Add(wakeInterval))
	equal(t, "woken by who was dialled", len(woken()), 0)
	tu.PeerCame("other", true, now.Add(wakeInterval))
	equal(t, "woken later", woken(), []string{"7", "6"})
}

// Of the jobs that wait for disk space one is tried at first, then ever more, until one finds
// the disk full again.
func TestRoom(t *testing.T) {
	now := time.Unix(1e9, 0)
	tu := New(Config{Places: 100, Window: 1000})
	for n := range 20 {
		tu.Park(&Job{Key: fmt.Sprint(n)}, Parking{NextTry: now.Add(time.Hour), Blocked: true, Needs: 5})
	}
	if _, ask := tu.AskForSpace(); ask {
		t.Error("room is asked for before any job found none")
	}
	tu.DiskFull()
	for _, want := range []int{1, 2, 4} {
		needs, ask := tu.AskForSpace()
		if _, again := tu.AskForSpace(); !ask || again || needs != 5 {
			t.Errorf("asked for room for %d: %v, and meanwhile %v", needs, ask, again)
		}
		tu.SpaceIs(needs, true)
		got := 0
		for j := tu.nextWoken(); j != nil; j = tu.nextWoken() {
			tu.Start(j, Again, now)
			got++
		}
		equal(t, "woken", got, want)
	}
	needs, _ := tu.AskForSpace()
	tu.SpaceIs(needs, false)
	equal(t, "woken without room", tu.nextWoken() == nil, true)
	equal(t, "blocked", tu.Blocked(), 13)
}
