package pin_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Time in which the process did not run counts for no timeout: a running pin, one that has
// received something and a parked one go on where they were.
func TestStoppedProcess(t *testing.T) {
	const stall, stopped = 10 * time.Minute, 24 * time.Hour
	var away atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(away.Load())) }
	cfg := pin.Config{StallTimeout: stall, KeepPartial: -1, TotalTimeout: 2 * stall, Seekers: 2, Now: now}
	run(t, cfg, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, serve: 3})
		var vs []pin.View
		for n := range 4 { // of which two are parked, or wait
			vs = append(vs, r.add(alice, n))
		}
		time.Sleep(stall / 2)
		for range 3 {
			away.Add(int64(stopped))
			time.Sleep(30 * time.Second)
			synctest.Wait()
			for _, v := range vs {
				if got := r.get(v); got.Status != pin.Pinning {
					t.Fatalf("%s is %s after the process was stopped; info %v", v.CID, got.Status, got.Info)
				}
			}
		}
		if got := r.get(vs[1]).Info["elapsed"]; got > "6m40s" || len(got) > len("6m40s") {
			t.Errorf("elapsed %s, of which it ran %v", got, stall/2+90*time.Second)
		}
		// Time in which it did run counts.
		time.Sleep(stall / 2)
		for _, v := range vs {
			r.after(0, v, pin.Failed)
		}
	})
}

// A clock that is set forward or back stops no pin.
func TestClockIsSet(t *testing.T) {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	run(t, pin.Config{Now: now}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 200, delay: time.Second})
		v := r.add(alice, 1)
		for _, step := range []time.Duration{time.Hour, -3 * time.Hour, 2 * time.Hour} {
			time.Sleep(10 * time.Second)
			ahead.Add(int64(step))
			r.after(3*time.Second, v, pin.Pinning)
		}
		r.after(200*time.Second, v, pin.Pinned)
	})
}
