package requests_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// quotaOf has the quotas of some accounts.
type quotaOf map[string]pin.Quota

func (q quotaOf) Quota(_ context.Context, account string) (pin.Quota, error) { return q[account], nil }

// adoptAll gives all requests of the first account to the third.
func adoptAll(t *testing.T, s *roomtest.Store) (moved []pin.Adopted, err error) {
	t.Helper()
	left, err := s.Requests.Adopt(t.Context(), roomtest.ThreeAccounts[0], roomtest.ThreeAccounts[2], func(some []pin.Adopted) { moved = append(moved, some...) })
	if left != 0 {
		t.Errorf("%d are left", left)
	}
	return moved, err
}

// What an account adopts is as it was, but for whose it is: everything is charged to that
// one, and nothing to the other.
func TestAdopt(t *testing.T) {
	ctx := t.Context()
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	roomtest.MakeEverything(t, s)
	was, err := s.Requests.List(ctx, roomtest.ThreeAccounts[0], roomtest.EveryStatus)
	must(t, err)
	usage := roomtest.Usages(t, s)[roomtest.ThreeAccounts[0]]
	moved, err := adoptAll(t, s)
	must(t, err)
	roomtest.CheckInvariants(t, s.KV)
	now, err := s.Requests.List(ctx, roomtest.ThreeAccounts[2], roomtest.EveryStatus)
	must(t, err)
	if len(moved) != 4 || now.Count != 4 {
		t.Fatalf("%d moved, and there are %d", len(moved), now.Count)
	}
	for i, r := range now.Requests {
		want := was.Requests[i]
		want.Account = roomtest.ThreeAccounts[2]
		if r.ID != want.ID || !r.Created.Equal(want.Created) || r.Status != want.Status || r.Totals != want.Totals ||
			r.CID != want.CID || r.Name != want.Name || r.Details != want.Details || r.Account != want.Account {
			t.Errorf("%+v is %+v", want, r)
		}
	}
	if left, err := s.Requests.List(ctx, roomtest.ThreeAccounts[0], roomtest.EveryStatus); err != nil || left.Count != 0 {
		t.Errorf("%d are left, %v", left.Count, err)
	}
	if u, err := s.Requests.Usage(ctx, roomtest.ThreeAccounts[2]); err != nil || u != usage {
		t.Errorf("it is charged %+v, %v, want %+v", u, err, usage)
	}
	if u := roomtest.Usages(t, s)[roomtest.ThreeAccounts[0]]; u != (pin.Usage{}) {
		t.Errorf("the other is charged %+v", u)
	}
	// What replaced another lets go of that when it is done, for its new account.
	replaces := now.Requests[slices.IndexFunc(now.Requests, func(r pin.Request) bool { return r.Status == pin.Pinning })]
	a, _, err := s.Requests.Begin(ctx, replaces.DAG())
	must(t, err)
	_, released, err := s.Requests.Complete(ctx, replaces.DAG(), a, pin.Totals{Blocks: 1, Bytes: 50})
	must(t, err)
	if len(released) != 1 {
		t.Errorf("%v are let go of", released)
	}
	if u, err := s.Requests.Usage(ctx, roomtest.ThreeAccounts[2]); err != nil || u.Bytes != 3000+50 || u.DAGs != 2 {
		t.Errorf("then it is charged %+v, %v", u, err)
	}
	roomtest.CheckInvariants(t, s.KV)
}

// Quotas hold: what there is no room for stays, and comes when there is. Who has newer pins
// gets the others under new ids, and no date twice.
func TestAdoptWithinQuotas(t *testing.T) {
	ctx := t.Context()
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	roomtest.MakeEverything(t, s)
	limits := quotaOf{}
	s.Requests.SetQuotas(limits)
	own, err := s.Requests.Add(ctx, roomtest.ThreeAccounts[2], pintest.DAGSpec(9))
	must(t, err)
	adopted := 0
	for _, step := range []struct {
		quota pin.Quota
		bytes bool // which of the two is in the way
		more  int
	}{
		{pin.Quota{Bytes: 2999}, true, 0},           // pinned: 3,000 bytes
		{pin.Quota{Bytes: 3000, Pins: 1}, false, 0}, // its own
		{pin.Quota{Bytes: 3000}, true, 1},
		{pin.Quota{Bytes: 6000}, true, 1}, // one that replaced what had 3,000; no room for what is queued
		{pin.Quota{Pins: 3}, false, 0},
		{pin.Quota{Bytes: 6001, Pins: 4}, false, 2}, // queued, and one that failed, which takes no room
	} {
		limits[roomtest.ThreeAccounts[2]] = step.quota
		moved, err := adoptAll(t, s)
		adopted += len(moved)
		var over *pin.QuotaError
		if len(moved) != step.more || errors.As(err, &over) != (adopted < 4) || over != nil && over.Pins == step.bytes {
			t.Errorf("with %+v %d move, %v", step.quota, len(moved), err)
		}
		roomtest.CheckInvariants(t, s.KV)
		for _, m := range moved {
			if m.Now.ID == m.Was.ID || !m.Now.Created.After(own.Created) {
				t.Errorf("%+v is %+v", m.Was, m.Now)
			}
		}
	}
	page, err := s.Requests.List(ctx, roomtest.ThreeAccounts[2], roomtest.EveryStatus)
	if err != nil || page.Count != 5 {
		t.Errorf("in the end it has %d, %v", page.Count, err)
	}
}

// A damaged request is written anew for its new account; one whose CID is not known stays.
func TestAdoptDamaged(t *testing.T) {
	ctx := t.Context()
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	roomtest.MakeEverything(t, s)
	page, err := s.Requests.List(ctx, roomtest.ThreeAccounts[0], roomtest.EveryStatus)
	must(t, err)
	a, _ := kv.AccountOf(roomtest.ThreeAccounts[0])
	known, unknown := page.Requests[0], page.Requests[1]
	for _, key := range [][]byte{roomtest.RequestKey(known), roomtest.RequestKey(unknown), roomtest.ByDAGKey(unknown.DAG(), a)} {
		roomtest.Spoil(t, s.Badger, key, nil)
	}
	moved := 0
	left, err := s.Requests.Adopt(ctx, roomtest.ThreeAccounts[0], roomtest.ThreeAccounts[2], func(some []pin.Adopted) { moved += len(some) })
	if err != nil || left != 1 || moved != 3 {
		t.Errorf("%d move, %d are left, %v", moved, left, err)
	}
	now, err := s.Requests.List(ctx, roomtest.ThreeAccounts[2], roomtest.EveryStatus)
	if err != nil || now.Count != 3 || slices.ContainsFunc(now.Requests, func(r pin.Request) bool { return r.Damaged }) || now.Requests[0].DAG() != known.DAG() {
		t.Errorf("now there are %+v, %v", now, err)
	}
}
