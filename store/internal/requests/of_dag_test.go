package requests_test

import (
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// The requests for a DAG are those that hold it, of whatever account.
func TestRequestsFor(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	spec := pintest.DAGSpec(1)
	d := spec.DAG()
	if a, complete, held, err := s.Graph.Held(t.Context(), d); err != nil || held || complete || a != 0 {
		t.Errorf("before anybody asks: %d %v %v, %v", a, complete, held, err)
	}
	var want []string
	for n := range 3 {
		r, err := s.Requests.Add(t.Context(), manyAccount(n%2), spec)
		must(t, err)
		want = append(want, r.ID)
	}
	_, err := s.Requests.Add(t.Context(), manyAccount(0), pintest.DAGSpec(2))
	must(t, err)
	ids := func(limit int) (all []string) {
		got, err := s.Requests.RequestsFor(t.Context(), d, limit)
		must(t, err)
		for _, r := range got {
			if r.DAG() != d {
				t.Errorf("a request for %s", r.DAG())
			}
			all = append(all, r.ID)
		}
		return all
	}
	same := func(got []string, want ...string) {
		t.Helper()
		seen := make(map[string]bool)
		for _, id := range got {
			seen[id] = true
		}
		for _, id := range want {
			if !seen[id] {
				t.Errorf("%s is not among %v", id, got)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d requests, want %d", len(got), len(want))
		}
	}
	same(ids(10), want...)
	if n := len(ids(2)); n != 2 {
		t.Errorf("%d of 2", n)
	}
	a, _, err := s.Requests.Begin(t.Context(), d)
	must(t, err)
	same(ids(10), want...)
	_, _, err = s.Requests.Complete(t.Context(), d, a, pin.Totals{Blocks: 1, Bytes: 1})
	must(t, err)
	same(ids(10), want...)
	if got, complete, held, err := s.Graph.Held(t.Context(), d); err != nil || !held || !complete || got != a {
		t.Errorf("it is held by %d: %v %v, %v", got, complete, held, err)
	}
	_, _, err = s.Requests.Remove(t.Context(), manyAccount(1), want[1])
	must(t, err)
	same(ids(10), want[0], want[2])
}

// The newest request there ever was counts, also when it is removed.
func TestNewestRequest(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	if at, err := s.Requests.NewestRequest(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("without requests it is %v, %v", at, err)
	}
	for n := range 3 {
		r, err := s.Requests.Add(t.Context(), manyAccount(n%2), pintest.DAGSpec(n))
		must(t, err)
		if n == 2 {
			_, _, err = s.Requests.Remove(t.Context(), r.Account, r.ID)
			must(t, err)
		}
		if at, err := s.Requests.NewestRequest(t.Context()); err != nil || at.Before(r.Created) {
			t.Errorf("after one at %v it is %v, %v", r.Created, at, err)
		}
	}
}
