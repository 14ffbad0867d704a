package graph

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// DAGRecord is what is known of a DAG that some request holds.
type DAGRecord struct {
	_        struct{}    `cbor:",toarray"`
	Attempt  pin.Attempt // zero before the first Begin
	Complete bool
	Blocks   uint64 // totals, if the DAG is complete, or was complete and is being repaired
	Bytes    uint64
	Holders  uint64 // how many requests hold it
}

// releasedRecord is the DAG of a released attempt; that of an upload has none.
type releasedRecord struct {
	_   struct{} `cbor:",toarray"`
	DAG []byte
}

// Hold counts one more holder of a DAG, and reports whether the DAG is complete.
func (g *Store) Hold(t *kv.Tx, d pin.DAG) (complete bool, err error) {
	rec, _, err := g.DAG(&t.Reader, d)
	if err != nil {
		return false, err
	}
	rec.Holders++
	return rec.Complete, t.Put(DAGKey(d), rec)
}

// LetGo counts one holder less for each DAG. When nothing holds a DAG any more, LetGo deletes
// its record, marks its attempt as released, and returns the attempt.
func (g *Store) LetGo(t *kv.Tx, dags []pin.DAG) (released []pin.Attempt, err error) {
	for _, d := range dags {
		if released, err = g.LetGoMany(t, d, 1, released); err != nil {
			return nil, err
		}
	}
	return released, nil
}

// LetGoMany is LetGo for n holders of one DAG. It appends to released.
func (g *Store) LetGoMany(t *kv.Tx, d pin.DAG, n uint64, released []pin.Attempt) ([]pin.Attempt, error) {
	rec, found, err := g.DAG(&t.Reader, d)
	if err != nil {
		return nil, err
	}
	if !found || rec.Holders < n {
		return nil, fmt.Errorf("DAG %s is let go by %d holders and has %d", d, n, rec.Holders)
	}
	rec.Holders -= n
	if rec.Holders > 0 {
		return released, t.Put(DAGKey(d), rec)
	}
	t.Delete(DAGKey(d))
	t.Delete(PartialKey(d))
	if rec.Attempt == 0 {
		return released, nil
	}
	return append(released, rec.Attempt), g.release(t, d, rec.Attempt)
}

// NewAttempt makes a new attempt for a DAG.
func (g *Store) NewAttempt(t *kv.Tx, d pin.DAG) (pin.Attempt, error) {
	last, err := takeHolders(t, 1)
	a := pin.Attempt(last)
	t.Set(attemptKey(a), []byte(d))
	return a, err
}

// DAG reads the record of a DAG. found is false if nothing holds the DAG.
func (g *Store) DAG(r *kv.Reader, d pin.DAG) (rec DAGRecord, found bool, err error) {
	found, err = r.Take(DAGKey(d), &rec)
	if !errors.Is(err, diskerr.ErrUnreadable) {
		return rec, found, err
	}
	g.kv.LogUnreadable(DAGKey(d), err)
	return g.WorkOut(r.Before(), d)
}

// Repairing reports whether the DAG was complete, and has to be made so again: only then does a
// DAG that is not complete have totals.
func (r *DAGRecord) Repairing() bool { return !r.Complete && r.Blocks > 0 }

// AttemptDAG gives the DAG of an attempt that is in use. If its record cannot be read,
// AttemptDAG searches the records of all DAGs; d is "" if none has the attempt.
func (g *Store) AttemptDAG(r *kv.Reader, a pin.Attempt) (d pin.DAG, inUse bool, err error) {
	b, inUse, err := r.Get(attemptKey(a))
	if err == nil && (!inUse || pin.DAG(b).CID().Defined()) {
		return pin.DAG(b), inUse, nil
	}
	if err != nil && !errors.Is(err, diskerr.ErrUnreadable) {
		return "", false, err
	}
	g.kv.LogUnreadable(attemptKey(a), kv.FirstError(err, diskerr.ErrUnreadable))
	err = r.ScanEach(kv.Span{Prefix: []byte{KDAG}}, func(key, value []byte) (bool, error) {
		var rec DAGRecord
		if kv.Decode(value, &rec) == nil && rec.Attempt == a {
			d = pin.DAG(key[3:])
		}
		return d == "", nil
	})
	return d, true, err
}

// Roots implements [pin.Work].
func (g *Store) Roots(ctx context.Context) iter.Seq2[pin.DAG, error] {
	return func(yield func(pin.DAG, error) bool) {
		from := []byte{KDAG}
		for from != nil {
			var page []pin.DAG
			err := g.kv.View(ctx, func(r *kv.Reader) (err error) {
				page, from, err = g.rootPage(r, from)
				return err
			})
			if err != nil {
				yield("", kv.Wrap(err, "read roots"))
				return
			}
			for _, d := range page {
				if !yield(d, nil) {
					return
				}
			}
		}
	}
}

// rootPage reads complete DAGs from a key on, and gives the key of the next page; nil at the
// end.
func (g *Store) rootPage(r *kv.Reader, from []byte) (page []pin.DAG, next []byte, err error) {
	looked := 0
	err = r.Scan(kv.Span{Prefix: []byte{KDAG}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if looked == kv.PageSize {
			next = append(next, key...)
			return false, nil
		}
		looked++
		d := pin.DAG(key[3:]) // after the kind and the length
		rec, _, err := g.DAG(r, d)
		if errors.Is(err, diskerr.ErrUnreadable) {
			return true, nil // it was logged
		}
		if rec.Complete {
			page = append(page, d)
		}
		return true, err
	})
	return page, next, err
}

// Held says what holds a DAG: the attempt, which is zero before the first Begin. held is false if
// no request holds it.
func (g *Store) Held(ctx context.Context, d pin.DAG) (a pin.Attempt, complete, held bool, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		rec, found, err := g.DAG(r, d)
		a, complete, held = rec.Attempt, rec.Complete, found
		return err
	})
	if err != nil {
		return 0, false, false, kv.Wrap(err, "look whether %s is held", d)
	}
	return a, complete, held, nil
}

// DAGTotals gives the totals of a complete DAG. ok is false if the DAG is not complete, or
// nothing holds it.
func (g *Store) DAGTotals(ctx context.Context, d pin.DAG) (t pin.Totals, ok bool, err error) {
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		var rec DAGRecord
		rec, _, err := g.DAG(r, d)
		t, ok = pin.Totals{Blocks: rec.Blocks, Bytes: rec.Bytes}, rec.Complete
		return err
	})
	if err != nil {
		return pin.Totals{}, false, kv.Wrap(err, "read totals of %s", d)
	}
	return t, ok, nil
}
