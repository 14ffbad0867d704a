package store

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// Of the keys of the go-datastore a backup has those under one prefix, and a restore takes no others.
func TestSnapshotHasSomeKeysOfTheDatastore(t *testing.T) {
	ctx := t.Context()
	lock, err := Lock(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	s, err := Open(ctx, lock, Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, key := range []string{"/a", "/blocks/x", BackedUpKeys + "front", BackedUpKeys + "heirs", "/holdfast/clusters", "/holdfast/x", "/z"} {
		if err := s.Datastore().Put(ctx, datastore.NewKey(key), []byte("value of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	sn, err := s.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()

	to, err := Lock(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	r, err := Restore(ctx, to, "b", sn.Layout(), Choice{}, Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	unreadable, err := sn.Records(ctx, func(key, value []byte) error {
		if key[0] == '/' {
			got = append(got, string(key))
			if !bytes.Equal(value, []byte("value of "+string(key))) {
				t.Errorf("%s has %q", key, value)
			}
		}
		return r.Record(key, value)
	}, func(multihash.Multihash, uint64) error { return nil })
	if err != nil || unreadable != 0 {
		t.Fatal(unreadable, err)
	}
	if len(got) != 2 || got[0] != BackedUpKeys+"front" || got[1] != BackedUpKeys+"heirs" {
		t.Errorf("the backup has %q", got)
	}
	if err := r.Record([]byte("/z"), nil); err == nil {
		t.Error("another key is restored")
	}
	if err := r.RecordsDone(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	restored, err := Open(ctx, to, Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if keys := roomtest.KeysOf(t, restored.kv, '/'); len(keys) != 2 {
		t.Errorf("restored are %q", keys)
	}
}
