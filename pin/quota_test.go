package pin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// limits are Quotas over the rig's records. A block of the fake network has 100
// bytes.
type limits struct {
	of  map[string]pin.Quota
	rig *rig
}

func (l *limits) Quota(_ context.Context, account string) (pin.Quota, error) {
	return l.of[account], nil
}

func (l *limits) Usage(ctx context.Context, account string) (u pin.Usage, err error) {
	page, err := l.rig.recs.List(ctx, account, pin.Query{Limit: 1000})
	seen := make(map[pin.DAG]bool)
	for _, r := range page.Requests {
		if d := r.DAG(); !seen[d] {
			seen[d] = true
			u.Bytes += l.size(d)
		}
	}
	return u, err
}

func (l *limits) DAGTotals(ctx context.Context, d pin.DAG) (pin.Totals, bool, error) {
	for root, err := range l.rig.recs.Roots(ctx) {
		if err != nil || root == d {
			return pin.Totals{Bytes: l.size(d)}, err == nil, err
		}
	}
	return pin.Totals{}, false, nil
}

func (l *limits) size(d pin.DAG) uint64 {
	c, _ := l.rig.net.look(d)
	return uint64(c.blocks) * 100
}

// withQuota runs a test in which alice may pin 1,000 bytes, ten blocks.
func withQuota(t *testing.T, test func(*rig)) {
	l := &limits{of: map[string]pin.Quota{alice: {Bytes: 1000}}}
	run(t, pin.Config{Quotas: l}, func(r *rig) {
		l.rig = r
		for n := 1; n <= 20; n++ {
			r.net.set(dag(n), content{blocks: n, delay: 300 * time.Millisecond})
		}
		test(r)
	})
}

func TestQuota(t *testing.T) {
	withQuota(t, func(r *rig) {
		// Crossed on the way: failed, with the reason, and let go.
		big := r.add(alice, 20)
		v := r.after(6*time.Second, big, pin.Failed)
		if got := v.Info["status_details"]; !strings.Contains(got, "quota") || !strings.Contains(got, "of 1000 bytes") {
			t.Errorf("status_details %q", got)
		}
		if r.net.walks() != 0 || r.dropped() != 1 {
			t.Errorf("%d fetches go on, %d attempts were dropped", r.net.walks(), r.dropped())
		}
		// Two at once, of which each would fit.
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
		// What is charged already costs nothing more.
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
		// And one that is not, when it was fetched.
		v, err = r.Replace(t.Context(), alice, v.ID, pintest.DAGSpec(5))
		if err != nil {
			t.Fatal(err)
		}
		r.after(10*time.Second, v, pin.Failed)
	})
}

// Others who wait for the same DAG go on.
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

// A quota of pins counts what is queued, pinning or pinned, and nothing else.
func TestQuotaOfPins(t *testing.T) {
	l := &limits{of: map[string]pin.Quota{alice: {Pins: 3}}}
	run(t, pin.Config{Quotas: l}, func(r *rig) {
		l.rig = r
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
		again := r.add(alice, 1) // the same DAG again is another request
		_, err := r.Add(t.Context(), alice, pintest.DAGSpec(2))
		full("a fourth", err, "quota of pins is reached: it has 3 of 3")
		_, err = r.Retry(t.Context(), alice, failed.ID)
		full("one that had failed", err, "quota of pins is reached: it has 3 of 3")
		r.after(0, failed, pin.Failed)
		_, err = r.Replace(t.Context(), alice, failed.ID, pintest.DAGSpec(2))
		full("in the place of one that had failed", err, "quota of pins is reached: it has 3 of 3")
		// One goes and one comes.
		if one, err = r.Replace(t.Context(), alice, one.ID, pintest.DAGSpec(2)); err != nil {
			t.Errorf("replace at the limit: %v", err)
		}
		r.after(time.Second, one, pin.Pinned)
		// A limit that is lowered removes nothing, and lets nothing new in.
		l.of[alice] = pin.Quota{Pins: 2}
		_, err = r.Replace(t.Context(), alice, one.ID, pintest.DAGSpec(3))
		full("replace over the limit", err, "it has 3 of 2")
		r.after(0, one, pin.Pinned)
		l.of[alice] = pin.Quota{Pins: 3}
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
		// Both quotas hold beside each other.
		l.of[alice] = pin.Quota{Pins: 100, Bytes: 200}
		_, err = r.Add(t.Context(), alice, pintest.DAGSpec(3))
		full("a quota of bytes", err, "its other pins hold 200 of 200 bytes")
	})
}
