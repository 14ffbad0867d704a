package pin_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func TestStats(t *testing.T) {
	run(t, pin.Config{Workers: 1, Seekers: 4, StallTimeout: 10 * time.Minute}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 50, delay: time.Second})
		r.net.set(dag(2), content{blocks: 3})
		r.net.set(dag(3), content{refuse: "it is not one"})
		r.net.set(dag(4), content{blocks: 3, errs: []error{errors.New("the disk coughed")}})
		expect := func(want pin.Stats) {
			t.Helper()
			synctest.Wait()
			want.Workers = 1
			if got := r.Stats(); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		expect(pin.Stats{})
		r.add(alice, 1)
		time.Sleep(1500 * time.Millisecond)
		expect(pin.Stats{Fetching: 1})
		r.add(alice, 2) // there is one worker
		r.add(alice, 5) // nobody has it
		time.Sleep(time.Second)
		expect(pin.Stats{Fetching: 1, Ready: 1, Seeking: 1})
		time.Sleep(2 * time.Minute)
		expect(pin.Stats{Seeking: 1, Pinned: 2})
		r.add(alice, 3)
		r.add(alice, 4)
		time.Sleep(500 * time.Millisecond)
		expect(pin.Stats{Seeking: 1, Parked: 1, Pinned: 2, Failed: 1, Interrupted: 1})
		time.Sleep(time.Hour) // what nobody has fails too
		expect(pin.Stats{Pinned: 3, Failed: 2, Interrupted: 1})
		for n := range 6 {
			r.add(bob, 100+n) // there are four places
		}
		expect(pin.Stats{Seeking: 4, Waiting: 2, Pinned: 3, Failed: 2, Interrupted: 1})
	})
}

// What runs still has to bring what its root claims, up to the limit of a DAG. What is parked or done
// has not.
func TestClaims(t *testing.T) {
	run(t, pin.Config{Limits: pin.Limits{Bytes: 5000}}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 20, serve: 3, claims: 2000})
		r.net.set(dag(2), content{blocks: 20, serve: 2, claims: 1 << 60})
		r.net.set(dag(3), content{blocks: 20, serve: 2})
		r.net.set(dag(4), content{blocks: 3, claims: 300})
		for n := range 5 {
			r.add(alice, n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, want := r.Claims(), uint64(2000-300+5000-200); got != want {
			t.Errorf("claimed are %d, want %d", got, want)
		}
		for n := 1; n < 4; n++ {
			r.net.set(dag(n), content{blocks: 20, claims: 2000})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.Claims(); got != 0 {
			t.Errorf("in the end %d are claimed", got)
		}
	})
}

// A root may claim what never comes. It counts as far as something has come.
func TestClaimsThatAreNotBelieved(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		const much, first, lie = 20 << 20, 64 << 20, 1 << 60
		r.net.set(dag(1), content{blocks: 20, serve: 1, claims: lie})
		r.net.set(dag(2), content{blocks: 20, serve: 2, size: much, claims: lie})
		r.net.set(dag(3), content{blocks: 20, serve: 2, size: much, claims: 100 << 20})
		for n := range 4 {
			r.add(alice, n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, want := r.Claims(), uint64(first+8*2*much+(100<<20-2*much)); got != want {
			t.Errorf("claimed are %d, want %d", got, want)
		}
	})
}
