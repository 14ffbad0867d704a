package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store"
)

// fakePins says how far fetches come, and makes requests without fetching.
type fakePins struct {
	reach    func(pin.DAG) pin.Reach
	restored func() // is called when requests were made
}

func (f *fakePins) Restore(ctx context.Context, r pin.Restorer, account string, was []pin.Request) (int, error) {
	_, made, err := r.Restore(ctx, account, was)
	f.restored()
	return made, err
}

func (f *fakePins) Again(context.Context, string, pin.DAG) error { return nil }

func (f *fakePins) Reach(_ context.Context, _ string, d pin.DAG) (pin.Reach, error) {
	return f.reach(d), nil
}

// fakeStock has the blocks that are in it.
type fakeStock struct {
	has  map[string]bool
	lost atomic.Bool
}

func (f *fakeStock) Has(_ context.Context, h multihash.Multihash) (bool, error) {
	return f.has[string(h)], nil
}

func (f *fakeStock) Lost() bool { return f.lost.Load() }

// A restore waits for a fetch that goes on, however long that takes, and whatever became of others.
// It does not wait for what holds nothing.
func TestRestoreWaitsForFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		request := func(text string, s pin.Status) pin.Request {
			c := dagtest.Raw(text).Cid()
			return pin.Request{Spec: pin.Spec{Root: c}, Status: s}
		}
		var page []pin.Request
		reaches := map[pin.DAG]pin.Reach{}
		for i := range 1000 { // these get no further
			r := request(fmt.Sprint(i), pin.Pinned)
			page = append(page, r)
			reaches[r.DAG()] = pin.ReachesNoFurther
		}
		large, begun, dead, failed := request("large", pin.Pinned), request("begun", pin.Pinning), request("dead", pin.Queued), request("failed", pin.Failed)
		page = append(page, large, begun, dead, failed)
		stock := &fakeStock{has: map[string]bool{string(begun.Root.Hash()): true}}
		pins := &fakePins{reach: func(d pin.DAG) pin.Reach {
			r, put := reaches[d]
			walked := time.Since(began)
			if put || d == large.DAG() && walked > 3*time.Hour || d == begun.DAG() && walked > 4*time.Hour {
				return r // the zero one: it is done
			}
			return pin.ReachesOn
		}}
		done := new(admin.Restored)
		r := &requestsRestore{restorer: &restorer{pins: pins}, stock: stock, done: done, progress: func(admin.StoreProgress) {}}
		if err := r.wait(t.Context(), "account", page); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 4*time.Hour || took > 4*time.Hour+time.Second {
			t.Errorf("it waited for %v", took)
		}
		if done.Waiting != 1001 || done.Stuck != 1000 {
			t.Errorf("waiting are %d, of which %d stuck", done.Waiting, done.Stuck)
		}
		stock.lost.Store(true)
		if err := r.wait(t.Context(), "account", []pin.Request{large, request("another", pin.Pinned)}); !errors.Is(err, store.ErrKeepLost) {
			t.Errorf("with what it kept lost: %v", err)
		}
	})
}

// A restore whose blocks were deleted, since the disk became too full, says so at whatever moment
// that was. It can be run again.
func TestRestoreThatIsGivenUp(t *testing.T) {
	ctx, d := t.Context(), testDataDir(t)
	var free atomic.Uint64
	roomy := func() { free.Store(1 << 40) }
	roomy()
	s, err := store.Open(ctx, holdLock(t, d), store.Config{
		Logger: slog.New(slog.DiscardHandler), FreeSpace: func(string) (uint64, error) { return free.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	keys, err := auth.OpenKeys(d.File(datadir.TokenKeysFile))
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := auth.New(auth.Config{Log: slog.New(slog.DiscardHandler)}, s, keys)
	if err != nil {
		t.Fatal(err)
	}
	alice, err := accounts.AddAccount(ctx, auth.NewAccount{Email: "alice@example.org", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	nothing := func() {}
	pins := &fakePins{reach: func(pin.DAG) pin.Reach { return pin.ReachedEnd }, restored: nothing}
	b := &backups{
		store: s, data: d, instance: "this one", log: slog.New(slog.DiscardHandler), minFree: 64 << 20, open: OpenPlace,
		into: &restorer{s, accounts, pins},
	}
	p := &Program{core: &core{store: s}}
	id := holdFor(t, p, alice.ID, dagtest.Raw("one"), dagtest.Raw("two"))
	place := filepath.Join(t.TempDir(), "backups")
	if _, err := b.Backup(ctx, admin.NewBackup{To: place}, func(admin.StoreProgress) {}); err != nil {
		t.Fatal(err)
	}
	remove := func() {
		t.Helper()
		_, released, err := s.Remove(ctx, alice.ID, id)
		for _, a := range released {
			err = errors.Join(err, s.Drop(ctx, a))
		}
		if err == nil {
			_, err = s.Reclaim(ctx, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// fill makes the disk full for the time of a reclaim, which has a block to delete.
	fill := func() {
		stock := s.Stock()
		loose := dagtest.Raw("loose")
		_, _, err := stock.Put(ctx, []graph.Block{{Hash: loose.Cid().Hash(), Data: loose.RawData()}})
		stock.Close()
		if err != nil && !errors.Is(err, store.ErrKeepLost) {
			t.Error(err)
		}
		free.Store(300 << 20) // under the floor for new blocks
		defer roomy()
		if r, err := s.Reclaim(ctx, nil); err != nil || r.Blocks == 0 {
			t.Errorf("reclaim: %+v, %v", r, err)
		}
	}
	remove()
	for _, at := range []string{"while blocks come", "when pins were made"} {
		progress := func(admin.StoreProgress) {}
		if at == "while blocks come" {
			progress = func(admin.StoreProgress) { fill() }
			pins.restored = nothing
		} else {
			pins.restored = fill
		}
		_, err := b.Restore(ctx, admin.NewRestore{From: place}, progress)
		hinted, ok := errors.AsType[*hint.Error](err)
		if !errors.Is(err, store.ErrKeepLost) || !ok || hinted.Hint == "" {
			t.Errorf("%s: %v", at, err)
		}
	}
	pins.restored = nothing
	done, err := b.Restore(ctx, admin.NewRestore{From: place}, func(admin.StoreProgress) {})
	if err != nil || done.Blocks != 2 || done.There != 1 {
		t.Errorf("with room again: %+v, %v", done, err)
	}
}
