package requests_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// bytesFor limits accounts to as many bytes as the function says.
func bytesFor(s *roomtest.Store, of func(account string) uint64) {
	s.Requests.SetQuotas(pintest.QuotaFunc(func(account string) pin.Quota { return pin.Quota{Bytes: of(account)} }))
}

// Requests of an account that is over its quota fail some thousand in a commit.
func TestFailOverQuotaOfMany(t *testing.T) {
	var commits atomic.Int64
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{
		Now:       new(roomtest.Clock).Now,
		FreeSpace: func(string) (uint64, error) { commits.Add(1); return 1 << 40, nil }, // asked before each commit
	})
	bytesFor(s, func(account string) uint64 {
		if account == manyAccount(0) {
			return 1000
		}
		return 0
	})
	const more = 3 * requests.ChunkBits
	addMany(t, s, 2, more)
	d := pintest.DAGSpec(1).DAG()
	_, _, err := s.Requests.Begin(t.Context(), d)
	must(t, err)
	commits.Store(0)
	failed, released, err := s.Requests.FailOverQuota(t.Context(), manyAccount(0), d, 1001)
	must(t, err)
	if failed != more+1 || len(released) > 0 {
		t.Errorf("%d requests failed, want %d; released %v", failed, more+1, released)
	}
	if n := commits.Load(); n > 6 {
		t.Errorf("%d commits for %d requests", n, failed)
	}
	page, err := s.Requests.List(t.Context(), manyAccount(1), pin.Query{Statuses: []pin.Status{pin.Pinning}})
	must(t, err)
	if page.Count != 1 {
		t.Error("another account's request is not pinning any more")
	}
	roomtest.CheckInvariants(t, s.KV)
}

// What settles a DAG after a crash keeps to quotas as Complete does.
func TestQuotaAfterCompleteInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var left atomic.Int64
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{
		Now: new(roomtest.Clock).Now,
		FreeSpace: func(string) (uint64, error) {
			if left.Add(-1) == 0 {
				cancel()
			}
			return 1 << 40, nil
		},
	})
	small := map[string]bool{manyAccount(1): true, manyAccount(flipAccounts - 1): true}
	bytesFor(s, func(account string) uint64 {
		if small[account] {
			return 99
		}
		return 100
	})
	addMany(t, s, flipAccounts, 0)
	d := pintest.DAGSpec(1).DAG()
	a, _, err := s.Requests.Begin(t.Context(), d)
	must(t, err)
	left.Store(1)
	if _, _, err := s.Requests.Complete(ctx, d, a, pin.Totals{Blocks: 1, Bytes: 100}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Complete: %v", err)
	}
	roomtest.CheckInvariants(t, s.KV)
	_, complete, err := s.Requests.Begin(t.Context(), d)
	must(t, err)
	if !complete {
		t.Error("it is not complete")
	}
	for n := range flipAccounts {
		account, want := manyAccount(n), pin.Pinned
		if small[account] {
			want = pin.Failed
		}
		page, err := s.Requests.List(t.Context(), account, pin.Query{Statuses: pin.Statuses(), Limit: 1})
		must(t, err)
		if r := page.Requests[0]; r.Status != want || want == pin.Failed && !strings.Contains(r.Details, "this one has 100") {
			t.Errorf("account %d: %s, %q, want %s", n, r.Status, r.Details, want)
		}
	}
	roomtest.CheckInvariants(t, s.KV)
}

// Who joins after the limits were asked for, and before the commit, is held to theirs.
func TestQuotaOfWhoJoinsLate(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{Now: new(roomtest.Clock).Now})
	spec := pintest.DAGSpec(1)
	var late pin.Request
	asked := 0
	bytesFor(s, func(account string) uint64 {
		if account != manyAccount(0) {
			return 99
		}
		if asked++; asked == 2 { // of Add, then of Complete
			var err error
			late, err = s.Requests.Add(t.Context(), manyAccount(1), spec)
			must(t, err)
		}
		return 0
	})
	first, err := s.Requests.Add(t.Context(), manyAccount(0), spec)
	must(t, err)
	a, _, err := s.Requests.Begin(t.Context(), spec.DAG())
	must(t, err)
	_, _, err = s.Requests.Complete(t.Context(), spec.DAG(), a, pin.Totals{Blocks: 1, Bytes: 100})
	must(t, err)
	for id, want := range map[*pin.Request]pin.Status{&first: pin.Pinned, &late: pin.Failed} {
		got, err := s.Requests.Get(t.Context(), id.Account, id.ID)
		must(t, err)
		if got.Status != want {
			t.Errorf("%s is %s, want %s", id.Account, got.Status, want)
		}
	}
	roomtest.CheckInvariants(t, s.KV)
}

// A call asks once for what an account may have: asking waits for what is written.
func TestQuotaIsAskedOnce(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{Now: new(roomtest.Clock).Now})
	asked := 0
	bytesFor(s, func(string) uint64 { asked++; return 1 << 40 })
	once := func(what string, err error) {
		t.Helper()
		must(t, err)
		if asked != 1 {
			t.Errorf("%s asks %d times", what, asked)
		}
		asked = 0
	}
	ctx := t.Context()
	r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(1))
	once("Add", err)
	r, _, _, err = s.Requests.Replace(ctx, roomtest.Account, r.ID, pintest.DAGSpec(2))
	once("Replace", err)
	_, err = s.Requests.Fail(ctx, r.DAG(), "why")
	must(t, err)
	_, err = s.Requests.Retry(ctx, roomtest.Account, r.ID)
	once("Retry", err)
	a, _, err := s.Requests.Begin(ctx, r.DAG())
	must(t, err)
	_, _, err = s.Requests.FailOverQuota(ctx, roomtest.Account, r.DAG(), 10)
	once("FailOverQuota", err)
	_, _, err = s.Requests.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 1, Bytes: 10})
	once("Complete", err)
}
