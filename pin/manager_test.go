package pin_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

func TestPinned(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		v := r.add(alice, 1)
		if v.Status != pin.Queued {
			t.Errorf("status %s, want queued", v.Status)
		}
		v = r.after(5500*time.Millisecond, v, pin.Pinning)
		for key, want := range map[string]string{
			"blocks": "5", "bytes": "500", "last_block": "1s ago", "providers": "0",
			"elapsed": "6s", "status_details": "receiving blocks",
		} {
			if v.Info[key] != want {
				t.Errorf("info %s is %q, want %q", key, v.Info[key], want)
			}
		}
		if n, err := strconv.Atoi(v.Info["bytes_per_second"]); err != nil || n < 30 || n > 150 {
			t.Errorf("info bytes_per_second is %q, and 100 bytes come in a second", v.Info["bytes_per_second"])
		}
		v = r.after(5*time.Second, v, pin.Pinned)
		if want := map[string]string{"announced": "not yet", "blocks": "10", "bytes": "1000"}; !maps.Equal(v.Info, want) {
			t.Errorf("info %v of a request just pinned", v.Info)
		}
		if got := r.net.announced(); !slices.Equal(got, []pin.DAG{dag(1)}) {
			t.Errorf("announced %v", got)
		}
		if v := r.add(bob, 1); v.Status != pin.Pinned {
			t.Errorf("a request for a complete DAG is %s, want pinned", v.Status)
		}
	})
}

// A thousand DAGs that nobody has do not delay the next live one.
func TestDeadPinsDoNotDelay(t *testing.T) {
	for name, next := range map[string]string{"same account": alice, "another account": bob} {
		t.Run(name, func(t *testing.T) {
			run(t, pin.Config{}, func(r *rig) {
				for n := range 1000 {
					r.add(alice, n)
				}
				r.net.set(dag(5000), content{blocks: 3})
				r.after(6*time.Second, r.add(next, 5000), pin.Pinned)
				// The dead ones take turns, so one that appears is found.
				r.net.set(dag(0), content{blocks: 3})
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				page, err := r.List(t.Context(), alice, pin.Query{DAGs: []pin.DAG{dag(0)}})
				if err != nil || page.Count != 1 {
					t.Errorf("the DAG that appeared is not pinned: %d, %v", page.Count, err)
				}
			})
		})
	}
}

// A fetch that receives nothing gives its worker back, and gets one again when
// blocks come.
func TestIdleGivesWorkerBack(t *testing.T) {
	run(t, pin.Config{Workers: 1}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, serve: 3})
		r.net.set(dag(2), content{blocks: 10})
		slow := r.add(alice, 1)
		synctest.Wait()
		live := r.add(alice, 2)
		r.after(time.Second, live, pin.Pinning)
		if got := r.get(live).Info["status_details"]; got != "found; waiting for a worker" {
			t.Errorf("status_details %q", got)
		}
		r.after(25*time.Second, live, pin.Pinned)
		v := r.after(time.Minute, slow, pin.Pinning)
		if got := v.Info["status_details"]; !strings.HasPrefix(got, "nothing received for 1m") {
			t.Errorf("status_details %q", got)
		}
		r.net.set(dag(1), content{blocks: 10})
		r.after(time.Second, slow, pin.Pinned)
		if _, most := r.busy(); most != 1 {
			t.Errorf("%d at work at the same time, want 1", most)
		}
	})
}

// A parked pin shows no providers, whatever its last try had.
func TestProvidersOfParked(t *testing.T) {
	run(t, pin.Config{Seekers: 1}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, serve: 3, peers: 2})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinning)
		if v.Info["providers"] != "2" {
			t.Errorf("info %v", v.Info)
		}
		time.Sleep(30 * time.Second)
		r.add(bob, 2) // displaces it
		v = r.after(3*time.Second, v, pin.Pinning)
		if v.Info["next_try"] == "" || v.Info["providers"] != "0" {
			t.Errorf("info %v", v.Info)
		}
	})
}

// Workers go round: neither a DAG that takes hours nor an account with many of them delays
// the others.
func TestWorkersGoRound(t *testing.T) {
	run(t, pin.Config{Workers: 2}, func(r *rig) {
		for n := range 10 {
			r.net.set(dag(n), content{blocks: 100_000, delay: 100 * time.Millisecond})
			r.add(alice, n)
		}
		r.net.set(dag(50), content{blocks: 5})
		r.net.set(dag(51), content{blocks: 5})
		time.Sleep(time.Minute)
		r.after(7*time.Second, r.add(bob, 50), pin.Pinned)
		r.after(time.Minute, r.add(alice, 51), pin.Pinned)
		if _, most := r.busy(); most != 2 {
			t.Errorf("%d at work at the same time, want 2", most)
		}
	})
}

func TestStall(t *testing.T) {
	run(t, pin.Config{StallTimeout: 10 * time.Minute, KeepPartial: -1, Seekers: 2}, func(r *rig) {
		r.net.set(dag(1), content{note: "origin /ip4/10.0.0.1 is not dialled"})
		r.net.set(dag(2), content{blocks: 5, serve: 2, delay: time.Minute})
		dead, half := r.add(alice, 1), r.add(alice, 2)
		more := r.add(alice, 3) // one more than there are places, so that they are parked in turn
		r.after(9*time.Minute, dead, pin.Pinning)
		v := r.after(2*time.Minute, dead, pin.Failed)
		want := "no block was received for 10m0s: no connected peer has the root; origin /ip4/10.0.0.1 is not dialled"
		if got := v.Info["status_details"]; got != want {
			t.Errorf("status_details %q, want %q", got, want)
		}
		r.after(time.Minute, more, pin.Failed)
		v = r.after(2*time.Minute, half, pin.Failed)
		if got := v.Info["status_details"]; !strings.HasSuffix(got, "after 2 blocks") {
			t.Errorf("status_details %q", got)
		}
		r.net.set(dag(1), content{blocks: 1})
		if _, err := r.Retry(t.Context(), alice, dead.ID); err != nil {
			t.Fatal(err)
		}
		v = r.after(time.Second, dead, pin.Pinned)
		if _, err := r.Retry(t.Context(), alice, v.ID); !errors.Is(err, pin.ErrNotFailed) {
			t.Errorf("retry of a pinned request: %v, want ErrNotFailed", err)
		}
	})
}

func TestTotalTimeout(t *testing.T) {
	run(t, pin.Config{TotalTimeout: 5 * time.Minute, Seekers: 1}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 1000, delay: time.Second})
		v := r.add(alice, 1)
		r.after(4*time.Minute, v, pin.Pinning)
		v = r.after(time.Minute+2*time.Second, v, pin.Failed)
		want := "it took longer than the 5m0s that pin.total_timeout allows"
		if got := v.Info["status_details"]; got != want {
			t.Errorf("status_details %q, want %q", got, want)
		}
		parked := r.add(alice, 2)
		r.after(time.Second, parked, pin.Pinning)
		r.add(bob, 3)
		r.after(5*time.Minute+10*time.Second, parked, pin.Failed)
	})
}

// A request that joins a DAG that is about to stall has the whole timeout.
func TestStallClockOfThoseWhoJoin(t *testing.T) {
	run(t, pin.Config{StallTimeout: 10 * time.Minute}, func(r *rig) {
		r.add(alice, 1)
		time.Sleep(9 * time.Minute)
		late := r.add(bob, 1)
		r.after(9*time.Minute, late, pin.Pinning)
		r.after(2*time.Minute, late, pin.Failed)
	})
}

func TestRefused(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{refuse: "block x is not valid dag-pb"})
		v := r.after(time.Second, r.add(alice, 1), pin.Failed)
		if got := v.Info["status_details"]; got != "block x is not valid dag-pb" {
			t.Errorf("status_details %q", got)
		}
		if n := r.dropped(); n != 1 {
			t.Errorf("dropped %d attempts, want the one there was", n)
		}
	})
}

func TestErrorsAreRetried(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		oops := errors.New("oops")
		r.net.set(dag(1), content{blocks: 2, errs: []error{oops, oops, oops}})
		v := r.add(alice, 1)
		v = r.after(time.Second, v, pin.Pinning)
		want := "waiting after an error: an error of the server's own, which its log has; next try in 4s"
		if got := v.Info["status_details"]; got != want {
			t.Errorf("status_details %q, want %q", got, want)
		}
		if v.Info["attempt"] != "2" || v.Info["next_try"] != "in 4s" {
			t.Errorf("attempt %q, next_try %q", v.Info["attempt"], v.Info["next_try"])
		}
		r.after(time.Minute, v, pin.Pinned)
	})
}

// Only the operator can mend a full disk: pins wait for that, however long.
func TestDiskFull(t *testing.T) {
	run(t, pin.Config{StallTimeout: time.Minute}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 2, errs: slices.Repeat([]error{pin.ErrDiskFull}, 10)})
		r.recs.SetFault(noRoom)
		v := r.add(alice, 1)
		v = r.after(2*time.Minute, v, pin.Pinning)
		if got := v.Info["status_details"]; !strings.Contains(got, "disk is too full") {
			t.Errorf("status_details %q", got)
		}
		if n := r.Blocked(); n != 1 {
			t.Errorf("%d are blocked, want 1", n)
		}
		r.after(time.Hour, v, pin.Pinned)
		if n := r.Blocked(); n != 0 {
			t.Errorf("%d are blocked when there is room", n)
		}
	})
}

func TestRecordsFail(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 2})
		for _, method := range []string{"Begin", "Complete"} {
			r.recs.SetFault(func(m string) error {
				if m == method {
					return errors.New("input/output error")
				}
				return nil
			})
			v := r.add(alice, 1)
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if got := r.get(v).Status; got.Done() {
				t.Errorf("%s while %s fails", got, method)
			}
			r.recs.SetFault(nil)
			r.after(time.Minute, v, pin.Pinned)
			if err := r.Remove(t.Context(), alice, v.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestRemove(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 100, delay: time.Second})
		a, b := r.add(alice, 1), r.add(bob, 1)
		r.after(10*time.Second, a, pin.Pinning)
		if err := r.Remove(t.Context(), bob, a.ID); !errors.Is(err, pin.ErrNotFound) {
			t.Errorf("remove of another account's request: %v", err)
		}
		if err := r.Remove(t.Context(), alice, a.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now, _ := r.busy(); now != 1 || r.dropped() != 0 {
			t.Error("the fetch stopped, though another request wants it")
		}
		r.after(10*time.Second, b, pin.Pinning)
		if err := r.Remove(t.Context(), bob, b.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now, _ := r.busy(); now != 0 {
			t.Error("the fetch goes on, though nobody wants it")
		}
		if n := r.dropped(); n != 1 {
			t.Errorf("dropped %d attempts, want 1", n)
		}
		// And once more from the start, under a new attempt.
		r.after(2*time.Minute, r.add(alice, 1), pin.Pinned)
	})
}

// A DAG that is removed and added again in the same instant ends up pinned under a new
// attempt.
func TestRemoveAndAddAgain(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		v := r.add(alice, 1)
		r.after(5*time.Second, v, pin.Pinning)
		for range 3 {
			if err := r.Remove(t.Context(), alice, v.ID); err != nil {
				t.Fatal(err)
			}
			v = r.add(alice, 1)
		}
		r.after(30*time.Second, v, pin.Pinned)
		released, err := r.recs.Released(t.Context())
		if err != nil || len(released) != 0 {
			t.Errorf("left to drop: %v, %v", released, err)
		}
	})
}

func TestReplace(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 5})
		r.net.set(dag(2), content{blocks: 50, delay: time.Second})
		r.net.set(dag(3), content{blocks: 5, delay: time.Second})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		replace := func(v pin.View, n int) pin.View {
			v, err := r.Replace(t.Context(), alice, v.ID, pintest.DAGSpec(n))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		second := replace(v, 2)
		if _, err := r.Get(t.Context(), alice, v.ID); !errors.Is(err, pin.ErrNotFound) {
			t.Errorf("the replaced request: %v, want ErrNotFound", err)
		}
		r.after(3*time.Second, second, pin.Pinning)
		third := replace(second, 3)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if now, _ := r.busy(); now != 1 {
			t.Errorf("%d fetches at work, want that of the new DAG alone", now)
		}
		if n := r.dropped(); n != 0 {
			t.Errorf("dropped %d attempts before the new DAG was complete", n)
		}
		r.after(4*time.Second, third, pin.Pinned)
		if n := r.dropped(); n != 2 {
			t.Errorf("dropped %d attempts, want what the two replaced requests held", n)
		}
	})
}

// After a restart everything that was queued or pinning goes on.
func TestResume(t *testing.T) {
	run(t, pin.Config{Seekers: 2, Window: 4}, func(r *rig) {
		var vs []pin.View
		for n := range 20 {
			r.net.set(dag(n), content{blocks: 3, delay: time.Second})
			vs = append(vs, r.add(alice, n))
		}
		gone := r.add(bob, 30)
		r.after(7*time.Second, gone, pin.Pinning) // up to two that are before it take 3 s each
		for range 5 {
			time.Sleep(time.Second)
			r.Close()
			if _, err := r.Add(t.Context(), alice, pintest.DAGSpec(1)); !errors.Is(err, pin.ErrClosed) {
				t.Errorf("add after close: %v, want ErrClosed", err)
			}
			if r.net.walks() != 0 {
				t.Fatal("a fetch outlived Close")
			}
			r.start()
		}
		time.Sleep(3 * time.Minute)
		for _, v := range vs {
			r.after(0, v, pin.Pinned)
		}
		r.after(0, gone, pin.Pinning)
	})
}

// Released attempts that a crash left behind are dropped at the next start.
func TestResumeDrops(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 3})
		v := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		r.recs.SetFault(func(m string) error {
			if m == "Drop" {
				return errors.New("input/output error")
			}
			return nil
		})
		if err := r.Remove(t.Context(), alice, v.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		r.Close()
		r.recs.SetFault(nil)
		r.start()
		synctest.Wait()
		released, err := r.recs.Released(t.Context())
		if err != nil || len(released) != 0 {
			t.Errorf("left to drop: %v, %v", released, err)
		}
	})
}

// A parked pin is woken by its origin, and by any peer that connects to us.
func TestWake(t *testing.T) {
	run(t, pin.Config{Seekers: 1}, func(r *rig) {
		first := r.add(alice, 1, origin("peerA"))
		r.after(time.Second, first, pin.Pinning)
		for n := range 20 { // displace it, again and again
			r.add(bob, 100+n)
		}
		fetches := func() int { return r.net.fetches(dag(1)) }
		time.Sleep(5 * time.Second)
		synctest.Wait()
		before := fetches()
		r.PeerConnected("peerB", false)
		time.Sleep(time.Second)
		synctest.Wait()
		if fetches() != before {
			t.Error("woken by a peer that is not its origin")
		}
		r.net.set(dag(1), content{blocks: 1})
		r.PeerConnected("peerA", false)
		r.after(3*time.Second, first, pin.Pinned)

		second := r.add(alice, 2)
		time.Sleep(4 * time.Second)
		r.net.set(dag(2), content{blocks: 1})
		r.PeerConnected("peerC", true)
		r.after(time.Minute, second, pin.Pinned)
	})
}

// Peers that connect all the time, as to a public node, wake parked pins, and these leave
// places for new ones.
func TestWokenPinsLeavePlaces(t *testing.T) {
	for _, dead := range []int{1000, 3000} {
		t.Run(strconv.Itoa(dead), func(t *testing.T) {
			run(t, pin.Config{}, func(r *rig) {
				for n := range dead {
					r.add(alice, n)
					time.Sleep(time.Millisecond)
				}
				time.Sleep(time.Minute)
				peers := time.NewTicker(time.Second)
				defer peers.Stop()
				stop := make(chan struct{})
				defer close(stop)
				go func() {
					for {
						select {
						case <-peers.C:
							r.PeerConnected("somebody", true)
						case <-stop:
							return
						}
					}
				}()
				time.Sleep(10 * time.Second)
				r.net.set(dag(50_000), content{blocks: 3})
				r.after(6*time.Second, r.add(bob, 50_000), pin.Pinned)
				// The parked ones have their turns all the same.
				r.net.set(dag(0), content{blocks: 3})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				page, err := r.List(t.Context(), alice, pin.Query{DAGs: []pin.DAG{dag(0)}})
				if err != nil || page.Count != 1 {
					t.Errorf("the DAG that appeared is not pinned: %d, %v", page.Count, err)
				}
			})
		})
	}
}

// A request that joins a running fetch is pinning at once. Its origins are tried if nothing
// was received yet.
func TestJoin(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.add(alice, 1, origin("peerA"))
		time.Sleep(time.Second)
		r.after(time.Second, r.add(bob, 1, origin("peerB")), pin.Pinning)
		if got := r.net.hints(dag(1)); !slices.Equal(got, []string{origin("peerB"), origin("peerA")}) { // the newest first
			t.Errorf("origins %v", got)
		}
		r.net.set(dag(2), content{blocks: 10, delay: time.Second})
		r.add(alice, 2)
		time.Sleep(2 * time.Second)
		v := r.after(time.Second, r.add(bob, 2), pin.Pinning)
		r.after(10*time.Second, v, pin.Pinned)
		if n := r.net.fetches(dag(2)); n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
}

// Who asks for a DAG again and again, each time with other origins, does not keep those of others from being tried.
func TestJoinOverAndOver(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		v := r.add(alice, 1, origin("peerA"))
		for n := range 120 {
			r.add(bob, 1, origin(fmt.Sprint("peer", n)))
			time.Sleep(500 * time.Millisecond)
		}
		if n := r.net.fetches(dag(1)); n > 35 {
			t.Errorf("the fetch began anew %d times in a minute", n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := r.net.hints(dag(1)); len(got) < 64 || got[0] != origin("peer119") || !slices.Contains(got, origin("peerA")) {
			t.Errorf("in the end it has the origins %v", got)
		}
		r.net.set(dag(1), content{blocks: 1})
		r.after(time.Second, v, pin.Pinned)
	})
}

// New origins are tried also if some of a DAG came and its source went away.
func TestJoinWhatCameInPart(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, serve: 5})
		v := r.after(time.Minute, r.add(alice, 1, origin("peerA")), pin.Pinning)
		again := pintest.DAGSpec(1)
		again.Origins = []string{origin("peerB")}
		if _, err := r.Manager.Replace(t.Context(), alice, v.ID, again); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := r.net.hints(dag(1)); !slices.Contains(got, origin("peerB")) {
			t.Errorf("it is fetched from %v", got)
		}
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		time.Sleep(3 * time.Second) // blocks come: it does not begin anew
		before := r.net.fetches(dag(1))
		last := r.add(bob, 1, origin("peerC"))
		r.after(20*time.Second, last, pin.Pinned)
		if n := r.net.fetches(dag(1)); n != before {
			t.Errorf("it began anew while blocks came")
		}
	})
}

func TestRemoveAll(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		for n := range 2500 {
			r.net.set(dag(n), content{blocks: 1, delay: time.Duration(n%3) * time.Second})
			r.add(alice, n)
			time.Sleep(time.Millisecond)
		}
		kept := r.add(bob, 7)
		time.Sleep(time.Second)
		n, err := r.RemoveAll(t.Context(), alice)
		if err != nil || n != 2500 {
			t.Errorf("removed %d, %v; want 2500", n, err)
		}
		r.after(10*time.Second, kept, pin.Pinned)
		page, err := r.List(t.Context(), alice, pin.Query{Statuses: pin.Statuses()})
		if err != nil || page.Count != 0 {
			t.Errorf("%d left, %v", page.Count, err)
		}
		log := r.log.String()
		if lines := strings.Count(log, "removed"); lines != 1 || !strings.Contains(log, "requests=2500") {
			t.Errorf("the log has that in %d lines", lines)
		}
	})
}

// A request that is removed when the manager closes, and its fetch has ended by that, is removed.
func TestRemoveAtClose(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		v := r.after(time.Second, r.add(alice, 1), pin.Pinning)
		removes := make(chan struct{})
		r.recs.SetFault(func(method string) error {
			if method == "Remove" {
				<-removes
			}
			return nil
		})
		ended := make(chan error, 2)
		go func() { ended <- r.Remove(t.Context(), alice, v.ID) }()
		synctest.Wait()
		go func() { ended <- r.Close() }()
		synctest.Wait()
		close(removes)
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestCloseTwice(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		v := r.add(alice, 1)
		r.Close()
		r.Close()
		ctx := context.Background()
		_, err1 := r.Get(ctx, alice, v.ID)
		_, err2 := r.List(ctx, alice, pin.Query{})
		_, err3 := r.Replace(ctx, alice, v.ID, pintest.DAGSpec(2))
		_, err4 := r.Retry(ctx, alice, v.ID)
		_, err5 := r.RemoveAll(ctx, alice)
		for i, err := range []error{err1, err2, err3, err4, err5, r.Remove(ctx, alice, v.ID)} {
			if !errors.Is(err, pin.ErrClosed) {
				t.Errorf("call %d after Close: %v, want ErrClosed", i, err)
			}
		}
		r.PeerConnected("peerA", true)
	})
}

// A pinned request shows its blocks and bytes, whether it was fetched for this request or
// was there.
func TestInfoOfWhatIsPinned(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 3})
		r.after(time.Second, r.add(alice, 1), pin.Pinned)
		r.after(0, r.add(bob, 1), pin.Pinned)
		r.Close()
		r.start()
		for _, account := range []string{alice, bob} {
			page, err := r.List(t.Context(), account, pin.Query{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range []pin.View{page.Views[0], r.get(page.Views[0])} {
				if v.Info["blocks"] != "3" || v.Info["bytes"] != "300" {
					t.Errorf("info %v", v.Info)
				}
			}
		}
	})
}

// It is logged which account removed and replaced what.
func TestRemovalsAreLogged(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		old := r.add(alice, 1)
		now, err := r.Replace(t.Context(), alice, old.ID, pintest.DAGSpec(2))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Remove(t.Context(), alice, now.ID); err != nil {
			t.Fatal(err)
		}
		for text, rest := range map[string]string{
			`level=INFO msg="pin replaced"`: fmt.Sprintf("cid=%s requestid=%s account=%s was_cid=%s was_requestid=%s", dag(2), now.ID, alice, dag(1), old.ID),
			`level=INFO msg="pin removed"`:  fmt.Sprintf("cid=%s requestid=%s account=%s", dag(2), now.ID, alice),
		} {
			if lines := r.logged(text); len(lines) != 1 || !strings.Contains(lines[0], rest) {
				t.Errorf("%s: %q, want %q", text, lines, rest)
			}
		}
		if err := r.Remove(t.Context(), alice, now.ID); !errors.Is(err, pin.ErrNotFound) || len(r.logged("pin removed")) != 1 {
			t.Errorf("removed twice: %v", err)
		}
	})
}
