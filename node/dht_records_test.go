package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/failstore"
	"github.com/ipfs/go-datastore/query"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/multiformats/go-multihash"
)

// namedPeer is the ID of a peer that is nowhere.
func namedPeer(name string) peer.ID {
	h, err := multihash.Sum([]byte(name), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return peer.ID(h)
}

var testSelf = namedPeer("self")

// fewRecords keeps few of others, in ds.
func fewRecords(t *testing.T, ds datastore.Batching, log *slog.Logger) *dhtRecords {
	t.Helper()
	r, err := newDHTRecords(t.Context(), ds, testSelf, log)
	if err != nil {
		t.Fatal(err)
	}
	r.providers.max, r.values.max = 300, 10
	return r
}

// stored counts what is in a datastore under a prefix.
func stored(t *testing.T, ds datastore.Datastore, prefix string) (n int) {
	t.Helper()
	for _, err := range datastore.QueryIter(t.Context(), ds, query.Query{Prefix: prefix, KeysOnly: true}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// providersOf counts the peers that are said to provide a key.
func providersOf(t *testing.T, pm *records.ProviderManager, key string) (n int) {
	t.Helper()
	all, err := pm.GetProviders(t.Context(), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A peer that announces more than anybody honest fills neither the disk nor keeps
// what is there from being found and renewed, nor this node from providing.
func TestDHTProviderRecordsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ds := dssync.MutexWrap(datastore.NewMapDatastore())
		log := new(bytes.Buffer)
		r := fewRecords(t, ds, slog.New(slog.NewTextHandler(log, nil)))
		// What kad-dht has for a server.
		manage := func(r *dhtRecords) *records.ProviderManager {
			ps, err := pstoremem.NewPeerstore()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ps.Close() })
			pm, err := records.NewProviderManager(testSelf, ps, r)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pm.Close() })
			return pm
		}
		pm := manage(r)
		add := func(who peer.ID, what string, n int) {
			t.Helper()
			for i := range n {
				if err := pm.AddProvider(t.Context(), fmt.Appendf(nil, "%s %d", what, i), peer.AddrInfo{ID: who}); err != nil {
					t.Fatal(err)
				}
			}
		}
		add(namedPeer("friend"), "file", 100)
		add(namedPeer("flood"), "junk", 5000)
		add(testSelf, "pin", 1000)
		if err := pm.Close(); err != nil {
			t.Fatal(err)
		}
		if n := stored(t, ds, "/providers"); n != 300+1000 {
			t.Errorf("%d records are kept", n)
		}
		if n := strings.Count(log.String(), "are not taken"); n != 1 {
			t.Errorf("the log says so %d times", n)
		}

		// It is found what is there, and counted at the next start.
		r = fewRecords(t, ds, slog.New(slog.DiscardHandler))
		if r.providers.n != 300 {
			t.Errorf("%d are counted", r.providers.n)
		}
		time.Sleep(40 * time.Hour)
		pm = manage(r)
		add(namedPeer("friend"), "file", 100) // renews them
		add(namedPeer("flood"), "more", 500)
		for i := range 100 {
			if n := providersOf(t, pm, fmt.Sprintf("file %d", i)); n != 1 {
				t.Fatalf("file %d has %d providers", i, n)
			}
		}
		time.Sleep(20 * time.Hour) // the others have expired
		synctest.Wait()
		if n := stored(t, ds, "/providers"); n != 100 || r.providers.n != 100 {
			t.Errorf("%d are kept, %d are counted", n, r.providers.n)
		}
		add(namedPeer("late"), "file", 300)
		if err := pm.Close(); err != nil {
			t.Fatal(err)
		}
		if n := stored(t, ds, "/providers"); n != 300 {
			t.Errorf("%d records are kept", n)
		}
	})
}

// Other records are bounded in number and size, and who sends one too many is told.
func TestDHTValueRecordsAreBounded(t *testing.T) {
	ds := dssync.MutexWrap(datastore.NewMapDatastore())
	r := fewRecords(t, ds, slog.New(slog.DiscardHandler))
	key := func(i int) datastore.Key { return datastore.NewKey(fmt.Sprintf("/ipns/%d", i)) }
	put := func(i int, v string) error { return r.Put(t.Context(), key(i), []byte(v)) }
	for i := range 20 {
		if err := put(i, "v"); (err != nil) != (i >= 10) || err != nil && !errors.Is(err, errRecordsFull) {
			t.Errorf("number %d: %v", i, err)
		}
	}
	if err := put(3, "new"); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	if err := put(3, strings.Repeat("v", maxValueRecord+1)); !errors.Is(err, errRecordsFull) {
		t.Errorf("a large one: %v", err)
	}
	if v, err := r.Get(t.Context(), key(3)); err != nil || string(v) != "new" {
		t.Errorf("it has %q, %v", v, err)
	}
	for range 2 { // the second deletes nothing
		if err := r.Delete(t.Context(), key(3)); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(15, "v"); err != nil {
		t.Errorf("where there is room again: %v", err)
	}
	if err := put(16, "v"); !errors.Is(err, errRecordsFull) {
		t.Errorf("one more: %v", err)
	}
	if n := stored(t, ds, "/ipns"); n != 10 {
		t.Errorf("%d are kept", n)
	}
}

// What could not be written does not count, and what could does.
func TestDHTRecordsAreCountedWhenWritesFail(t *testing.T) {
	var full bool
	ds := failstore.NewFailstore(dssync.MutexWrap(datastore.NewMapDatastore()), func(op string) error {
		if full && op == "batch-commit" {
			return errors.New("the disk is full")
		}
		return nil
	})
	r := fewRecords(t, ds, slog.New(slog.DiscardHandler))
	batch := func(change func(context.Context, datastore.Batch, datastore.Key) error) error {
		b, err := r.Batch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			if err := change(t.Context(), b, datastore.NewKey(fmt.Sprintf("/providers/a/%d", i))); err != nil {
				t.Fatal(err)
			}
		}
		return b.Commit(t.Context())
	}
	put := func(ctx context.Context, b datastore.Batch, k datastore.Key) error { return b.Put(ctx, k, nil) }
	remove := func(ctx context.Context, b datastore.Batch, k datastore.Key) error { return b.Delete(ctx, k) }
	for _, step := range []struct {
		full   bool
		change func(context.Context, datastore.Batch, datastore.Key) error
		want   int
	}{
		{true, put, 0}, {false, put, 50}, {false, put, 50}, {true, remove, 50}, {false, remove, 0}, {false, remove, 0},
	} {
		full = step.full
		if err := batch(step.change); (err != nil) != full {
			t.Errorf("it gives %v", err)
		}
		if r.providers.n != step.want {
			t.Errorf("%d are counted, want %d", r.providers.n, step.want)
		}
	}
}
