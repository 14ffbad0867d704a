package pin_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// half is a DAG of which 9 blocks of 10 came before its source went away.
var half = content{blocks: 10, serve: 9}

// A source that goes away for a night loses nothing: what came is kept, and the pin goes on
// by itself when the source is back, whether it has a place, is parked, is on disk alone, or
// the server was started anew.
func TestSourceIsAwayForANight(t *testing.T) {
	for name, c := range map[string]struct {
		cfg     pin.Config
		dead    int // others of the account, of which nothing ever comes
		partial int // others, of which something came
		restart bool
	}{
		"alone":   {},
		"parked":  {cfg: pin.Config{Seekers: 1}, dead: 3},
		"spilled": {cfg: pin.Config{Seekers: 2, Window: 8}, dead: 10, partial: 12},
		"restart": {cfg: pin.Config{Seekers: 2, Window: 4}, partial: 6, restart: true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, c.cfg, func(r *rig) {
				var kept, dead []pin.View
				for n := range 1 + c.partial {
					r.net.set(dag(n), half)
					kept = append(kept, r.add(alice, n))
					time.Sleep(time.Second)
				}
				for n := range c.dead {
					dead = append(dead, r.add(alice, 100+n))
				}
				time.Sleep(8 * time.Hour)
				if c.restart {
					r.Close()
					r.recs.Records = r.recs.Reopen()
					r.start()
					time.Sleep(time.Hour)
				}
				synctest.Wait()
				for _, v := range kept {
					v = r.after(0, v, pin.Pinning)
					if all, some := r.net.keeps(v.DAG()); all || !some {
						t.Errorf("of %s all is kept: %v, some: %v", v.CID, all, some)
					}
				}
				for _, v := range dead {
					r.after(0, v, pin.Failed)
				}
				for _, v := range kept {
					r.net.set(v.DAG(), content{blocks: 10})
				}
				time.Sleep(2 * time.Hour)
				for _, v := range kept {
					r.after(0, v, pin.Pinned)
				}
				if want := len(dead); r.dropped() != want {
					t.Errorf("%d attempts were dropped, want those of %d dead pins", r.dropped(), want)
				}
			})
		})
	}
}

// The user sees what is there, and until when it is kept.
func TestInfoOfWhatIsKept(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), half)
		began := time.Now()
		v := r.after(10*time.Hour, r.add(alice, 1), pin.Pinning)
		if v.Info["blocks"] != "9" || !strings.HasPrefix(v.Info["status_details"], "nothing received for 10h0m0s") {
			t.Errorf("info %v", v.Info)
		}
		if got, want := v.Info["waits_until"], began.Add(7*24*time.Hour).UTC().Format(time.RFC3339); got != want {
			t.Errorf("waits_until %q, want %q", got, want)
		}
		if st := r.Stats(); st.Kept != 1 || st.KeptBytes != 900 {
			t.Errorf("stats %+v", st)
		}
		r.net.set(dag(1), content{blocks: 10})
		r.after(time.Minute+time.Second, v, pin.Pinned)
		if st := r.Stats(); st.Kept != 0 || st.KeptBytes != 0 {
			t.Errorf("stats %+v when it is pinned", st)
		}
	})
}

// What is known of single blocks is shown while a pin waits, and in its failure, also if a
// later turn was too short to find it out again.
func TestBlocksThatAreMissingAreNamed(t *testing.T) {
	const trouble = "no connected peer has 2 of the blocks that are wanted now: bafy1, bafy2"
	for name, cfg := range map[string]pin.Config{
		"in a place": {StallTimeout: 75 * time.Second, KeepPartial: -1},
		"parked":     {StallTimeout: 75 * time.Second, KeepPartial: -1, Seekers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, cfg, func(r *rig) {
				c := half
				c.trouble = trouble
				r.net.set(dag(1), c)
				v := r.add(alice, 1)
				time.Sleep(time.Second)
				r.add(bob, 2)
				for range 3 {
					v = r.after(20*time.Second, v, pin.Pinning)
					if got := v.Info["status_details"]; !strings.Contains(got, trouble) {
						t.Errorf("status_details %q", got)
					}
				}
				v = r.after(40*time.Second, v, pin.Failed)
				if got, want := v.Info["status_details"], "no block was received for 1m15s, after 9 blocks; "+trouble; got != want {
					t.Errorf("status_details %q, want %q", got, want)
				}
			})
		})
	}
}

// What nobody sends for long enough fails, wherever it waits, and is let go of. A restart
// does not make the time begin anew, and what finds nothing does not either.
func TestKeptForLongEnough(t *testing.T) {
	const keep = 24 * time.Hour
	const trouble = "no connected peer has 2 of the blocks that are wanted now: bafy1, bafy2"
	for name, cfg := range map[string]pin.Config{
		"in a place": {KeepPartial: keep},
		"parked":     {KeepPartial: keep, Seekers: 1},
		"spilled":    {KeepPartial: keep, Seekers: 2, Window: 2},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, cfg, func(r *rig) {
				var vs []pin.View
				c := half
				c.trouble = trouble
				for n := range 8 {
					r.net.set(dag(n), c)
					vs = append(vs, r.add(alice, n))
				}
				time.Sleep(time.Hour)
				r.Close()
				r.recs.Records = r.recs.Reopen()
				r.start()
				for _, v := range vs {
					r.after(0, v, pin.Pinning)
				}
				time.Sleep(keep - 2*time.Hour)
				for _, v := range vs {
					r.after(0, v, pin.Pinning)
				}
				var heard []<-chan pin.Change
				for _, v := range vs {
					changed, end := r.Changed(v.DAG())
					defer end()
					heard = append(heard, changed)
				}
				time.Sleep(90*time.Minute + 10*time.Minute)
				for i, v := range vs {
					if len(heard[i]) == 0 {
						t.Errorf("who follows DAG %d does not hear of its end", i)
					}
					v = r.after(0, v, pin.Failed)
					if got, want := v.Info["status_details"], "no block was received for 24h0m0s, after 9 blocks; "+trouble; got != want {
						t.Errorf("status_details %q, want %q", got, want)
					}
				}
				if r.dropped() != len(vs) {
					t.Errorf("%d attempts were dropped, want %d", r.dropped(), len(vs))
				}
			})
		})
	}
}

// Starts do not make the time begin anew either if several requests wait for a DAG.
func TestKeptForLongEnoughForSeveral(t *testing.T) {
	for name, accounts := range map[string][]string{"of two accounts": {alice, bob}, "of one account": {alice, alice}} {
		t.Run(name, func(t *testing.T) {
			run(t, pin.Config{KeepPartial: 24 * time.Hour}, func(r *rig) {
				r.net.set(dag(1), half)
				var vs []pin.View
				for _, account := range accounts {
					vs = append(vs, r.add(account, 1))
				}
				for range 3 {
					time.Sleep(7 * time.Hour)
					r.Close()
					r.recs.Records = r.recs.Reopen()
					r.start()
				}
				for _, v := range vs {
					r.after(0, v, pin.Pinning)
				}
				time.Sleep(4 * time.Hour)
				for _, v := range vs {
					r.after(0, v, pin.Failed)
				}
			})
		})
	}
}

// Each block that comes gives the source as long again.
func TestSourceThatComesAndGoes(t *testing.T) {
	run(t, pin.Config{KeepPartial: 24 * time.Hour, Seekers: 1}, func(r *rig) {
		r.net.set(dag(1), half)
		v := r.add(alice, 1)
		r.add(bob, 2) // takes turns with it
		for n := range 5 {
			r.after(20*time.Hour, v, pin.Pinning)
			r.net.set(dag(1), content{blocks: 20, serve: 10 + n})
		}
		v = r.after(26*time.Hour, v, pin.Failed)
		if got := v.Info["status_details"]; !strings.Contains(got, "after 14 blocks") {
			t.Errorf("status_details %q", got)
		}
	})
}

// What is kept for an account stays within its quota of bytes: the oldest gives way. What
// another account has room for stays. The requests wait on, and begin anew.
func TestKeptWithinTheQuota(t *testing.T) {
	cfg := pin.Config{Quotas: limits{alice: {Bytes: 2500}}, Seekers: 2, Window: 2}
	run(t, cfg, func(r *rig) {
		var vs []pin.View
		for n := range 5 {
			r.net.set(dag(n), half)
			vs = append(vs, r.after(10*time.Second, r.add(alice, n), pin.Pinning))
			r.net.set(dag(n), content{}) // and its source is gone
			time.Sleep(time.Minute)
			if n == 0 {
				r.add(bob, 0)
			}
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for n, v := range vs {
			r.after(0, v, pin.Pinning)
			// 4 of them are 3600 bytes, and that of 0 is bob's too.
			_, some := r.net.keeps(dag(n))
			if want := n == 0 || n == 4; some != want {
				t.Errorf("of DAG %d some is kept: %v, want %v", n, some, want)
			}
		}
		gone := r.logged("gives way")
		if len(gone) == 0 || !strings.Contains(gone[0], "quota") {
			t.Errorf("logged %q", gone)
		}
	})
}

// On a full disk what was kept longest gives way to what is new.
func TestKeptGivesWayToAFullDisk(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		var vs []pin.View
		for n := range 3 {
			r.net.set(dag(n), half)
			vs = append(vs, r.after(10*time.Second, r.add(alice, n), pin.Pinning))
			r.net.set(dag(n), content{})
			time.Sleep(time.Minute)
		}
		// So much is missing that two of them have to go.
		full := true
		r.recs.SetFault(func(m string) error {
			if m == "Room" && full {
				return &pin.DiskFullError{Free: 0, Kept: 1}
			}
			return nil
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		var kept []bool
		for n, v := range vs {
			r.after(0, v, pin.Pinning)
			_, some := r.net.keeps(dag(n))
			kept = append(kept, some)
		}
		if fmt.Sprint(kept) != "[false false false]" { // each has less than the margin
			t.Errorf("kept are %v", kept)
		}
		v := r.after(time.Hour, vs[0], pin.Pinning)
		if got := v.Info["status_details"]; !strings.Contains(got, "gave way") {
			t.Errorf("status_details %q", got)
		}
		full = false
		r.recs.SetFault(nil)
		for n := range vs {
			r.net.set(dag(n), content{blocks: 10})
		}
		time.Sleep(time.Hour)
		for _, v := range vs {
			r.after(0, v, pin.Pinned)
		}
	})
}

// What waits for a source does not keep pins of the account that nobody has from their
// turns, nor new ones.
func TestKeptTakeTurns(t *testing.T) {
	run(t, pin.Config{Seekers: 2, Window: 8}, func(r *rig) {
		for n := range 40 {
			r.net.set(dag(n), half)
			r.add(alice, n)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(3 * time.Hour)
		dead := r.add(alice, 100)
		r.net.set(dag(101), content{blocks: 2})
		r.after(5*time.Second, r.add(alice, 101), pin.Pinned)
		r.after(time.Minute, dead, pin.Pinning)
		r.net.set(dag(100), content{blocks: 2})
		r.after(time.Hour, dead, pin.Pinned)
		if s := r.Stats(); s.Parked > 8+2 {
			t.Errorf("with a window of 8 there are %+v", s)
		}
	})
}
