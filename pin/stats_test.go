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
