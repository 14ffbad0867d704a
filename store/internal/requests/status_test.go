package requests_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

func manyAccount(n int) string { return fmt.Sprintf("0a11ce00-0000-4000-8000-%012x", n) }

// addMany adds requests of the first DAG: one for each of the accounts, then
// more for the first account.
func addMany(t *testing.T, s *roomtest.Store, accounts, more int) {
	t.Helper()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < accounts+more; n = int(next.Add(1)) - 1 {
				account := manyAccount(n)
				if n >= accounts {
					account = manyAccount(0)
				}
				if _, err := s.Requests.Add(t.Context(), account, pintest.DAGSpec(1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// wantAll checks that every request is of one status.
func wantAll(t *testing.T, s *roomtest.Store, accounts, more int, status pin.Status) {
	t.Helper()
	for n := range accounts {
		want := 1
		if n == 0 {
			want += more
		}
		for _, st := range pin.Statuses() {
			page, err := s.Requests.List(t.Context(), manyAccount(n), pin.Query{Statuses: []pin.Status{st}})
			must(t, err)
			if st == status && page.Count != want || st != status && page.Count != 0 {
				t.Fatalf("account %d has %d %s, all %d should be %s", n, page.Count, st, want, status)
			}
		}
	}
}

// More accounts than one change flips, and more requests in one account than
// one change fails.
const flipAccounts, flipMore = requests.ChunksPerChange + 100, 3 * requests.ChunkBits

func TestFlipsOfManyRequests(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{Now: new(roomtest.Clock).Now})
	ctx := t.Context()
	d := pintest.DAGSpec(1).DAG()
	addMany(t, s, flipAccounts, flipMore)
	wantAll(t, s, flipAccounts, flipMore, pin.Queued)

	_, _, err := s.Requests.Begin(ctx, d)
	must(t, err)
	wantAll(t, s, flipAccounts, flipMore, pin.Pinning)

	released, err := s.Requests.Fail(ctx, d, strings.Repeat("why ", 200))
	must(t, err)
	if len(released) != 1 {
		t.Errorf("released %v", released)
	}
	wantAll(t, s, flipAccounts, flipMore, pin.Failed)
	page, err := s.Requests.List(ctx, manyAccount(0), pin.Query{Statuses: pin.Statuses(), Limit: flipMore + 1})
	must(t, err)
	for _, r := range page.Requests {
		if !strings.HasPrefix(r.Details, "why") {
			t.Fatalf("a failed request has details %q", r.Details)
		}
	}
	if _, _, err := s.Requests.Begin(ctx, d); !errors.Is(err, pin.ErrNotFound) {
		t.Errorf("Begin, with all failed: %v", err)
	}
	roomtest.CheckInvariants(t, s.KV)
}

// What was complete when the process ended is settled by the next Begin.
func TestCompleteInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var writes atomic.Int64
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{
		Now: new(roomtest.Clock).Now,
		FreeSpace: func(string) (uint64, error) { // is asked before each commit
			if writes.Add(-1) == 0 {
				cancel()
			}
			return 1 << 40, nil
		},
	})
	spec := pintest.DAGSpec(1)
	addMany(t, s, flipAccounts, 0)
	// The last account's request came by Replace, and holds another DAG.
	last := manyAccount(flipAccounts)
	old, err := s.Requests.Add(t.Context(), last, pintest.DAGSpec(2))
	must(t, err)
	held, _, err := s.Requests.Begin(t.Context(), old.DAG())
	must(t, err)
	_, _, released, err := s.Requests.Replace(t.Context(), last, old.ID, spec)
	must(t, err)
	if len(released) > 0 {
		t.Errorf("released %v", released)
	}

	a, _, err := s.Requests.Begin(t.Context(), spec.DAG())
	must(t, err)
	writes.Store(1) // the commit that follows is the last
	if _, _, err := s.Requests.Complete(ctx, spec.DAG(), a, pin.Totals{Blocks: 1}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Complete: %v", err)
	}
	roomtest.CheckInvariants(t, s.KV)
	left := 0
	accounts, err := s.Requests.Accounts(t.Context(), pin.Pinning)
	must(t, err)
	for _, account := range accounts {
		page, err := s.Requests.List(t.Context(), account, pin.Query{Statuses: []pin.Status{pin.Pinning}, DAGs: []pin.DAG{spec.DAG()}})
		must(t, err)
		left += page.Count
	}
	if left != flipAccounts+1-requests.ChunksPerChange {
		t.Errorf("%d requests are left", left)
	}
	got, complete, err := s.Requests.Begin(t.Context(), spec.DAG())
	must(t, err)
	if got != a || !complete {
		t.Errorf("attempt %d, complete %v", got, complete)
	}
	wantAll(t, s, flipAccounts, 0, pin.Pinned)
	marked, err := s.Graph.Released(t.Context())
	must(t, err)
	if len(marked) != 1 || marked[0] != held {
		t.Errorf("released %v, want %d", marked, held)
	}
	roomtest.CheckInvariants(t, s.KV)
}
