package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

func requestKinds() []byte {
	return []byte{
		requests.KAccount, requests.KRequest, requests.KRow, requests.KStatus, requests.KByDAG, requests.KByName, requests.KHolds, requests.KDetails, requests.KCharge, requests.KUsage, requests.KOnce, requests.KOnceOrder, requests.KRequester, requests.KLinger, requests.KLingers, requests.KLingering, requests.KDelivered, holding.KDAG, holding.KAttempt, roomtest.KReleased,
		holding.KLinkTo, roomtest.KLinkFrom, roomtest.KKept,
	}
}

// Whichever value cannot be read: everything else is listed, counted, made, retried and
// removed, what it is about can be removed, and a check names it.
func TestOneDamagedRecord(t *testing.T) {
	template := openWithEverything(t, Config{})
	keys := roomtest.KeysOf(t, template.kv, requestKinds()...)
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
		if kind == requests.KDetails || perKind[kind]%2 == 0 && kind != roomtest.KReleased { // a node's has none
			name, value = "no bytes", nil
		}
		t.Run(fmt.Sprintf("%x %d %s", kind, perKind[kind], name), func(t *testing.T) {
			s := openWithEverything(t, Config{Logger: slog.New(slog.DiscardHandler)})
			key := roomtest.KeysOf(t, s.kv, requestKinds()...)[i]
			checkOneDamaged(t, s, key, value)
		})
	}
}

// openWithEverything opens a store with one of each kind of record.
func openWithEverything(t *testing.T, cfg Config) *Store {
	t.Helper()
	s := openTest(t, t.TempDir(), cfg)
	roomtest.MakeEverything(t, s)
	return s
}

func checkOneDamaged(t *testing.T, s *Store, key, value []byte) {
	ctx := t.Context()
	before := roomtest.Usages(t, s)
	roomtest.Spoil(t, s.db, key, value)
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
	if st.DAGs != 5 || st.Complete != 3 || st.Live.Blocks == 0 {
		t.Errorf("stats say %+v", st)
	}
	if _, err := s.requestRecords.Queue(ctx); err != nil {
		t.Errorf("queue: %v", err)
	}
	for account, want := range map[string]int{roomtest.Account: 4, roomtest.ThreeAccounts[1]: 1} {
		page, err := s.requestRecords.List(ctx, account, roomtest.EveryStatus)
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
			if r.Damaged != (key[0] == requests.KRequest && bytes.Equal(key, roomtest.RequestKey(r))) {
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
	if after := roomtest.Usages(t, s); !maps.Equal(before, after) {
		t.Errorf("usage is %v, was %v", after, before)
	}
	for _, status := range []pin.Status{pin.Queued, pin.Pinning} {
		if some, err := s.requestRecords.UnfinishedAfter(ctx, roomtest.Account, status, time.Time{}, 10); err != nil || len(some) != 1 {
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
	if roots != 3 {
		t.Errorf("%d roots", roots)
	}
	// A grace goes on, also one of which the record cannot be read.
	for range 2 {
		lingers, _, lerr := s.EndLingering(ctx, "", time.Hour)
		kept, _, kerr := s.EndUploads(ctx, "", time.Hour)
		if lerr != nil || kerr != nil || lingers.Graces+kept.Graces > 0 {
			t.Errorf("ended %+v, %v, and %+v, %v", lingers, lerr, kept, kerr)
		}
	}
	if key[0] == requests.KLinger { // it was written again, and the sum with it
		roomtest.CheckLingering(t, s.kv)
	}
	// All that is left to do works: what waits is done, more comes, and all goes.
	for _, n := range []int{3, 4} {
		d := pintest.DAGSpec(n).DAG()
		a, done, err := s.requestRecords.Begin(ctx, d)
		if err != nil || done {
			t.Fatalf("begin %d: %v, %v", n, done, err)
		}
		must(t, roomtest.PutTo(s, ctx, a, roomtest.SomeBlocks(uint64(n)*1000, 3, 1000)))
		_, some, err := s.requestRecords.Complete(ctx, d, a, pin.Totals{Blocks: 3, Bytes: 3000})
		must(t, err)
		released = append(released, some...)
	}
	if _, err := s.requestRecords.Add(ctx, roomtest.Account, pintest.DAGSpec(1)); err != nil {
		t.Error(err)
	}
	for _, account := range roomtest.ThreeAccounts[:2] {
		for page, err := s.requestRecords.List(ctx, account, roomtest.EveryStatus); len(page.Requests) > 0; page, err = s.requestRecords.List(ctx, account, roomtest.EveryStatus) {
			must(t, err)
			_, some, err := s.requestRecords.Remove(ctx, account, page.Requests[0].ID)
			must(t, err)
			released = append(released, some...)
		}
	}
	lingers, _, err := s.EndLingering(ctx, "", 0)
	must(t, err)
	kept, _, err := s.EndUploads(ctx, "", 0)
	must(t, err)
	if lingers.Graces != 1 || kept.Graces != 1 {
		t.Errorf("ended %+v and %+v", lingers, kept)
	}
	for _, a := range slices.Concat(released, lingers.Released, kept.Released) {
		must(t, s.held.Drop(ctx, a))
	}
	if key[0] == requests.KHolds { // what it held stays, rather than too little
		return
	}
	roomtest.CheckInvariants(t, s.kv)
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
	if u := roomtest.Usages(t, s); u[roomtest.Account] != (pin.Usage{}) || u[roomtest.ThreeAccounts[1]] != (pin.Usage{}) {
		t.Errorf("in the end accounts are charged %+v", u)
	}
}

// A number that cannot be read is not given out again.
func TestDamagedHolder(t *testing.T) {
	s := openWithEverything(t, Config{Logger: slog.New(slog.DiscardHandler)})
	roomtest.Spoil(t, s.db, kv.MetaKey(kv.MetaHolder), []byte{7})
	last, err := s.held.NewHolders(t.Context(), 1)
	must(t, err)
	for _, key := range roomtest.KeysOf(t, s.kv, holding.KAttempt, roomtest.KReleased, roomtest.KLinkFrom) {
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

// Where the number of the next request cannot be worked out, an account gets an error, and others do not.
func TestNextNumberIsNotKnown(t *testing.T) {
	s := openWithEverything(t, Config{Logger: slog.New(slog.DiscardHandler)})
	owner, _ := kv.AccountOf(roomtest.Account)
	spoiled := 0
	for _, key := range roomtest.KeysOf(t, s.kv, requests.KAccount, requests.KStatus) {
		if bytes.Contains(key, owner[:]) {
			roomtest.Spoil(t, s.db, key, []byte{0xff})
			spoiled++
		}
	}
	if spoiled < 3 {
		t.Fatalf("%d records were spoiled", spoiled)
	}
	if _, err := s.Add(t.Context(), roomtest.Account, pintest.DAGSpec(50)); !errors.Is(err, pin.ErrUnreadable) {
		t.Errorf("a new request: %v", err)
	}
	if _, err := s.Add(t.Context(), roomtest.ThreeAccounts[1], pintest.DAGSpec(50)); err != nil {
		t.Errorf("a new request of another account: %v", err)
	}
}

// A request whose record cannot be read has failed, as far as clients see, under any filter;
// a retry writes the record again, under the ID that it had.
func TestDamagedRequestIsRetried(t *testing.T) {
	ctx := t.Context()
	var log bytes.Buffer
	s := openWithEverything(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	page, err := s.requestRecords.List(ctx, roomtest.Account, roomtest.EveryStatus)
	must(t, err)
	for _, r := range page.Requests {
		roomtest.Spoil(t, s.db, roomtest.RequestKey(r), nil)
	}
	for status, want := range map[pin.Status]int{pin.Queued: 0, pin.Pinning: 0, pin.Pinned: 0, pin.Failed: 4} {
		for range 2 {
			got, err := s.requestRecords.List(ctx, roomtest.Account, pin.Query{Statuses: []pin.Status{status}, Limit: 10})
			if err != nil || got.Count != want || len(got.Requests) != want {
				t.Errorf("%s: %d, %d, %v, want %d", status, got.Count, len(got.Requests), err, want)
			}
		}
	}
	if n := strings.Count(log.String(), "the record of a pin cannot be read"); n != 4 {
		t.Errorf("the log has it %d times, want each of 4 once:\n%s", n, &log)
	}
	for _, was := range page.Requests {
		got, err := s.requestRecords.Get(ctx, roomtest.Account, was.ID)
		if err != nil || !got.Damaged || got.DAG() != was.DAG() || got.Name != was.Name || !got.Created.Equal(was.Created) {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := s.requestRecords.Get(ctx, roomtest.ThreeAccounts[1], was.ID); !errors.Is(err, pin.ErrNotFound) {
			t.Errorf("another account gets %v", err)
		}
		now, err := s.requestRecords.Retry(ctx, roomtest.Account, was.ID)
		must(t, err)
		want := was.Status
		if want == pin.Failed {
			want = pin.Queued
		}
		if now.Damaged || now.Status != want || now.ID != was.ID || now.DAG() != was.DAG() || now.Totals != was.Totals {
			t.Errorf("retried, %+v is %+v", was, now)
		}
	}
	roomtest.CheckInvariants(t, s.kv)
	again, err := s.requestRecords.List(ctx, roomtest.Account, roomtest.EveryStatus)
	if err != nil || again.Count != 4 || again.Requests[0].ID != page.Requests[0].ID {
		t.Errorf("then the list has %d, %v", again.Count, err)
	}
}

// If no list says what it was for, a request can be removed and not retried.
func TestDamagedRequestOfUnknownCID(t *testing.T) {
	ctx := t.Context()
	s := openWithEverything(t, Config{Logger: slog.New(slog.DiscardHandler)})
	page, err := s.requestRecords.List(ctx, roomtest.Account, roomtest.EveryStatus)
	must(t, err)
	was := page.Requests[len(page.Requests)-1]
	a, _ := kv.AccountOf(roomtest.Account)
	for _, key := range [][]byte{roomtest.RequestKey(was), roomtest.ByDAGKey(was.DAG(), a), roomtest.RowKey(a, 0)} {
		roomtest.Spoil(t, s.db, key, []byte{0})
	}
	page, err = s.requestRecords.List(ctx, roomtest.Account, roomtest.EveryStatus)
	must(t, err)
	got := page.Requests[len(page.Requests)-1]
	if page.Count != 4 || !got.Damaged || got.CID != "bafkqaaa" || got.Root.Defined() || !got.Created.Equal(was.Created) {
		t.Errorf("of %d it is %+v", page.Count, got)
	}
	var invalid *pin.InvalidError
	if _, err := s.requestRecords.Retry(ctx, roomtest.Account, was.ID); !errors.As(err, &invalid) {
		t.Errorf("retry: %v", err)
	}
	if _, _, _, err := s.requestRecords.Replace(ctx, roomtest.Account, got.ID, pintest.DAGSpec(7)); err != nil {
		t.Error(err)
	}
	page, err = s.requestRecords.List(ctx, roomtest.Account, roomtest.EveryStatus)
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
		_, err := s.requestRecords.Add(ctx, roomtest.Account, spec)
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
		page, err := s.requestRecords.List(ctx, roomtest.Account, roomtest.EveryStatus)
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
	if page, err := s.requestRecords.List(ctx, roomtest.Account, pin.Query{Statuses: pin.Statuses(), Name: "PIN", Match: pin.IPartial}); err != nil || page.Count != all {
		t.Errorf("by name there are %d, %v", page.Count, err)
	}
	waiting, err := s.requestRecords.UnfinishedAfter(ctx, roomtest.Account, pin.Queued, time.Time{}, all)
	if err != nil || len(waiting) != all {
		t.Errorf("%d wait, %v", len(waiting), err)
	}
	page, err := s.requestRecords.List(ctx, roomtest.Account, pin.Query{Statuses: []pin.Status{pin.Failed}, Limit: 1000})
	must(t, err)
	if page.Count != n {
		t.Errorf("%d have failed, want %d", page.Count, n)
	}
	for i, r := range page.Requests {
		if i%2 == 0 {
			_, err = s.requestRecords.Retry(ctx, roomtest.Account, r.ID)
		} else {
			_, _, err = s.requestRecords.Remove(ctx, roomtest.Account, r.ID)
		}
		must(t, err)
	}
	if left := damaged(); left != 0 {
		t.Errorf("%d are damaged yet", left)
	}
	roomtest.CheckInvariants(t, s.kv)
}
