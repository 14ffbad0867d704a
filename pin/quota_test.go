package pin_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// limits are Quotas. A block of the fake network has 100 bytes.
type limits map[string]pin.Quota

func (l limits) Quota(_ context.Context, account string) (pin.Quota, error) { return l[account], nil }

// withQuota runs a test in which alice may pin 1,000 bytes, ten blocks.
func withQuota(t *testing.T, test func(*rig)) {
	run(t, pin.Config{Quotas: limits{alice: {Bytes: 1000}}}, func(r *rig) {
		for n := 1; n <= 20; n++ {
			r.net.set(dag(n), content{blocks: n, delay: 300 * time.Millisecond})
		}
		test(r)
	})
}

func TestQuota(t *testing.T) {
	withQuota(t, func(r *rig) {
		// Exceeded during the fetch: failed, with the reason, and released.
		big := r.add(alice, 20)
		v := r.after(6*time.Second, big, pin.Failed)
		if got := v.Info["status_details"]; !strings.Contains(got, "quota") || !strings.Contains(got, "of 1000 bytes") {
			t.Errorf("status_details %q", got)
		}
		if r.net.walks() != 0 || r.dropped() != 1 {
			t.Errorf("%d fetches go on, %d attempts were dropped", r.net.walks(), r.dropped())
		}
		// Two at once, each of which would fit alone.
		one, two := r.add(alice, 6), r.add(alice, 7)
		time.Sleep(10 * time.Second)
		a, b := r.get(one).Status, r.get(two).Status
		if a != pin.Pinned || b != pin.Failed {
			t.Errorf("600 and 700 bytes: %s and %s", a, b)
		}
		four := r.after(5*time.Second, r.add(alice, 4), pin.Pinned) // full, to the byte
		if _, err := r.Add(t.Context(), alice, pintest.DAGSpec(1)); !errors.Is(err, pin.ErrQuota) {
			t.Errorf("add to a full account: %v, want ErrQuota", err)
		}
		if _, err := r.Retry(t.Context(), alice, big.ID); !errors.Is(err, pin.ErrQuota) {
			t.Errorf("retry in a full account: %v, want ErrQuota", err)
		}
		// A DAG that is charged already costs nothing more.
		again := r.add(alice, 4)
		if again.Status != pin.Pinned {
			t.Errorf("the same DAG again is %s", again.Status)
		}
		if err := r.Remove(t.Context(), alice, again.ID); err != nil {
			t.Fatal(err)
		}
		// Bob has no limit, and his pins are not charged to alice.
		r.after(10*time.Second, r.add(bob, 20), pin.Pinned)
		r.after(10*time.Second, r.add(bob, 3), pin.Pinned)
		// A DAG that is complete is charged at once.
		if _, err := r.Replace(t.Context(), alice, four.ID, pintest.DAGSpec(20)); !errors.Is(err, pin.ErrQuota) {
			t.Errorf("replace by what is too large: %v, want ErrQuota", err)
		}
		r.after(0, four, pin.Pinned)
		v, err := r.Replace(t.Context(), alice, four.ID, pintest.DAGSpec(3))
		if err != nil || v.Status != pin.Pinned {
			t.Errorf("replace by what fits: %s, %v", v.Status, err)
		}
		// One that is not, when it was fetched.
		v, err = r.Replace(t.Context(), alice, v.ID, pintest.DAGSpec(5))
		if err != nil {
			t.Fatal(err)
		}
		r.after(10*time.Second, v, pin.Failed)
	})
}

// Requests of other accounts for the same DAG go on.
func TestQuotaOfOneOfTwo(t *testing.T) {
	withQuota(t, func(r *rig) {
		mine, his := r.add(alice, 15), r.add(bob, 15)
		r.after(10*time.Second, his, pin.Pinned)
		r.after(0, mine, pin.Failed)
		if n := r.net.fetches(dag(15)); n != 1 {
			t.Errorf("fetched %d times", n)
		}
	})
}

// A pin that was replaced counts until its replacement is done, and makes room for that
// alone.
func TestQuotaOfWhatIsReplaced(t *testing.T) {
	withQuota(t, func(r *rig) {
		replace := func(v pin.View, n int) pin.View {
			t.Helper()
			v, err := r.Replace(t.Context(), alice, v.ID, pintest.DAGSpec(n))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		v := r.after(10*time.Second, r.add(alice, 9), pin.Pinned)
		v = r.after(10*time.Second, replace(v, 10), pin.Pinned) // is fetched beside the 900 bytes
		v = replace(v, 100)                                     // which nobody has
		if _, err := r.Add(t.Context(), alice, pintest.DAGSpec(1)); !errors.Is(err, pin.ErrQuota) {
			t.Errorf("add beside 1,000 bytes that are replaced and kept: %v, want ErrQuota", err)
		}
		if err := r.Remove(t.Context(), alice, v.ID); err != nil {
			t.Fatal(err)
		}
		r.after(10*time.Second, r.add(alice, 10), pin.Pinned)
	})
}

// The quota also applies to requests that are on disk alone, when their DAG is completed for
// another account.
func TestQuotaOfRequestsOnDisk(t *testing.T) {
	run(t, pin.Config{Quotas: limits{alice: {Bytes: 1000}}, Window: 4, Seekers: 2}, func(r *rig) {
		for n := range 20 {
			r.add(alice, 100+n) // nobody has them
			time.Sleep(time.Millisecond)
		}
		r.net.set(dag(20), content{blocks: 20})
		mine, his := r.add(alice, 20), r.add(bob, 20)
		r.after(time.Minute, his, pin.Pinned)
		v := r.after(0, mine, pin.Failed)
		if got := v.Info["status_details"]; !strings.Contains(got, "this one has 2000") {
			t.Errorf("status_details %q", got)
		}
		if u, err := r.recs.Usage(t.Context(), alice); err != nil || u.Bytes != 0 {
			t.Errorf("usage %+v, %v", u, err)
		}
	})
}

// A DAG that is complete and charged is not counted again while its requests are settled.
func TestQuotaWhileAnotherIsSettled(t *testing.T) {
	withQuota(t, func(r *rig) {
		r.Close()
		slow := &slowComplete{Records: r.recs, of: dag(4)}
		m, err := pin.New(t.Context(), r.cfg, slow, r.net)
		if err != nil {
			t.Fatal(err)
		}
		r.Manager = m
		r.net.set(dag(4), content{blocks: 4, delay: 100 * time.Millisecond})
		r.net.set(dag(5), content{blocks: 5, delay: 1500 * time.Millisecond})
		five := r.add(alice, 5)
		time.Sleep(5500 * time.Millisecond) // 300 bytes of it are here
		four := r.add(alice, 4)
		r.after(30*time.Second, four, pin.Pinned)
		r.after(0, five, pin.Pinned)
	})
}

// slowComplete returns some time after the commit that makes a DAG complete, as if the DAG
// had many requests.
type slowComplete struct {
	pin.Records
	of pin.DAG
}

func (s *slowComplete) Complete(ctx context.Context, d pin.DAG, a pin.Attempt, t pin.Totals) (int, []pin.Attempt, error) {
	failed, released, err := s.Records.Complete(ctx, d, a, t)
	if d == s.of {
		time.Sleep(1500 * time.Millisecond)
	}
	return failed, released, err
}

// The quota watch reads each account once a tick, and delays no turn however long its reads
// and writes take.
func TestQuotaHoldsUpNobody(t *testing.T) {
	withQuota(t, func(r *rig) {
		const fetches = 12 // fewer than there are workers
		var reads, fails atomic.Int64
		r.recs.SetFault(func(method string) error {
			switch method {
			case "Usage":
				reads.Add(1)
			case "FailOverQuota":
				fails.Add(1)
			}
			return nil
		})
		for n := range fetches {
			r.net.set(dag(100+n), content{blocks: 9, serve: 1})
			r.add(alice, 100+n)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		reads.Store(0)
		time.Sleep(10 * time.Second)
		if n := reads.Load(); n == 0 || n > 11 || fails.Load() > 0 {
			t.Errorf("%d reads of usage in 10 s for %d fetches that fit, and %d tries to fail them", n, fetches, fails.Load())
		}

		for _, method := range []string{"Usage", "FailOverQuota"} {
			stuck, held := make(chan struct{}), make(chan struct{})
			free := sync.OnceFunc(func() { close(held) })
			defer free()
			var once sync.Once
			r.recs.SetFault(func(m string) error {
				if m == method {
					once.Do(func() { close(stuck) })
					<-held
				}
				return nil
			})
			over := r.add(alice, 20)
			<-stuck
			for n := range 5 {
				his := r.add(bob, 1)
				r.after(2*time.Second, his, pin.Pinned)
				if err := r.Remove(t.Context(), bob, his.ID); err != nil {
					t.Fatal(n, err)
				}
			}
			r.recs.SetFault(nil)
			free()
			r.after(10*time.Second, over, pin.Failed)
		}
	})
}

// A quota of pins counts the DAGs of requests that are queued, pinning or pinned, and no others.
func TestQuotaOfPins(t *testing.T) {
	l := limits{alice: {Pins: 3}}
	run(t, pin.Config{Quotas: l}, func(r *rig) {
		full := func(what string, err error, want string) {
			t.Helper()
			if !errors.Is(err, pin.ErrQuota) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want ErrQuota that says %q", what, err, want)
			}
		}
		for n := range 4 {
			r.net.set(dag(n), content{blocks: 1})
		}
		r.net.set(dag(9), content{refuse: "it is not one"})
		one := r.after(time.Second, r.add(alice, 1), pin.Pinned)
		r.after(time.Second, r.add(alice, 5), pin.Pinning) // which nobody has
		failed := r.after(time.Second, r.add(alice, 9), pin.Failed)
		again := r.add(alice, 0)
		twin := r.add(alice, 1) // for what is pinned
		if err := r.Remove(t.Context(), alice, twin.ID); err != nil {
			t.Fatal(err)
		}
		_, err := r.Add(t.Context(), alice, pintest.DAGSpec(2))
		full("a fourth", err, "quota of pins is reached: it has 3 of 3")
		_, err = r.Retry(t.Context(), alice, failed.ID)
		full("one that had failed", err, "quota of pins is reached: it has 3 of 3")
		r.after(0, failed, pin.Failed)
		_, err = r.Replace(t.Context(), alice, failed.ID, pintest.DAGSpec(2))
		full("in the place of one that had failed", err, "quota of pins is reached: it has 3 of 3")
		// One is replaced by one.
		if one, err = r.Replace(t.Context(), alice, one.ID, pintest.DAGSpec(2)); err != nil {
			t.Errorf("replace at the limit: %v", err)
		}
		r.after(time.Second, one, pin.Pinned)
		// A lowered limit removes nothing, and admits nothing new.
		l[alice] = pin.Quota{Pins: 2}
		_, err = r.Replace(t.Context(), alice, one.ID, pintest.DAGSpec(3))
		full("replace over the limit", err, "it has 3 of 2")
		r.after(0, one, pin.Pinned)
		l[alice] = pin.Quota{Pins: 3}
		if err := r.Remove(t.Context(), alice, again.ID); err != nil {
			t.Fatal(err)
		}
		r.net.set(dag(9), content{blocks: 1})
		v, err := r.Retry(t.Context(), alice, failed.ID)
		if err != nil {
			t.Fatalf("retry with room: %v", err)
		}
		r.after(time.Second, v, pin.Pinned)
		_, err = r.Add(t.Context(), alice, pintest.DAGSpec(3))
		full("after the retry", err, "quota of pins is reached: it has 3 of 3")
		r.after(time.Second, r.add(bob, 3), pin.Pinned) // who has no limit
		// Both quotas apply together.
		l[alice] = pin.Quota{Pins: 100, Bytes: 200}
		_, err = r.Add(t.Context(), alice, pintest.DAGSpec(3))
		full("a quota of bytes", err, "its other pins hold 200 of 200 bytes")
	})
}

// What cannot be read for an hour is logged, but not once a second.
func TestReadsThatFailAreLoggedSeldom(t *testing.T) {
	for _, method := range []string{"UnfinishedAfter", "Usage"} {
		cfg := pin.Config{Window: 2, Seekers: 2, Quotas: limits{alice: {Bytes: 1 << 20}}}
		run(t, cfg, func(r *rig) {
			r.net.set(dag(0), half)
			for n := range 20 {
				r.add(alice, n)
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			r.recs.SetFault(func(m string) error {
				if m == method {
					return errors.New("input/output error")
				}
				return nil
			})
			time.Sleep(time.Hour)
			if n := len(r.logged("level=ERROR")); n == 0 || n > 100 {
				t.Errorf("%d errors are logged in an hour in which %s fails", n, method)
			}
			r.recs.SetFault(nil)
		})
	}
}
