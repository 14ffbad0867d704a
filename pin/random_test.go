package pin_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// Random calls, restarts and faults, after which everything settles as it should: a DAG that
// the network has is pinned, another is not, and what nothing holds is dropped, never under
// a running fetch (the network checks that).
func TestRandom(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := pin.Config{Workers: 2, Seekers: 4, Window: 3}
			run(t, cfg, func(r *rig) { random(r, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func random(r *rig, rnd *rand.Rand) {
	const dags = 12
	t, ctx := r.t, r.t.Context()
	for n := range dags {
		switch n % 4 {
		case 0: // nobody has it
		case 1:
			r.net.set(dag(n), content{blocks: 3, delay: time.Duration(rnd.IntN(3000)) * time.Millisecond})
		case 2:
			r.net.set(dag(n), content{blocks: 2, errs: []error{errors.New("oops"), pin.ErrDiskFull}})
		case 3:
			r.net.set(dag(n), content{refuse: "not a DAG"})
		}
	}
	accounts := []string{alice, bob}
	alive := make(map[string]pin.View)
	any := func() (v pin.View, ok bool) {
		for _, v := range alive {
			return v, true
		}
		return v, false
	}
	for range 300 {
		n := rnd.IntN(dags)
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			v := r.add(accounts[rnd.IntN(2)], n)
			alive[v.ID] = v
		case 4, 5:
			if v, ok := any(); ok {
				if err := r.Remove(ctx, v.Account, v.ID); err != nil {
					t.Fatal(err)
				}
				delete(alive, v.ID)
			}
		case 6, 7:
			if v, ok := any(); ok {
				now, err := r.Replace(ctx, v.Account, v.ID, pintest.DAGSpec(n))
				if err != nil {
					t.Fatal(err)
				}
				delete(alive, v.ID)
				alive[now.ID] = now
			}
		case 8:
			if v, ok := any(); ok {
				if _, err := r.Retry(ctx, v.Account, v.ID); err != nil && !errors.Is(err, pin.ErrNotFailed) {
					t.Fatal(err)
				}
			}
		case 9:
			switch rnd.IntN(5) {
			case 4:
				if _, err := r.repair(n); err != nil {
					t.Fatal(err)
				}
			case 0:
				r.Close()
				r.start()
			case 1:
				r.PeerConnected("peer", true)
			default:
				time.Sleep(time.Duration(rnd.IntN(4000)) * time.Millisecond)
			}
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Minute) // past every backoff, and short of the stall timeout
	synctest.Wait()
	for _, v := range alive {
		want := [...]pin.Status{pin.Pinning, pin.Pinned, pin.Pinned, pin.Failed}
		for n := range dags {
			if v.DAG() == dag(n) {
				if got := r.get(v).Status; got != want[n%4] {
					t.Errorf("request for DAG %d is %s, want %s", n, got, want[n%4])
				}
			}
		}
	}
	for id, v := range alive {
		if err := r.Remove(ctx, v.Account, id); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if n := r.net.walks(); n != 0 {
		t.Errorf("%d fetches go on, though nothing is pinned", n)
	}
	if left, err := r.recs.Released(ctx); err != nil || len(left) != 0 {
		t.Errorf("left to drop: %v, %v", left, err)
	}
	for d, err := range r.recs.Roots(ctx) {
		t.Errorf("%v is left complete, %v, though nothing is pinned", d, err)
	}
}
