package roomtest

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// ThreeAccounts are accounts for tests with several of them; the first is [Account].
var ThreeAccounts = []string{Account, "0a11ce00-0000-4000-8000-000000000002", "0a11ce00-0000-4000-8000-000000000003"}

// EveryStatus asks for all requests.
var EveryStatus = pin.Query{Statuses: pin.Statuses(), Limit: 1000}

// MakeEverything makes one of each kind of record: two accounts have one DAG pinned, and the
// first has a request of each status, one that replaced another, a released attempt, a DAG that
// lingers, and an upload that is kept.
func MakeEverything(tb testing.TB, s Pins) {
	tb.Helper()
	ctx := tb.Context()
	by := &pin.Delivered{At: time.UnixMilli(1), Sources: []pin.Source{{Name: "peer", Blocks: 3, Bytes: 3000}}}
	complete := func(account string, n int, spec pin.Spec) pin.Request {
		r, err := s.Add(ctx, account, spec)
		Must(tb, err)
		a, done, err := s.Begin(ctx, r.DAG())
		Must(tb, err)
		if !done {
			Must(tb, PutTo(s, ctx, a, SomeBlocks(uint64(n)*1000, 3, 1000)))
			_, _, err = s.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 3, Bytes: 3000, By: by})
			Must(tb, err)
		}
		return r
	}
	named := pintest.DAGSpec(1)
	named.Name, named.Meta = "one", map[string]string{"k": "v"}
	complete(Account, 1, named)
	complete(ThreeAccounts[1], 1, named)
	was := complete(Account, 2, pintest.DAGSpec(2))
	now, _, _, err := s.Replace(ctx, Account, was.ID, pintest.DAGSpec(3))
	Must(tb, err)
	_, _, err = s.Begin(ctx, now.DAG())
	Must(tb, err)
	near := pintest.DAGSpec(4)
	near.IdempotencyKey = "key"
	near.Origins, near.From = []string{"/ip4/192.168.1.7/tcp/4001/p2p/a"}, netip.MustParseAddr("192.168.1.7")
	_, err = s.Add(ctx, Account, near)
	Must(tb, err)
	failed, err := s.Add(ctx, Account, pintest.DAGSpec(5))
	Must(tb, err)
	_, err = s.Fail(ctx, failed.DAG(), "nobody has it")
	Must(tb, err)
	gone := complete(Account, 6, pintest.DAGSpec(6))
	_, _, err = s.Remove(ctx, Account, gone.ID)
	Must(tb, err)
	unpinned := complete(Account, 7, pintest.DAGSpec(7))
	_, _, err = s.Linger(ctx, Account, unpinned.ID)
	Must(tb, err)
	upload, err := s.NewUpload(ctx)
	Must(tb, err)
	Must(tb, PutTo(s, ctx, upload, SomeBlocks(8000, 1, 1000)))
	Must(tb, s.KeepUpload(ctx, Account, upload, pin.Totals{Blocks: 1, Bytes: 1000}))
}

// KeysOf lists the keys that begin with one of the kinds.
func KeysOf(tb testing.TB, db *kv.DB, kinds ...byte) (keys [][]byte) {
	tb.Helper()
	for _, kind := range kinds {
		Must(tb, db.View(tb.Context(), func(r *kv.Reader) error {
			return r.Scan(kv.Span{Prefix: []byte{kind}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
				keys = append(keys, bytes.Clone(key))
				return true, nil
			})
		}))
	}
	return keys
}

// Spoil writes another value under a key that is there.
func Spoil(tb testing.TB, db *badger.DB, key, value []byte) {
	tb.Helper()
	Must(tb, db.Update(func(txn *badger.Txn) error {
		if _, err := reading.Find(txn, key); err != nil {
			return fmt.Errorf("key %x: %w", key, err)
		}
		return txn.Set(key, value)
	}))
}

// Usages gives what the first two accounts are charged.
func Usages(tb testing.TB, s Pins) map[string]pin.Usage {
	tb.Helper()
	all := map[string]pin.Usage{}
	for _, account := range ThreeAccounts[:2] {
		u, err := s.Usage(tb.Context(), account)
		Must(tb, err)
		all[account] = u
	}
	return all
}
