package turns

import (
	"fmt"
	"testing"
	"time"
)

// take takes all jobs that wait, one after the other, and returns their keys.
func take(t *Turns, k Kind) (keys []string) {
	for j := t.first(k); j != nil; j = t.first(k) {
		j.state = Running
		keys = append(keys, j.Key)
	}
	return keys
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// A queue is served from both ends, and what is spilled is what lies between them.
func TestQueue(t *testing.T) {
	const window = 3
	tu := New(Config{Places: 1, Window: window})
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	var spilled []string
	places := make(map[int]uint64)
	for n := range 10 {
		place, out := tu.Push(&Job{Key: fmt.Sprint(n), Account: "a"}, "a")
		places[n] = place
		for _, j := range out {
			spilled = append(spilled, j.Key)
			tu.Forget(j)
			tu.SpillUntried("a", at(len(spilled)-1))
		}
	}
	equal(t, "spilled", spilled, []int{0, 1, 2, 3, 4, 5, 6})
	some, others := tu.OnDisk("a")
	equal(t, "on disk", some, true)
	equal(t, "in memory", others, window)
	if j := tu.first(Oldest); j != nil {
		t.Errorf("%s is taken for the oldest while those before it are on disk", j.Key)
	}
	n, newest := tu.Position("a", places[8])
	equal(t, "position", n, 2)
	equal(t, "counted from the newest", newest, true)
	equal(t, "to read", tu.ToRead(), []string{"a"})
	tail, limit := tu.BeginRead("a")
	equal(t, "limit", limit, window)
	if !tail.Before(at(0)) {
		t.Errorf("the reading begins after %v", tail)
	}
	equal(t, "to read while it is read", len(tu.ToRead()), 0)
	for n := range window {
		places[n] = tu.PushOld(&Job{Key: fmt.Sprint(n), Account: "a"}, "a")
	}
	tu.EndRead("a", at(2), true)
	n, newest = tu.Position("a", places[1])
	equal(t, "position", n, 2)
	equal(t, "counted from the newest", newest, false)
	equal(t, "the newest", take(tu, Newest), []int{9, 8, 7})
	equal(t, "the oldest", take(tu, Oldest), []int{0, 1, 2})
	tail, _ = tu.BeginRead("a")
	equal(t, "tail", tail, at(2))
	tu.SpillUntried("a", at(20)) // one is left on disk meanwhile
	tu.EndRead("a", at(6), false)
	tail, _ = tu.BeginRead("a")
	if !tail.Before(at(20)) || tail.Before(at(6)) {
		t.Errorf("the next reading begins after %v", tail)
	}
	tu.EndRead("a", at(20), false)
	equal(t, "queues in the end", len(tu.queues), 0)
	if n, _ := tu.Position("a", places[1]); n != 0 {
		t.Errorf("position %d of what is gone", n)
	}
}

// A queue that is all in memory is served in order from both ends, each job once.
func TestShortQueue(t *testing.T) {
	tu := New(Config{Places: 1, Window: 100})
	for n := range 5 {
		tu.Push(&Job{Key: fmt.Sprint(n), Account: "a"}, "a")
	}
	var got []string
	for _, k := range []Kind{Oldest, Newest, Oldest, Newest, Oldest} {
		j := tu.first(k)
		j.state = Running
		got = append(got, j.Key)
	}
	equal(t, "served", got, []int{0, 4, 1, 3, 2})
	equal(t, "left", len(take(tu, Oldest))+len(take(tu, Newest)), 0)
	equal(t, "queues in the end", len(tu.queues), 0)
	tu.Push(&Job{Key: "again", Account: "a"}, "a")
	equal(t, "an account that comes back", take(tu, Oldest), []string{"again"})
}

// Accounts divide the window among themselves.
func TestManyQueues(t *testing.T) {
	const accounts, window = 100, 1000
	tu := New(Config{Places: 1, Window: window})
	spilled := 0
	for n := range 200 {
		for a := range accounts {
			account := fmt.Sprint(a)
			_, out := tu.Push(&Job{Key: fmt.Sprint(a, n), Account: account}, account)
			for _, j := range out {
				tu.Forget(j)
				tu.SpillUntried(j.Account, time.Unix(int64(n), 0))
				spilled++
			}
		}
	}
	equal(t, "in memory", accounts*200-spilled, accounts*minQueue)
}

// While requests come faster than they have their turns, each is read from disk about once: not those that are in
// memory, and not a few at a time.
func TestFloodIsReadOnce(t *testing.T) {
	const window, n = 100, 5000
	tu := New(Config{Places: 1, Window: window})
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	made := 0                      // all were created in order, so the disk has 0 to made-1
	inMemory := make(map[int]*Job) // that wait
	push := func() {
		j := &Job{Key: fmt.Sprint(made), Account: "a"}
		inMemory[made] = j
		made++
		_, out := tu.Push(j, "a")
		for _, o := range out {
			var i int
			fmt.Sscan(o.Key, &i)
			delete(inMemory, i)
			tu.Forget(o)
			tu.SpillUntried("a", at(i))
		}
	}
	begun := make(map[int]bool)
	loads, reads := 0, 0
	read := func() {
		for range tu.ToRead() {
			tail, limit := tu.BeginRead("a")
			reads++
			found, last := 0, tail
			for i := 0; i < made && found < limit; i++ {
				if begun[i] || !at(i).After(tail) {
					continue
				}
				found++
				loads++
				last = at(i)
				if inMemory[i] == nil {
					inMemory[i] = &Job{Key: fmt.Sprint(i), Account: "a"}
					tu.PushOld(inMemory[i], "a")
				}
			}
			tu.EndRead("a", last, found == limit)
		}
	}
	begin := func(k Kind) bool {
		j := tu.first(k)
		if j == nil {
			return false
		}
		j.state = Running
		var i int
		fmt.Sscan(j.Key, &i)
		if begun[i] {
			t.Fatalf("%d has two first turns", i)
		}
		begun[i] = true
		delete(inMemory, i)
		return true
	}
	for made < n { // four come for each that begins
		for range 4 {
			push()
		}
		begin([]Kind{Oldest, Oldest, Newest}[made/4%3])
		read()
	}
	flood := loads
	for read(); begin(Oldest) || begin(Newest) || len(tu.ToRead()) > 0; {
		read()
	}
	equal(t, "that had a turn", len(begun), n)
	if flood > n/4 || loads > n+2*window {
		t.Errorf("in %d readings %d requests are read, %d of them during the flood", reads, loads, flood)
	}
}
