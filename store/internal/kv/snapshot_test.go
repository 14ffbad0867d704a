package kv

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Looks leave nothing behind that keeps Badger from discarding what is old.
func TestLookEnds(t *testing.T) {
	d := open(t)
	must(t, d.SetAlone(testKey("k"), []byte("value")))
	look := func(ctx context.Context) error {
		return d.Glance(ctx, func(r *Reader) error {
			_, found, err := r.Get(testKey("k"))
			if err == nil && !found {
				err = errors.New("the key is not found")
			}
			return err
		})
	}
	for range 50 {
		must(t, look(t.Context()))
	}
	looking := func() bool {
		d.looks.mu.Lock()
		defer d.looks.mu.Unlock()
		return d.looks.now != nil
	}
	for deadline := time.Now().Add(30 * time.Second); looking(); time.Sleep(lookAge / 10) {
		if time.Now().After(deadline) {
			t.Fatal("the transaction of the last look is still open")
		}
	}
	d.Shut()
	if err := look(context.Background()); !errors.Is(err, diskerr.ErrClosed) {
		t.Errorf("a look after Shut: %v", err)
	}
}

// A look that is to be afresh is so, although a renewal of the shared one was under way, and ends
// only then.
func TestLookAfreshDuringRenewal(t *testing.T) {
	for name, between := range map[string]func(*DB) error{
		"before the next look": func(*DB) error { return nil },
		"after the next look":  func(d *DB) error { return d.Glance(t.Context(), func(*Reader) error { return nil }) },
	} {
		d := open(t)
		began := time.Now()
		renewal := d.db.NewTransaction(false)
		must(t, d.SetAlone(testKey("k"), []byte("value")))
		d.LookAfresh()
		must(t, between(d))
		d.looks.renewed(renewal, began)
		must(t, d.Glance(t.Context(), func(r *Reader) error {
			if _, found, err := r.Get(testKey("k")); err != nil || !found {
				t.Errorf("%s: what was there before LookAfresh is found: %v, %v", name, found, err)
			}
			return nil
		}))
	}
}
