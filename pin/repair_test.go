package pin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// repair reports the root of a DAG as damaged, and returns the DAGs that are repaired.
func (r *rig) repair(n int) (told []pin.DAG, err error) {
	err = r.Repair(r.t.Context(), r.recs, []multihash.Multihash{dag(n).CID().Hash()}, func(d pin.DAG) { told = append(told, d) })
	return told, err
}

// A repaired DAG is fetched again under the attempt that it has, and its requests are pinned
// again when it is complete.
func TestRepair(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		v := r.after(time.Minute, r.add(alice, 1), pin.Pinned)
		theirs := r.add(bob, 1)
		if told, err := r.repair(1); err != nil || !slices.Equal(told, []pin.DAG{dag(1)}) {
			t.Fatal(told, err)
		}
		r.after(time.Second, v, pin.Pinning)
		r.after(0, theirs, pin.Pinning)
		// Once more during the repair.
		if told, err := r.repair(1); err != nil || !slices.Equal(told, []pin.DAG{dag(1)}) {
			t.Fatal(told, err)
		}
		r.after(time.Minute, v, pin.Pinned)
		r.after(0, theirs, pin.Pinned)
		if n := r.net.fetches(dag(1)); n != 3 {
			t.Errorf("%d fetches, want one more, and one that began again", n)
		}
		if n := r.dropped(); n != 0 {
			t.Errorf("%d attempts were dropped", n)
		}
		if told, err := r.repair(2); err != nil || len(told) > 0 {
			t.Errorf("repair of what nobody holds: %v, %v", told, err)
		}
	})
}

// A repair goes on after a restart.
func TestRepairGoesOn(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		v := r.after(time.Minute, r.add(alice, 1), pin.Pinned)
		if told, err := r.repair(1); err != nil || !slices.Equal(told, []pin.DAG{dag(1)}) {
			t.Fatal(told, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.repair(1); !errors.Is(err, pin.ErrClosed) {
			t.Errorf("repair after Close: %v", err)
		}
		r.recs.Records = r.recs.Reopen()
		r.start()
		r.after(time.Minute, v, pin.Pinned)
	})
}

// A pin is repaired whatever limits its account has by now, and stays however long that
// takes.
func TestRepairIsNotRefused(t *testing.T) {
	l := limits{alice: {Bytes: 1000}}
	cfg := pin.Config{Quotas: l, StallTimeout: 10 * time.Minute, TotalTimeout: 20 * time.Minute, Window: 2}
	run(t, cfg, func(r *rig) {
		pinned := func(n int, while content) pin.View {
			t.Helper()
			r.net.set(dag(n), content{blocks: n, delay: time.Second})
			v := r.after(10*time.Second, r.add(alice, n), pin.Pinned)
			r.net.set(dag(n), while)
			if _, err := r.repair(n); err != nil {
				t.Fatal(err)
			}
			return v
		}
		one := pinned(1, content{refuse: "it is too large by now"})
		two := pinned(2, content{blocks: 2, serve: 1})
		three := pinned(3, content{blocks: 3, delay: 5 * time.Second})
		four := pinned(4, content{errs: []error{errors.New("oops")}})
		r.Close()
		l[alice] = pin.Quota{Bytes: 100}
		r.start()
		r.after(30*time.Second, three, pin.Pinned)
		if got := r.get(two).Info["status_details"]; !strings.HasPrefix(got, "it was pinned, and a block of it") || !strings.Contains(got, "nothing received for") {
			t.Errorf("status_details %q", got)
		}
		r.Close()
		r.start()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		for n, v := range []pin.View{one, two, four} {
			r.after(0, v, pin.Pinning)
			n := []int{1, 2, 4}[n]
			r.net.set(dag(n), content{blocks: n})
		}
		time.Sleep(time.Hour)
		for _, v := range []pin.View{one, two, four} {
			r.after(0, v, pin.Pinned)
		}
		if r.dropped() > 0 {
			t.Errorf("%d attempts were dropped", r.dropped())
		}
		// A DAG that never was pinned is refused as usual.
		r.net.set(dag(5), content{blocks: 5})
		if _, err := r.Add(t.Context(), alice, pin.Spec{CID: dag(5).String(), Root: dag(5).CID()}); !errors.Is(err, pin.ErrQuota) {
			t.Errorf("add to a full account: %v", err)
		}
	})
}

// When a block of a DAG is found damaged during its fetch, the fetch ends before the marks
// above the block are taken back for good, and begins again after that. The request may be
// removed meanwhile.
func TestRepairStopsFetches(t *testing.T) {
	run(t, pin.Config{}, func(r *rig) {
		r.net.set(dag(1), content{blocks: 10, delay: time.Second})
		v := r.after(5*time.Second, r.add(alice, 1), pin.Pinning)
		ctx, cancel := context.WithCancel(r.t.Context())
		rf := &unmarking{records: r.recs, seen: func(call int) int {
			cancel()
			if walks := r.net.walks(); (walks == 0) != (call > 0) {
				t.Errorf("%d fetches go on at call %d", walks, call)
			}
			return max(2-call, 0) // marks that others had written
		}}
		err := r.Repair(ctx, rf, []multihash.Multihash{dag(1).CID().Hash()}, func(pin.DAG) {})
		if err != nil || rf.calls != 3 {
			t.Errorf("%v after %d calls", err, rf.calls)
		}
		r.after(5*time.Second, v, pin.Pinning)
		r.after(6*time.Second, v, pin.Pinned)
		if n := r.net.fetches(dag(1)); n != 2 {
			t.Errorf("%d fetches", n)
		}
	})
}

// unmarking is a Refetcher that returns as marks what seen returns. seen is given how often
// it was called before.
type unmarking struct {
	*records
	seen  func(call int) int
	calls int
}

func (u *unmarking) NotWhole(ctx context.Context, blocks []multihash.Multihash) ([]pin.DAG, int, error) {
	dags, _, err := u.records.NotWhole(ctx, blocks)
	time.Sleep(time.Second)
	synctest.Wait()
	marks := u.seen(u.calls)
	u.calls++
	return dags, marks, err
}

// A repair is logged when it begins, when it is done, and in between ever less often,
// however its turns end.
func TestRepairIsTold(t *testing.T) {
	run(t, pin.Config{StallTimeout: 10 * time.Minute, Window: 2}, func(r *rig) {
		for n := 1; n <= 2; n++ {
			r.net.set(dag(n), content{blocks: 3})
			r.after(10*time.Second, r.add(alice, n), pin.Pinned)
		}
		r.net.set(dag(1), content{}) // nobody has it
		r.net.set(dag(2), content{errs: slices.Repeat([]error{errors.New("oops")}, 1000)})
		for n := 1; n <= 2; n++ {
			if _, err := r.repair(n); err != nil {
				t.Fatal(err)
			}
		}
		begins := r.logged("is damaged on disk")
		if len(begins) != 2 || !strings.Contains(begins[0], "level=WARN") || !strings.Contains(begins[0], "requestid=") ||
			!strings.Contains(begins[0], "requests=1 damaged_in_all=1") {
			t.Errorf("at its begin: %q", begins)
		}
		time.Sleep(5 * time.Minute)
		stuck := r.logged("gets nowhere")
		if len(stuck) != 1 || !strings.Contains(stuck[0], dag(2).String()) || !strings.Contains(stuck[0], "err=oops") {
			t.Errorf("after an error: %q", stuck)
		}
		time.Sleep(5*time.Hour - 5*time.Minute)
		for n := 1; n <= 2; n++ { // after 10, 20, 40, 80 and 160 min, or so
			lines := 0
			for _, l := range r.logged("gets nowhere") {
				if strings.Contains(l, dag(n).String()) && strings.Contains(l, "requestid=") {
					lines++
				}
			}
			if lines < 3 || lines > 7 {
				t.Errorf("DAG %d has %d lines in 5 h", n, lines)
			}
		}
		if l := r.logged("pin interrupted"); len(l) > 0 {
			t.Errorf("its turns are told, too: %q", l)
		}
		for n := 1; n <= 2; n++ {
			r.net.set(dag(n), content{blocks: 3})
		}
		time.Sleep(10 * time.Minute)
		if l := r.logged("msg=repaired"); len(l) != 2 {
			t.Errorf("at its end: %q", l)
		}
	})
}
