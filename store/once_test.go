package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
)

// hours is a clock that tests set.
type hours struct{ n atomic.Int64 }

func (h *hours) now() time.Time {
	return time.UnixMilli(1_772_366_400_000).Add(time.Duration(h.n.Load()) * time.Hour)
}

func keyed(n int, key string) pin.Spec {
	s := pintest.DAGSpec(n)
	s.IdempotencyKey = key
	return s
}

// keysKept counts the records of idempotency keys, and their order.
func keysKept(t *testing.T, s *Store) (keys, order int) {
	t.Helper()
	for prefix, n := range map[byte]*int{requests.KOnce: &keys, requests.KOnceOrder: &order} {
		found, err := s.kv.CountKeys(t.Context(), []byte{prefix})
		must(t, err)
		*n = int(found)
	}
	return keys, order
}

func wantKeys(t *testing.T, s *Store, when string, want int) {
	t.Helper()
	if keys, order := keysKept(t, s); keys != want || order != want {
		t.Errorf("%s: %d keys and the order of %d, want %d", when, keys, order, want)
	}
}

// Keys that expired go with a reclaim, of all accounts, however the clock was set meanwhile.
func TestKeysAreSwept(t *testing.T) {
	clock := &hours{}
	s := openTest(t, t.TempDir(), Config{Now: clock.now})
	add := func(account, n int, key string) pin.Request {
		t.Helper()
		r, err := s.requestRecords.Add(t.Context(), roomtest.ThreeAccounts[account], keyed(n, key))
		must(t, err)
		return r
	}
	sweep := func() {
		t.Helper()
		_, err := s.Reclaim(t.Context(), nil)
		must(t, err)
	}
	for i := range 3 {
		add(0, i, fmt.Sprint("key ", i))
		add(1, i, fmt.Sprint("key ", i))
	}
	clock.n.Store(23)
	late := add(0, 9, "late")
	sweep()
	wantKeys(t, s, "within a day", 7)
	clock.n.Store(24)
	sweep()
	wantKeys(t, s, "after a day", 1)

	// The clock is set back by a month: what is kept is kept for a day from then.
	clock.n.Store(-30 * 24)
	sweep()
	wantKeys(t, s, "after the clock was set back", 1)
	if again := add(0, 9, "late"); again.ID != late.ID {
		t.Errorf("request %s, want %s", again.ID, late.ID)
	}
	clock.n.Store(-29 * 24)
	sweep()
	wantKeys(t, s, "a day after that", 0)
	roomtest.CheckInvariants(t, s.kv)
}

// An account that goes on using keys has no more than it made in a day, without a sweep.
func TestOldKeysGoWithNewOnes(t *testing.T) {
	clock := &hours{}
	s := openTest(t, t.TempDir(), Config{Now: clock.now})
	for i := range 200 {
		clock.n.Store(int64(i))
		_, err := s.requestRecords.Add(t.Context(), roomtest.Account, keyed(i, fmt.Sprint("key ", i)))
		must(t, err)
		if keys, _ := keysKept(t, s); keys > 25 {
			t.Fatalf("after %d hours there are %d keys", i, keys)
		}
	}
	wantKeys(t, s, "in the end", 24)
	// A key that is used again after it expired is there once.
	clock.n.Store(1000)
	for range 2 {
		_, err := s.requestRecords.Add(t.Context(), roomtest.Account, keyed(500, "key 199"))
		must(t, err)
	}
	_, err := s.Reclaim(t.Context(), nil)
	must(t, err)
	wantKeys(t, s, "used again", 1)
}

// However fast an account makes requests, only the newest keys are kept.
func TestKeysAreBounded(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Now: new(roomtest.Clock).Now})
	add := func(n int) pin.Request {
		t.Helper()
		r, err := s.requestRecords.Add(t.Context(), roomtest.Account, keyed(n, fmt.Sprint("key ", n)))
		must(t, err)
		return r
	}
	first, second := add(1), add(2)
	// As if the account had made requests without keys.
	roomtest.ChangeAccount(t, s.kv, roomtest.Account, func(_, next *uint64) { *next = pin.KeptKeys })
	add(3)
	wantKeys(t, s, "one too many", 2)
	if again := add(2); again.ID != second.ID {
		t.Errorf("request %s, want %s", again.ID, second.ID)
	}
	if again := add(1); again.ID == first.ID {
		t.Error("the oldest key is kept")
	}
	wantKeys(t, s, "and another", 2)
}

// A key whose record cannot be read neither makes a twin nor hurts other keys, until it is
// swept.
func TestDamagedKey(t *testing.T) {
	s := openTest(t, t.TempDir(), Config{Now: new(roomtest.Clock).Now})
	_, err := s.requestRecords.Add(t.Context(), roomtest.Account, keyed(1, "key"))
	must(t, err)
	var key []byte
	must(t, s.kv.Walk(t.Context(), kv.Span{Prefix: []byte{requests.KOnce}, KeysOnly: true}, func(k, _ []byte) error {
		key = append(key, k...)
		return nil
	}))
	roomtest.Spoil(t, s.db, key, []byte("damaged"))
	for range 2 {
		if _, err := s.requestRecords.Add(t.Context(), roomtest.Account, keyed(1, "key")); !errors.Is(err, pin.ErrUnreadable) {
			t.Errorf("with a damaged key: %v", err)
		}
	}
	for i := 2; i < 5; i++ {
		_, err = s.requestRecords.Add(t.Context(), roomtest.Account, keyed(i, fmt.Sprint("key ", i)))
		must(t, err)
	}
	u, err := s.requestRecords.Usage(t.Context(), roomtest.Account)
	must(t, err)
	if u.Pins != 4 {
		t.Errorf("%d pins, want 4", u.Pins)
	}
	_, err = s.Reclaim(t.Context(), nil)
	must(t, err)
	wantKeys(t, s, "after a sweep", 3)
	_, err = s.requestRecords.Add(t.Context(), roomtest.Account, keyed(1, "key"))
	must(t, err)
}
