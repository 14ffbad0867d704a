package provide

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// soon is well past what anything takes that happens at once.
const soon = 10 * time.Second

// A root is told at once, to those who should know it, and it is known when.
func TestAnnouncesAtOnce(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		one := rootOf(1)
		if !r.Announced(one).IsZero() {
			t.Error("it is announced before it is pinned")
		}
		began := time.Now()
		r.pin(one)
		r.wait(soon)
		r.told(1, hashOf(one))
		if at := r.Announced(one); at.Before(began.Add(-time.Second)) || at.After(began.Add(soon)) {
			t.Errorf("announced at %v, pinned at %v", at, began)
		}
		if s := r.stats(); s.Roots != 1 || s.Untold != 0 || s.Keys != 1 || !s.OldestUntold.IsZero() || s.Sent != replicas || !s.Online {
			t.Errorf("stats are %+v", s)
		}
		many := rootsOf(500)[2:]
		r.pin(many...)
		r.wait(soon)
		r.told(1, hashes(many)...)
	})
}

// Everything is told again within the interval, and not before its turn.
func TestSweeps(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		all := rootsOf(200)
		r.pin(all...)
		r.wait(soon)
		r.told(1, hashes(all)...)
		last := make(map[string]time.Time)
		var longest time.Duration
		for _, d := range all {
			last[string(hashOf(d))] = time.Now()
		}
		r.net.watch(func(k multihash.Multihash) {
			longest = max(longest, time.Since(last[string(k)]))
			last[string(k)] = time.Now()
		})
		r.wait(3 * DefaultInterval)
		for _, at := range last {
			longest = max(longest, time.Since(at))
		}
		if longest > DefaultInterval+maxDelay {
			t.Errorf("a root was not told for %v", longest)
		}
		for _, k := range hashes(all) {
			if least, _ := r.net.times(k); least > 5 {
				t.Fatalf("a root was told %d times in three intervals", least)
			}
		}
		if s := r.stats(); s.Untold != 0 || time.Since(s.Stalest) > DefaultInterval+maxDelay || s.RegionsSwept == 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// A restart goes on: what was told is not told again before its turn, and
// nothing waits longer for it.
func TestResumes(t *testing.T) {
	for _, how := range []string{"close", "kill"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 300, func(r *rig) {
				end := r.close
				if how == "kill" {
					end = r.kill
				}
				r.start()
				r.wait(soon)
				all := rootsOf(200)
				r.pin(all...)
				r.wait(DefaultInterval + DefaultInterval/2) // in the midst of a sweep
				end()
				r.net.forget()
				r.wait(10 * time.Minute)
				r.start()
				r.wait(10 * time.Minute)
				_, before := r.net.lookups.Load(), 0
				for _, k := range hashes(all) {
					if _, sum := r.net.times(k); sum > 0 {
						before++
					}
				}
				if before > len(all)/10 { // those whose turn was while it was down
					t.Errorf("%d of %d roots were told at once after the restart", before, len(all))
				}
				for _, d := range all[:5] {
					if r.Announced(d).IsZero() {
						t.Error("it is not known any more when a root was announced")
					}
				}
				r.wait(DefaultInterval + maxDelay)
				for i, k := range hashes(all) {
					if least, _ := r.net.times(k); least == 0 {
						t.Fatalf("root %d was not told within an interval after the restart", i)
					}
				}
			})
		})
	}
}

// What was pinned and not yet told when it was closed or killed is told.
func TestResumesWhatIsUntold(t *testing.T) {
	for _, how := range []string{"close", "kill", "kill before the announcement"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, 300, func(r *rig) {
				r.start()
				r.pin(rootOf(0))
				r.wait(time.Hour) // so that the regions are known
				r.net.up.Store(false)
				r.wait(time.Minute)
				late := rootsOf(50)[1:]
				if how == "kill before the announcement" {
					r.pins.set(true, late...)
				} else {
					r.pin(late...)
				}
				r.wait(time.Minute)
				if s := r.stats(); how != "kill before the announcement" && (s.Untold != 49 || time.Since(s.OldestUntold) < time.Minute/2) {
					t.Errorf("stats are %+v", s)
				}
				if how == "close" {
					r.close()
				} else {
					r.kill()
				}
				r.net.up.Store(true)
				r.start()
				r.wait(5 * time.Minute)
				for i, d := range late {
					if least, _ := r.net.times(hashOf(d)); least == 0 || r.Announced(d).IsZero() {
						t.Fatalf("root %d of what was untold is still", i)
					}
				}
			})
		})
	}
}

// A network that comes back after hours is told soon what was pinned meanwhile.
func TestNetworkComesBack(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.pin(rootOf(0))
		r.wait(time.Hour)
		r.net.up.Store(false)
		r.pin(rootOf(1)) // makes it notice
		r.wait(10 * time.Hour)
		late := rootsOf(50)[1:]
		r.pin(late...)
		r.wait(time.Hour)
		if s := r.stats(); s.Online || s.Untold != 49 {
			t.Errorf("stats are %+v", s)
		}
		r.net.up.Store(true)
		r.wait(10 * time.Minute)
		for i, d := range late {
			if least, _ := r.net.times(hashOf(d)); least == 0 || r.Announced(d).IsZero() {
				t.Fatalf("root %d is not announced", i)
			}
		}
	})
}

// What was pinned while the clock was a year ahead does not wait for a year to be
// told.
func TestPinnedWhileClockWasAhead(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.pin(rootOf(0))
		r.wait(time.Hour)
		r.net.up.Store(false)
		r.pin(rootOf(1)) // makes it notice
		r.wait(10 * time.Hour)
		late := rootOf(2)
		r.pin(late)
		r.wait(soon)
		rec, found, err := r.ledger.get(t.Context(), hashOf(late))
		if err != nil || !found {
			t.Fatal(found, err)
		}
		rec.since = rec.since.AddDate(1, 0, 0)
		if err := r.ledger.put(t.Context(), map[string]record{string(hashOf(late)): rec}); err != nil {
			t.Fatal(err)
		}
		r.pins.set(false, rootOf(1))
		r.Withdraw(rootOf(1)) // which is not what makes it tell
		r.wait(time.Hour)
		r.net.up.Store(true)
		r.wait(10 * time.Minute)
		r.told(1, hashOf(late))
	})
}

// A node that has no address at first is announced when it has one.
func TestAddressComesLate(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.net.addresses.Store(false)
		r.start()
		r.wait(soon)
		all := rootsOf(30)
		r.pin(all...)
		r.wait(30 * time.Minute)
		if r.net.records.Load() != 0 || !r.stats().NoAddress {
			t.Errorf("%d records without an address; stats are %+v", r.net.records.Load(), r.stats())
		}
		if n := strings.Count(r.log.String(), "no address"); n != 1 {
			t.Errorf("%d warnings: %s", n, r.log)
		}
		r.net.addresses.Store(true)
		r.wait(10 * time.Minute)
		for i, d := range all {
			if least, _ := r.net.times(hashOf(d)); least == 0 {
				t.Fatalf("root %d is not announced", i)
			}
		}
	})
}

// What is unpinned is told no more.
func TestWithdraws(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		all := rootsOf(100)
		r.pin(all...)
		r.wait(time.Minute)
		r.unpin(all[:50]...)
		r.wait(time.Minute)
		if s := r.stats(); s.Roots != 50 || s.Keys != 50 {
			t.Errorf("stats are %+v", s)
		}
		if !r.Announced(all[0]).IsZero() {
			t.Error("it is still announced")
		}
		// Also while nothing runs.
		r.close()
		r.pins.set(false, all[50:75]...)
		r.start()
		r.wait(time.Minute)
		if s := r.stats(); s.Roots != 25 || s.Keys != 25 {
			t.Errorf("stats after the restart are %+v", s)
		}
		r.net.forget()
		r.wait(2 * DefaultInterval)
		for i, k := range hashes(all) {
			if least, _ := r.net.times(k); (least > 0) != (i >= 75) {
				t.Fatalf("root %d was told %d times", i, least)
			}
		}
		// And pinned again.
		r.net.forget()
		r.pin(all[0])
		r.wait(soon)
		r.told(1, hashOf(all[0]))
	})
}

// What waits to be told and is unpinned meanwhile is not told.
func TestWithdrawsWhatWaits(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.pin(rootOf(0))
		r.wait(time.Hour)
		r.net.up.Store(false)
		r.wait(time.Minute)
		all := rootsOf(20)[1:]
		r.pin(all...)
		r.wait(time.Minute)
		r.unpin(all...)
		r.wait(time.Minute)
		r.net.up.Store(true)
		r.wait(time.Hour)
		r.told(0, hashes(all)...)
	})
}

// The order in which a DAG was announced and withdrawn does not matter: what
// counts is whether it is pinned.
func TestWithdrawThatComesLate(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		one := rootOf(1)
		r.pin(one)
		r.Withdraw(one) // of an earlier attempt
		r.wait(soon)
		r.told(1, hashOf(one))
		if s := r.stats(); s.Roots != 1 || s.Keys != 1 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// Two DAGs may have the same root, read by two codecs.
func TestRootOfTwo(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		one := rootOf(1)
		two := pin.DAGOf(cid.NewCidV1(cid.Raw, hashOf(one)))
		r.pin(one, two)
		r.wait(soon)
		r.unpin(one)
		r.wait(soon)
		if s := r.stats(); s.Roots != 1 || s.Keys != 1 || r.Announced(two).IsZero() {
			t.Errorf("stats are %+v", s)
		}
		r.close()
		r.start() // and a comparison finds nothing to do
		r.wait(soon)
		if s := r.stats(); s.Roots != 1 || s.Keys != 1 {
			t.Errorf("stats are %+v", s)
		}
		r.pins.set(true, one)
		r.close()
		r.pins.set(false, two)
		r.start()
		r.wait(soon)
		if s := r.stats(); s.Roots != 1 || s.Keys != 1 {
			t.Errorf("stats are %+v", s)
		}
		r.unpin(one, two)
		r.wait(soon)
		if s := r.stats(); s.Roots != 0 || s.Keys != 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// An identity CID needs no provider.
func TestInlineRoot(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		h, err := multihash.Sum([]byte("here"), multihash.IDENTITY, -1)
		if err != nil {
			t.Fatal(err)
		}
		r.pin(pin.DAGOf(cid.NewCidV1(cid.Raw, h)))
		r.wait(soon)
		if n := r.net.records.Load(); n != 0 {
			t.Errorf("%d records", n)
		}
	})
}

// Errors of the store are over when the store is well again.
func TestStoreFails(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		all := rootsOf(10)
		r.pins.fail(errors.New("the disk is on fire"))
		r.pin(all...)
		r.wait(soon)
		r.told(0, hashes(all)...)
		if !strings.Contains(r.log.String(), "on fire") {
			t.Errorf("the log has nothing: %s", r.log)
		}
		r.pins.fail(nil)
		r.wait(2 * retellEvery)
		r.told(1, hashes(all)...)
	})
}

// A record of the ledger that cannot be read is made anew, and holds up nothing.
func TestUnreadableRecord(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		broken, gone := rootOf(1), rootOf(2)
		for _, d := range []pin.DAG{broken, gone} {
			key := datastore.NewKey("/roots").Child(dshelp.MultihashToDsKey(hashOf(d)))
			if err := r.ds.Put(t.Context(), key, []byte{9, 1, 2}); err != nil {
				t.Fatal(err)
			}
		}
		r.pins.set(true, broken)
		r.start()
		r.wait(time.Minute)
		if least, _ := r.net.times(hashOf(broken)); least == 0 { // the first sweep may tell it, too
			t.Error("the root of an unreadable record is not told")
		}
		others := rootsOf(20)[3:]
		r.Withdraw(gone)
		r.pin(others...)
		r.wait(soon)
		r.told(1, hashes(others)...)
		r.unpin(others[3:]...)
		r.unpin(broken)
		r.wait(soon)
		if s := r.stats(); s.Roots != 3 || s.Keys != 3 || s.Untold != 0 {
			t.Errorf("stats are %+v", s)
		}
		if r.log.String() != "" {
			t.Errorf("the log has %s", r.log)
		}
	})
}

// A DAG whose record cannot be read stays as it is, and holds up no other. Whether an inlined root is pinned, which
// links to it, may not be known either.
func TestUnreadablePin(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		r.start()
		r.wait(soon)
		known, inlined := rootOf(1), inlinedOver("inlined", rootOf(2).CID())
		r.pin(known)
		r.wait(soon)
		others := rootsOf(20)[3:]
		for _, bad := range []pin.DAG{known, inlined} {
			r.pins.mu.Lock()
			r.pins.bad = bad
			r.pins.mu.Unlock()
			r.Announce(bad)
			r.pin(others[0])
			r.wait(soon)
			r.told(1, hashOf(known), hashOf(others[0]))
			others = others[1:]
		}
		r.Compare()
		r.pin(others...)
		r.wait(soon)
		r.told(1, hashes(others)...)
		if s := r.stats(); s.Roots != 3+len(others) {
			t.Errorf("stats are %+v", s)
		}
	})
}

// All networks are told. What a network is told that stands in for another
// counts only while that one is away.
func TestTwoNetworks(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		lan := newNetwork(40)
		stand := lan.network("lan")
		stand.Counts = func() bool { return !r.net.up.Load() }
		r.cfg.Networks = append(r.cfg.Networks, stand)
		r.start()
		r.wait(soon)
		r.pin(rootOf(1))
		r.wait(soon)
		r.told(1, hashOf(rootOf(1)))
		if least, sum := lan.times(hashOf(rootOf(1))); least != 1 || sum != replicas {
			t.Errorf("the other network was told %d times, %d in all", least, sum)
		}
		r.net.up.Store(false)
		r.pin(rootOf(2))
		r.wait(soon)
		if r.Announced(rootOf(2)).IsZero() {
			t.Error("it does not count")
		}
		r.unpin(rootOf(1), rootOf(2))
		r.wait(soon)
		if s := r.stats(); s.Keys != 0 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// What only a network was told that stands in for another is told to that when it is
// back, and is not said to be told until then; also after a restart.
func TestStandIn(t *testing.T) {
	for _, tt := range []struct {
		name    string
		before  time.Duration // for how long the network was there before it was away
		restart func(*rig)
	}{
		{"it comes back", time.Hour, nil},
		{"it comes late", 0, nil},
		{"close", time.Hour, (*rig).close},
		{"kill", time.Hour, (*rig).kill},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 300, func(r *rig) {
				t := r.t
				lan := newNetwork(40)
				stand := lan.network("lan")
				stand.Counts = func() bool { return !r.net.up.Load() }
				r.cfg.Networks = append(r.cfg.Networks, stand)
				r.net.up.Store(tt.before > 0)
				r.start()
				if tt.before > 0 {
					r.pin(rootsOf(300)[100:]...)
					r.wait(tt.before)
					r.net.up.Store(false)
					r.pin(rootOf(99)) // makes it notice
					r.wait(4 * time.Hour)
				}
				late := rootsOf(20)
				r.pin(late...)
				r.wait(time.Minute)
				for _, d := range late {
					if r.Announced(d).IsZero() {
						t.Fatal("what the stand-in was told does not count while it stands in")
					}
				}
				if s := r.stats(); s.Untold != 0 || time.Since(s.LastTold) > time.Minute {
					t.Errorf("stats are %+v", s)
				}
				if tt.restart != nil {
					tt.restart(r)
					r.start()
					r.wait(time.Second)
					if r.Announced(late[0]).IsZero() {
						t.Error("after a restart it is not known what the stand-in was told")
					}
				}
				_, before := lan.times(hashOf(late[0]))
				r.net.up.Store(true)
				for _, d := range late {
					if least, _ := r.net.times(hashOf(d)); least == 0 && !r.Announced(d).IsZero() {
						t.Fatal("what the stand-in was told counts when it stands in no more")
					}
				}
				r.wait(15 * time.Minute)
				for i, d := range late {
					if least, _ := r.net.times(hashOf(d)); least == 0 || r.Announced(d).IsZero() {
						t.Fatalf("root %d: each was told %d times, announced at %v", i, least, r.Announced(d))
					}
				}
				if _, after := lan.times(hashOf(late[0])); after != before {
					t.Errorf("the stand-in was told %d times more", after-before)
				}
				if s := r.stats(); s.Untold != 0 {
					t.Errorf("stats are %+v", s)
				}
			})
		})
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{
		{Strategy: "everything"}, {Interval: -time.Second}, {Interval: MaxInterval + 1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is no error", cfg)
		}
	}
}
