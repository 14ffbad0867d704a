package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
)

// spoil writes another value under a key.
func spoil(t *testing.T, s *Store, key, value []byte) {
	t.Helper()
	must(t, s.db.Update(func(txn *badger.Txn) error {
		if _, err := txn.Get(key); err != nil {
			return fmt.Errorf("key %x: %w", key, err)
		}
		return txn.Set(key, value)
	}))
}

// everyStatus asks for all requests.
var everyStatus = pin.Query{Statuses: pin.Statuses(), Limit: 1000}

// withEverything makes one of each kind of record: two accounts have one DAG pinned, and the
// first has a request of each status, one that replaced another, and a released attempt.
func withEverything(t *testing.T, cfg Config) *Store {
	t.Helper()
	ctx := t.Context()
	s := openTest(t, t.TempDir(), cfg)
	complete := func(account string, n int, spec pin.Spec) pin.Request {
		r, err := s.requestRecords.Add(ctx, account, spec)
		must(t, err)
		a, done, err := s.requestRecords.Begin(ctx, r.DAG())
		must(t, err)
		if !done {
			must(t, putTo(s, ctx, a, someBlocks(uint64(n)*1000, 3, 1000)))
			_, err = s.requestRecords.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 3, Bytes: 3000})
			must(t, err)
		}
		return r
	}
	named := pintest.DAGSpec(1)
	named.Name, named.Meta = "one", map[string]string{"k": "v"}
	complete(benchAccount, 1, named)
	complete(modelAccounts[1], 1, named)
	was := complete(benchAccount, 2, pintest.DAGSpec(2))
	now, _, _, err := s.requestRecords.Replace(ctx, benchAccount, was.ID, pintest.DAGSpec(3))
	must(t, err)
	_, _, err = s.requestRecords.Begin(ctx, now.DAG())
	must(t, err)
	near := keyed(4, "key")
	near.Origins, near.From = []string{"/ip4/192.168.1.7/tcp/4001/p2p/a"}, netip.MustParseAddr("192.168.1.7")
	_, err = s.requestRecords.Add(ctx, benchAccount, near)
	must(t, err)
	failed, err := s.requestRecords.Add(ctx, benchAccount, pintest.DAGSpec(5))
	must(t, err)
	_, err = s.requestRecords.Fail(ctx, failed.DAG(), "nobody has it")
	must(t, err)
	gone := complete(benchAccount, 6, pintest.DAGSpec(6))
	_, _, err = s.requestRecords.Remove(ctx, benchAccount, gone.ID)
	must(t, err)
	return s
}

// keysOf lists the keys of a store that begin with one of the kinds.
func keysOf(t *testing.T, s *Store, kinds ...byte) (keys [][]byte) {
	t.Helper()
	for _, kind := range kinds {
		must(t, s.kv.View(t.Context(), func(r *kv.Reader) error {
			return r.Scan(kv.Span{Prefix: []byte{kind}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
				keys = append(keys, bytes.Clone(key))
				return true, nil
			})
		}))
	}
	return keys
}

func requestKinds() []byte {
	return []byte{
		requests.KAccount, requests.KRequest, requests.KRow, requests.KStatus, requests.KByDAG, requests.KByName, requests.KHolds, requests.KDetails, requests.KCharge, requests.KUsage, requests.KOnce, requests.KOnceOrder, requests.KRequester, holding.KDAG, holding.KAttempt, holding.KReleased,
		holding.KLinkTo, holding.KLinkFrom,
	}
}

// Whichever value cannot be read: everything else is listed, counted, made, retried and
// removed, what it is about can be removed, and a check names it.
func TestOneDamagedRecord(t *testing.T) {
	template := withEverything(t, Config{})
	keys := keysOf(t, template, requestKinds()...)
	for _, kind := range requestKinds() {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return k[0] == kind }) {
			t.Errorf("there is nothing of kind %x", kind)
		}
	}
	perKind := map[byte]int{}
	for i := range keys {
		kind := keys[i][0]
		if perKind[kind]++; perKind[kind] > 5 || perKind[kind] > 1 && kind >= holding.KLinkTo {
			continue // links: one is like another
		}
		name, value := "others", []byte{0xff, 0xfe, 0xfd}
		if perKind[kind]%2 == 0 || kind == requests.KDetails {
			name, value = "no bytes", nil
		}
		t.Run(fmt.Sprintf("%x %d %s", kind, perKind[kind], name), func(t *testing.T) {
			s := withEverything(t, Config{Logger: slog.New(slog.DiscardHandler)})
			key := keysOf(t, s, requestKinds()...)[i]
			checkOneDamaged(t, s, key, value)
		})
	}
}

func checkOneDamaged(t *testing.T, s *Store, key, value []byte) {
	ctx := t.Context()
	before := usages(t, s)
	spoil(t, s, key, value)
	st, err := s.Stats(ctx)
	must(t, err)
	report, err := s.Verify(ctx, func(d Damage) error { return fmt.Errorf("block %s is %s", d.CID(), d.Kind) }, nil)
	must(t, err)
	if report.BadRecords != 1 || len(report.Records) != 1 || report.Records[0].Key != fmt.Sprintf("%x", key) {
		t.Errorf("verify says %+v of key %x", report.DamagedRecords, key)
	}
	if key[0] < holding.KLinkTo && st.BadRecords != 1 {
		t.Errorf("stats say %+v of key %x", st.DamagedRecords, key)
	}
	if st.DAGs != 4 || st.Complete != 2 || st.Live.Blocks == 0 {
		t.Errorf("stats say %+v", st)
	}
	if _, err := s.requestRecords.Queue(ctx); err != nil {
		t.Errorf("queue: %v", err)
	}
	for account, want := range map[string]int{benchAccount: 4, modelAccounts[1]: 1} {
		page, err := s.requestRecords.List(ctx, account, everyStatus)
		must(t, err)
		if page.Count != want || len(page.Requests) != want {
			t.Errorf("account %s has %d, of which %d are listed, want %d", account, page.Count, len(page.Requests), want)
		}
		for _, r := range page.Requests {
			got, err := s.requestRecords.Get(ctx, account, r.ID)
			if err != nil || got.Damaged != r.Damaged || got.CID != r.CID {
				t.Errorf("listed %+v, got %+v, %v", r, got, err)
			}
			if r.Damaged && (r.Status != pin.Failed || !r.Root.Defined() || !strings.Contains(r.Details, "cannot read")) {
				t.Errorf("damaged: %+v", r)
			}
			if r.Damaged != (key[0] == requests.KRequest && bytes.Equal(key, requestKeyOf(r))) {
				t.Errorf("%s is damaged: %v", r.ID, r.Damaged)
			}
		}
		for _, q := range []pin.Query{
			{Name: "one", Match: pin.Partial, Statuses: pin.Statuses(), Limit: 9}, {Meta: map[string]string{"k": "v"}, Statuses: pin.Statuses(), Limit: 9},
			{Name: "one", Statuses: pin.Statuses(), Limit: 9}, {After: time.UnixMilli(1), Statuses: pin.Statuses(), Limit: 9},
			{DAGs: []pin.DAG{pintest.DAGSpec(1).DAG()}, Statuses: pin.Statuses(), Limit: 9},
		} {
			if page, err := s.requestRecords.List(ctx, account, q); err != nil || page.Count < 1 {
				t.Errorf("list %+v: %d, %v", q, page.Count, err)
			}
		}
	}
	if after := usages(t, s); !maps.Equal(before, after) {
		t.Errorf("usage is %v, was %v", after, before)
	}
	for _, status := range []pin.Status{pin.Queued, pin.Pinning} {
		if some, err := s.requestRecords.UnfinishedAfter(ctx, benchAccount, status, time.Time{}, 10); err != nil || len(some) != 1 {
			t.Errorf("%s: %d, %v", status, len(some), err)
		}
	}
	released, err := s.held.Released(ctx)
	if err != nil || len(released) != 1 {
		t.Errorf("released: %v, %v", released, err)
	}
	roots := 0
	for _, err := range s.held.Roots(ctx) {
		must(t, err)
		roots++
	}
	if roots != 2 {
		t.Errorf("%d roots", roots)
	}
	// All that is left to do works: what waits is done, more comes, and all goes.
	for _, n := range []int{3, 4} {
		d := pintest.DAGSpec(n).DAG()
		a, done, err := s.requestRecords.Begin(ctx, d)
		if err != nil || done {
			t.Fatalf("begin %d: %v, %v", n, done, err)
		}
		must(t, putTo(s, ctx, a, someBlocks(uint64(n)*1000, 3, 1000)))
		some, err := s.requestRecords.Complete(ctx, d, a, pin.Totals{Blocks: 3, Bytes: 3000})
		must(t, err)
		released = append(released, some...)
	}
	if _, err := s.requestRecords.Add(ctx, benchAccount, pintest.DAGSpec(1)); err != nil {
		t.Error(err)
	}
	for _, account := range modelAccounts[:2] {
		for page, err := s.requestRecords.List(ctx, account, everyStatus); len(page.Requests) > 0; page, err = s.requestRecords.List(ctx, account, everyStatus) {
			must(t, err)
			_, some, err := s.requestRecords.Remove(ctx, account, page.Requests[0].ID)
			must(t, err)
			released = append(released, some...)
		}
	}
	for _, a := range released {
		must(t, s.held.Drop(ctx, a))
	}
	if key[0] == requests.KHolds { // what it held stays, rather than too little
		return
	}
	checkInvariants(t, s)
	if key[0] == requests.KOnce || key[0] == requests.KOnceOrder {
		must(t, s.requestRecords.SweepKeys(ctx, func(context.Context, time.Duration) error { return nil }))
	}
	if key[0] > holding.KDAG { // for the others it takes only time
		reclaimAll(t, s)
		if st, err = s.Stats(ctx); err != nil || st.Dead.Blocks != 0 {
			t.Errorf("%d blocks stay, %v", st.Dead.Blocks, err)
		}
	}
	if st, err = s.Stats(ctx); err != nil || st.Live.Blocks+st.DAGs+st.BadRecords != 0 {
		t.Errorf("in the end there is %+v, %v", st, err)
	}
	if u := usages(t, s); u[benchAccount] != (pin.Usage{}) || u[modelAccounts[1]] != (pin.Usage{}) {
		t.Errorf("in the end accounts are charged %+v", u)
	}
}

// A number that cannot be read is not given out again.
func TestDamagedHolder(t *testing.T) {
	s := withEverything(t, Config{Logger: slog.New(slog.DiscardHandler)})
	spoil(t, s, kv.MetaKey(kv.MetaHolder), []byte{7})
	last, err := s.held.NewHolders(t.Context(), 1)
	must(t, err)
	for _, key := range keysOf(t, s, holding.KAttempt, holding.KReleased, holding.KLinkFrom) {
		if given := holding.TailHolder(key[:9]); given >= last {
			t.Errorf("%d is given out, and %d is there", last, given)
		}
	}
	must(t, s.kv.View(t.Context(), func(r *kv.Reader) error {
		b, _, err := r.Get(kv.MetaKey(kv.MetaHolder))
		if len(b) != 8 {
			t.Errorf("the last number is %x", b)
		}
		return err
	}))
}

func requestKeyOf(r pin.Request) []byte {
	a, _ := kv.AccountOf(r.Account)
	return requests.RequestKey(a, r.Created.UnixMilli())
}

func usages(t *testing.T, s *Store) map[string]pin.Usage {
	t.Helper()
	all := map[string]pin.Usage{}
	for _, account := range modelAccounts[:2] {
		u, err := s.requestRecords.Usage(t.Context(), account)
		must(t, err)
		all[account] = u
	}
	return all
}

// A request whose record cannot be read has failed, as far as clients see, under any filter;
// a retry writes the record again, under the ID that it had.
func TestDamagedRequestIsRetried(t *testing.T) {
	ctx := t.Context()
	var log bytes.Buffer
	s := withEverything(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	page, err := s.requestRecords.List(ctx, benchAccount, everyStatus)
	must(t, err)
	for _, r := range page.Requests {
		spoil(t, s, requestKeyOf(r), nil)
	}
	for status, want := range map[pin.Status]int{pin.Queued: 0, pin.Pinning: 0, pin.Pinned: 0, pin.Failed: 4} {
		for range 2 {
			got, err := s.requestRecords.List(ctx, benchAccount, pin.Query{Statuses: []pin.Status{status}, Limit: 10})
			if err != nil || got.Count != want || len(got.Requests) != want {
				t.Errorf("%s: %d, %d, %v, want %d", status, got.Count, len(got.Requests), err, want)
			}
		}
	}
	if n := strings.Count(log.String(), "the record of a pin cannot be read"); n != 4 {
		t.Errorf("the log has it %d times, want each of 4 once:\n%s", n, &log)
	}
	for _, was := range page.Requests {
		got, err := s.requestRecords.Get(ctx, benchAccount, was.ID)
		if err != nil || !got.Damaged || got.DAG() != was.DAG() || got.Name != was.Name || !got.Created.Equal(was.Created) {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := s.requestRecords.Get(ctx, modelAccounts[1], was.ID); !errors.Is(err, pin.ErrNotFound) {
			t.Errorf("another account gets %v", err)
		}
		now, err := s.requestRecords.Retry(ctx, benchAccount, was.ID)
		must(t, err)
		want := was.Status
		if want == pin.Failed {
			want = pin.Queued
		}
		if now.Damaged || now.Status != want || now.ID != was.ID || now.DAG() != was.DAG() || now.Totals != was.Totals {
			t.Errorf("retried, %+v is %+v", was, now)
		}
	}
	checkInvariants(t, s)
	again, err := s.requestRecords.List(ctx, benchAccount, everyStatus)
	if err != nil || again.Count != 4 || again.Requests[0].ID != page.Requests[0].ID {
		t.Errorf("then the list has %d, %v", again.Count, err)
	}
}

// If no list says what it was for, a request can be removed and not retried.
func TestDamagedRequestOfUnknownCID(t *testing.T) {
	ctx := t.Context()
	s := withEverything(t, Config{Logger: slog.New(slog.DiscardHandler)})
	page, err := s.requestRecords.List(ctx, benchAccount, everyStatus)
	must(t, err)
	was := page.Requests[len(page.Requests)-1]
	a, _ := kv.AccountOf(benchAccount)
	for _, key := range [][]byte{requestKeyOf(was), requests.ChunkKey(requests.DAGList(was.DAG(), a), 0), requests.RowKey(a, 0)} {
		spoil(t, s, key, []byte{0})
	}
	page, err = s.requestRecords.List(ctx, benchAccount, everyStatus)
	must(t, err)
	got := page.Requests[len(page.Requests)-1]
	if page.Count != 4 || !got.Damaged || got.CID != requests.UnknownCID || got.Root.Defined() || !got.Created.Equal(was.Created) {
		t.Errorf("of %d it is %+v", page.Count, got)
	}
	var invalid *pin.InvalidError
	if _, err := s.requestRecords.Retry(ctx, benchAccount, was.ID); !errors.As(err, &invalid) {
		t.Errorf("retry: %v", err)
	}
	if _, _, _, err := s.requestRecords.Replace(ctx, benchAccount, got.ID, pintest.DAGSpec(7)); err != nil {
		t.Error(err)
	}
	page, err = s.requestRecords.List(ctx, benchAccount, everyStatus)
	if err != nil || page.Count != 4 || slices.ContainsFunc(page.Requests, func(r pin.Request) bool { return r.Damaged }) {
		t.Errorf("replaced: %+v, %v", page, err)
	}
}

// Large metadata is in the value log. If the end of that is lost, the requests whose records
// were there are damaged, and others are not.
func TestRequestsInACutValueLog(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	s, err := Open(ctx, lock, Config{})
	must(t, err)
	const all = 300 // more than are listed one by one
	for n := range all {
		spec := pintest.DAGSpec(n)
		spec.Name = fmt.Sprint("pin ", n)
		if n%2 == 0 {
			spec.Meta = map[string]string{"large": strings.Repeat("x", 4000)}
		}
		_, err := s.requestRecords.Add(ctx, benchAccount, spec)
		must(t, err)
	}
	must(t, s.Close())
	logs, err := filepath.Glob(filepath.Join(dir, dbName, "*.vlog"))
	must(t, err)
	info, err := os.Stat(logs[0])
	must(t, err)
	must(t, os.Truncate(logs[0], info.Size()/2))
	must(t, lock.Close())

	s = openTest(t, dir, Config{Logger: slog.New(slog.DiscardHandler)})
	damaged := func() (n int) {
		t.Helper()
		page, err := s.requestRecords.List(ctx, benchAccount, everyStatus)
		must(t, err)
		if page.Count != len(page.Requests) {
			t.Errorf("%d of %d are listed", len(page.Requests), page.Count)
		}
		for _, r := range page.Requests {
			if r.Damaged {
				n++
				if !strings.HasPrefix(r.Name, "pin ") || !r.Root.Defined() {
					t.Errorf("damaged, and less is known than could be: %+v", r)
				}
			}
		}
		return n
	}
	n := damaged()
	if n < all/8 || n > all/2 {
		t.Fatalf("%d of %d are damaged", n, all)
	}
	report, err := s.Verify(ctx, func(Damage) error { return nil }, nil)
	if err != nil || report.BadRecords != uint64(n) {
		t.Errorf("verify finds %d, %v", report.BadRecords, err)
	}
	if page, err := s.requestRecords.List(ctx, benchAccount, pin.Query{Statuses: pin.Statuses(), Name: "PIN", Match: pin.IPartial}); err != nil || page.Count != all {
		t.Errorf("by name there are %d, %v", page.Count, err)
	}
	waiting, err := s.requestRecords.UnfinishedAfter(ctx, benchAccount, pin.Queued, time.Time{}, all)
	if err != nil || len(waiting) != all {
		t.Errorf("%d wait, %v", len(waiting), err)
	}
	page, err := s.requestRecords.List(ctx, benchAccount, pin.Query{Statuses: []pin.Status{pin.Failed}, Limit: 1000})
	must(t, err)
	if page.Count != n {
		t.Errorf("%d have failed, want %d", page.Count, n)
	}
	for i, r := range page.Requests {
		if i%2 == 0 {
			_, err = s.requestRecords.Retry(ctx, benchAccount, r.ID)
		} else {
			_, _, err = s.requestRecords.Remove(ctx, benchAccount, r.ID)
		}
		must(t, err)
	}
	if left := damaged(); left != 0 {
		t.Errorf("%d are damaged yet", left)
	}
	checkInvariants(t, s)
}
