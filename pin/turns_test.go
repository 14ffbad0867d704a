package pin_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// A long queue is on disk except for its ends, and is served from both.
func TestLongQueue(t *testing.T) {
	run(t, pin.Config{Workers: 1, Seekers: 1, Window: 10}, func(r *rig) {
		var vs []pin.View
		for n := range 100 {
			r.net.set(dag(n), content{blocks: 1, delay: time.Second})
			vs = append(vs, r.add(alice, n))
			synctest.Wait()
		}
		// The first is done, and the newest is under way.
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		for i, want := range map[int]string{
			4:  "queue position: 4, counted from the oldest of the account's pins that wait for their first try",
			97: "queue position: 2, counted from the newest of the account's pins that wait for their first try",
			60: "queued, with more than ",
		} {
			if got := r.get(vs[i]).Info["status_details"]; !strings.HasPrefix(got, want) {
				t.Errorf("status_details of number %d: %q, want %q", i, got, want)
			}
		}
		if err := r.Remove(t.Context(), alice, vs[50].ID); err != nil {
			t.Fatal(err)
		}
		r.net.set(dag(200), content{blocks: 1, delay: time.Second})
		other := r.add(bob, 200)
		r.after(5*time.Second, other, pin.Pinned)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := slices.DeleteFunc(r.net.completed(), func(d pin.DAG) bool { return d == dag(200) })
		if len(got) != 99 || slices.Contains(got, dag(50)) {
			t.Errorf("%d were completed, want 99", len(got))
		}
		// Of six, five are the oldest that are left, and the sixth is the newest as long as one is
		// in memory.
		next, last, oldest := 0, 99, 0
		for i, d := range got {
			if next == 50 {
				next++
			}
			switch d {
			case dag(next):
				next++
				oldest++
			case dag(last):
				last--
			default:
				t.Fatalf("number %d of those that were completed is neither the oldest nor the newest that was left", i)
			}
			// Ten of the newest are in memory.
			if want := 5 * (i + 1) / 6; last > 89 && (oldest < want-2 || oldest > want+2) {
				t.Fatalf("of the first %d that were completed %d are the oldest, want some %d", i+1, oldest, want)
			}
		}
	})
}

// A live pin behind many dead ones, of its own account and of others, is pinned at once. The
// dead ones are tried once each, a thousand a second.
func TestLiveBehindDead(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		const dead = 1500
		r.net.answers = 200 * time.Millisecond
		for n := range dead {
			r.add([]string{alice, bob}[n%2], n)
		}
		r.net.set(dag(dead), content{blocks: 3})
		r.after(time.Second, r.add(alice, dead), pin.Pinned)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for n := range dead {
			if r.net.fetches(dag(n)) == 0 {
				t.Fatalf("number %d had no try", n)
			}
		}
		// They are tried again, and so is one that a peer has by now. 512 have a place at once,
		// for 20 s, so that all of them have had one after three times 20 s.
		r.net.set(dag(7), content{blocks: 3})
		time.Sleep(70 * time.Second)
		synctest.Wait()
		if got := r.net.completed(); len(got) != 2 || got[1] != dag(7) {
			t.Errorf("%d were completed, want the live one and the one that is live by now", len(got))
		}
	})
}

// The last request before a restart is tried at once after it, whether it was queued or
// pinning.
func TestRestartBehindDead(t *testing.T) {
	run(t, pin.Config{Seekers: 4, Window: 10}, func(r *rig) {
		r.Close()
		var lives []pin.Request
		add := func(n int) pin.Request {
			q, err := r.recs.Add(t.Context(), alice, pintest.DAGSpec(n))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			return q
		}
		for status, first := range map[pin.Status]int{pin.Pinning: 0, pin.Queued: 1000} {
			for n := range 300 {
				q := add(first + n)
				if n == 299 {
					r.net.set(q.DAG(), content{blocks: 2})
					lives = append(lives, q)
				}
				if status != pin.Pinning {
					continue
				}
				if _, _, err := r.recs.Begin(t.Context(), q.DAG()); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.start()
		for _, q := range lives {
			r.after(8*time.Second, pin.View{Request: q}, pin.Pinned)
		}
	})
}

// A DAG whose last blocks are being written keeps its place, however long the disk takes. It holds no worker
// meanwhile.
func TestPlaceWhileTheDiskWrites(t *testing.T) {
	run(t, pin.Config{Seekers: 4, Workers: 1}, func(r *rig) {
		r.net.answers = 200 * time.Millisecond
		r.net.set(dag(0), content{blocks: 1, writes: 20 * time.Second})
		slow := r.add(alice, 0)
		r.net.set(dag(1), content{blocks: 1})
		for n := range 100 {
			r.add(alice, 2+n)
		}
		r.after(3*time.Second, r.add(alice, 1), pin.Pinned)
		r.after(20*time.Second, slow, pin.Pinned)
		if n := r.net.fetches(dag(0)); n != 1 {
			t.Errorf("%d tries of what was being written", n)
		}
	})
}

// A DAG whose last blocks are being written is at work for that long: it neither fails for want of blocks, nor
// gives way to a full disk, nor counts as one that nobody has.
func TestTheDiskWritesForLong(t *testing.T) {
	for name, cfg := range map[string]pin.Config{
		"kept for days":     {},
		"kept for a minute": {StallTimeout: time.Minute, KeepPartial: -1},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, cfg, func(r *rig) {
				r.net.set(dag(0), content{blocks: 10, writes: 5 * time.Minute})
				v := r.after(30*time.Second, r.add(alice, 0), pin.Pinning)
				if d, until := v.Info["status_details"], v.Info["waits_until"]; !strings.Contains(d, "written") || until != "" {
					t.Errorf("status_details %q, waits_until %q", d, until)
				}
				r.reaches("what is being written", 0, pin.ReachesOn)
				if s := r.Stats(); s.Fetching != 1 || s.Seeking != 0 {
					t.Errorf("while it is written the stats are %+v", s)
				}
				r.recs.SetFault(func(m string) error {
					if m == "Room" {
						return &pin.DiskFullError{Kept: 1}
					}
					return nil
				})
				r.after(3*time.Minute, v, pin.Pinning)
				r.recs.SetFault(nil)
				r.after(2*time.Minute, v, pin.Pinned)
				if n := r.net.fetches(dag(0)); n != 1 {
					t.Errorf("%d tries of what was being written", n)
				}
			})
		})
	}
}

// A peer that says it has the root is waited for longer than peers that have nothing.
func TestTurnOfWhoHasIt(t *testing.T) {
	run(t, pin.Config{Seekers: 4}, func(r *rig) {
		r.net.answers = 200 * time.Millisecond
		// A peer has it, and is slow to send it.
		r.net.set(dag(0), content{peers: 1})
		v := r.add(alice, 0)
		for n := range 100 {
			r.add(alice, 1+n)
		}
		time.Sleep(1500 * time.Millisecond)
		if n := r.net.fetches(dag(0)); n != 1 {
			t.Fatalf("%d tries of what somebody has", n)
		}
		r.net.set(dag(0), content{blocks: 1, peers: 1})
		r.after(100*time.Millisecond, v, pin.Pinned)
	})
}

// How long a turn is and how long the pause after it may become are settings: where a turn costs little, a DAG is
// looked at again soon, however often it gave its place to others.
func TestLengthOfTurns(t *testing.T) {
	const slice, pause = 10 * time.Second, 8 * time.Second
	run(t, pin.Config{Seekers: 1, Slice: slice, EvictedPause: pause}, func(r *rig) {
		r.add(alice, 0)
		synctest.Wait()
		r.add(alice, 1)
		time.Sleep(slice - time.Second)
		synctest.Wait()
		if r.net.fetches(dag(0)) != 1 || r.net.fetches(dag(1)) != 0 {
			t.Errorf("after %v there were %d and %d turns", slice-time.Second, r.net.fetches(dag(0)), r.net.fetches(dag(1)))
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if r.net.fetches(dag(1)) != 1 {
			t.Errorf("the second one has no turn")
		}
		const long = 20 * time.Minute // with pauses of up to 5 minutes there would be few turns
		time.Sleep(long)
		synctest.Wait()
		for n := range 2 {
			if got, want := r.net.fetches(dag(n)), int(long/time.Minute); got < want {
				t.Errorf("DAG %d had %d turns in %v, want %d", n, got, long, want)
			}
		}
	})
}
