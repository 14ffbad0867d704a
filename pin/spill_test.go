package pin_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// However many dead pins an account has, a bounded number of them is in memory. The others
// are tried once, are spilled, and have their next turn when there is room.
func TestTriedPinsAreSpilled(t *testing.T) {
	const dead, window, seekers = 500, 20, 16
	run(t, pin.Config{Window: window, Seekers: seekers, StallTimeout: 10 * time.Minute}, func(r *rig) {
		var vs []pin.View
		for n := range dead {
			vs = append(vs, r.add(alice, n))
			time.Sleep(time.Millisecond)
		}
		bounded := func(parked int) {
			t.Helper()
			synctest.Wait()
			if s := r.Stats(); s.Parked > parked+seekers || s.Waiting > 2*window || s.Seeking > seekers {
				t.Errorf("with a window of %d there are %+v", window, s)
			}
		}
		for range 12 {
			time.Sleep(30 * time.Second)
			bounded(window)
		}
		putOff := -1
		for i, v := range vs { // each has had its turn
			if got := r.after(0, v, pin.Pinning).Info["status_details"]; strings.HasPrefix(got, "put off after a try, as 20 other pins") {
				putOff = i
			}
		}
		if putOff < 0 {
			t.Fatal("none says that it was put off")
		}
		live := func(n int) {
			t.Helper()
			r.net.set(dag(n), content{blocks: 2})
			r.after(4*time.Second, r.add(alice, n), pin.Pinned)
		}
		live(1000)
		r.Close()
		r.start()
		bounded(3 * window) // the oldest and the newest, and as many as are kept
		time.Sleep(time.Minute)
		bounded(window)
		live(1001)
		// A spilled one is found in its turn, and all others fail.
		r.net.set(dag(putOff), content{blocks: 2})
		time.Sleep(24 * time.Hour)
		for i, v := range vs {
			if want := pin.Failed; i != putOff {
				r.after(0, v, want)
			}
		}
		r.after(0, vs[putOff], pin.Pinned)
		if s := r.Stats(); s.Parked+s.Waiting+s.Seeking > 0 {
			t.Errorf("at the end there are %+v", s)
		}
	})
}

// A request that joins a spilled pin is served with it, and the spilled one may be removed.
func TestPutOffPins(t *testing.T) {
	run(t, pin.Config{Window: 2, Seekers: 2}, func(r *rig) {
		var vs []pin.View
		for n := range 20 {
			vs = append(vs, r.add(alice, n))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		last := vs[len(vs)-1]
		r.net.set(last.DAG(), content{blocks: 2})
		joined := r.add(bob, len(vs)-1)
		r.after(5*time.Second, joined, pin.Pinned)
		r.after(0, last, pin.Pinned)
		for _, v := range vs[:len(vs)-1] {
			if err := r.Remove(t.Context(), v.Account, v.ID); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := r.Stats(); s.Parked+s.Waiting+s.Seeking > 0 || r.net.walks() > 0 {
			t.Errorf("at the end there are %+v and %d walks", s, r.net.walks())
		}
	})
}

// A request that is on disk alone has its turns also when the one by which its DAG was tried is gone.
func TestSpilledPinOutlivesAnothers(t *testing.T) {
	for name, spilled := range map[string]bool{"on disk": true, "in memory": false} { // where the DAG's job is then
		t.Run(name, func(t *testing.T) {
			run(t, pin.Config{Window: 2, Seekers: 2, StallTimeout: 10 * time.Hour}, func(r *rig) {
				for n := range 4 { // as many as alice may keep in memory, and more
					r.add(alice, 100+n)
				}
				time.Sleep(5 * time.Minute)
				const count, shared = 40, 20
				var own []pin.View
				for n := range count { // only the ends of bob's queue are in memory
					if n != shared {
						r.net.set(dag(n), content{blocks: 2, delay: 5 * time.Second})
					}
					own = append(own, r.add(bob, n))
					time.Sleep(time.Millisecond)
				}
				other := r.add(alice, shared)
				for r.net.fetches(dag(shared)) == 0 {
					time.Sleep(time.Second)
				}
				r.after(0, own[shared], pin.Pinning)
				for spilled && !strings.HasPrefix(r.after(0, other, pin.Pinning).Info["status_details"], "put off") {
					time.Sleep(time.Second)
				}
				if err := r.Remove(t.Context(), alice, other.ID); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				r.net.set(dag(shared), content{blocks: 2})
				time.Sleep(time.Hour)
				for _, v := range own {
					r.after(0, v, pin.Pinned)
				}
			})
		})
	}
}
