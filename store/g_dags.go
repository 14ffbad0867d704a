package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/holdfast-ipfs/holdfast/internal/fault"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// dagRecord is what is known of a DAG that some request holds.
type dagRecord struct {
	_        struct{}    `cbor:",toarray"`
	Attempt  pin.Attempt // zero before the first Begin
	Complete bool
	Blocks   uint64 // of a DAG that is complete, or was and is repaired
	Bytes    uint64
	Holders  uint64 // requests that hold it, each counted once
}

// releasedRecord is what a released attempt was for.
type releasedRecord struct {
	_   struct{} `cbor:",toarray"`
	DAG []byte
}

// hold counts one more holder of a DAG and says whether the DAG is complete.
func (s *Store) hold(t *kv.Tx, d pin.DAG) (complete bool, err error) {
	rec, _, err := s.dag(&t.Reader, d)
	if err != nil {
		return false, err
	}
	rec.Holders++
	return rec.Complete, s.kv.Put(t, dagKey(d), rec)
}

// letGo counts one holder less of each DAG. A DAG that nothing holds any more
// loses its record, and its attempt is marked as deleting and returned.
func (s *Store) letGo(t *kv.Tx, dags []pin.DAG) (released []pin.Attempt, err error) {
	for _, d := range dags {
		if released, err = s.letGoMany(t, d, 1, released); err != nil {
			return nil, err
		}
	}
	return released, nil
}

func (s *Store) letGoMany(t *kv.Tx, d pin.DAG, n uint64, released []pin.Attempt) ([]pin.Attempt, error) {
	rec, found, err := s.dag(&t.Reader, d)
	if err != nil {
		return nil, err
	}
	if !found || rec.Holders < n {
		return nil, fmt.Errorf("DAG %s is let go by %d holders and has %d", d, n, rec.Holders)
	}
	rec.Holders -= n
	if rec.Holders > 0 {
		return released, s.kv.Put(t, dagKey(d), rec)
	}
	t.Delete(dagKey(d))
	if rec.Attempt == 0 {
		return released, nil
	}
	t.Delete(attemptKey(rec.Attempt))
	t.Delete(wholeKey(graph.HolderOf(rec.Attempt)))
	return append(released, rec.Attempt), s.kv.Put(t, releasedKey(graph.HolderOf(rec.Attempt)), releasedRecord{DAG: []byte(d)})
}

// newAttempt gives out an attempt, in the change that uses it.
func (s *Store) newAttempt(t *kv.Tx, d pin.DAG) (pin.Attempt, error) {
	last, err := takeHolders(t, 1)
	a := pin.Attempt(last)
	t.Set(attemptKey(a), []byte(d))
	return a, err
}

// dag reads what is known of a DAG. found is false if nothing holds it.
func (s *Store) dag(r *kv.Reader, d pin.DAG) (rec dagRecord, found bool, err error) {
	found, err = s.kv.Take(r, dagKey(d), &rec)
	if !errors.Is(err, fault.ErrUnreadable) {
		return rec, found, err
	}
	s.kv.TellUnreadable(dagKey(d), err)
	return s.workOut(r.Before(), d)
}

// repairing says that the DAG was complete, and is not again: only then has one that
// is not complete any totals.
func (r *dagRecord) repairing() bool { return !r.Complete && r.Blocks > 0 }

// Repairing implements [pin.Records].
func (s *Store) Repairing(ctx context.Context, d pin.DAG) (repairing bool, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		rec, _, err := s.dag(r, d)
		repairing = rec.repairing()
		return err
	})
	if err != nil {
		return false, kv.Wrap(err, "look whether %s is repaired", d)
	}
	return repairing, nil
}

// attemptDAG gives the DAG of an attempt that is in use. If that cannot be read, the records
// of all DAGs are looked through; d is "" if none has the attempt.
func (s *Store) attemptDAG(r *kv.Reader, a pin.Attempt) (d pin.DAG, inUse bool, err error) {
	b, inUse, err := r.Get(attemptKey(a))
	if err == nil && (!inUse || pin.DAG(b).CID().Defined()) {
		return pin.DAG(b), inUse, nil
	}
	if err != nil && !errors.Is(err, fault.ErrUnreadable) {
		return "", false, err
	}
	s.kv.TellUnreadable(attemptKey(a), kv.FirstError(err, fault.ErrUnreadable))
	err = r.ScanEach(kv.Span{Prefix: []byte{kDAG}}, func(key, value []byte) (bool, error) {
		var rec dagRecord
		if s.codec.Decode(value, &rec) == nil && rec.Attempt == a {
			d = pin.DAG(key[3:])
		}
		return d == "", nil
	})
	return d, true, err
}

// Roots implements [pin.Records].
func (s *Store) Roots(ctx context.Context) iter.Seq2[pin.DAG, error] {
	return func(yield func(pin.DAG, error) bool) {
		from := []byte{kDAG}
		for from != nil {
			var page []pin.DAG
			err := s.kv.View(ctx, func(r *kv.Reader) (err error) {
				page, from, err = s.rootPage(r, from)
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

// rootPage reads complete DAGs from a key on, and gives the key to go on from;
// nil at the end.
func (s *Store) rootPage(r *kv.Reader, from []byte) (page []pin.DAG, next []byte, err error) {
	looked := 0
	err = r.Scan(kv.Span{Prefix: []byte{kDAG}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if looked == kv.PageSize {
			next = append(next, key...)
			return false, nil
		}
		looked++
		d := pin.DAG(key[3:]) // after the kind and the length
		rec, _, err := s.dag(r, d)
		if errors.Is(err, fault.ErrUnreadable) {
			return true, nil // it was logged
		}
		if rec.Complete {
			page = append(page, d)
		}
		return true, err
	})
	return page, next, err
}

// DAGTotals gives the totals of a DAG that is complete. ok is false if it is
// not, or nothing holds it.
func (s *Store) DAGTotals(ctx context.Context, d pin.DAG) (t pin.Totals, ok bool, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		var rec dagRecord
		rec, _, err := s.dag(r, d)
		t, ok = pin.Totals{Blocks: rec.Blocks, Bytes: rec.Bytes}, rec.Complete
		return err
	})
	if err != nil {
		return pin.Totals{}, false, kv.Wrap(err, "read totals of %s", d)
	}
	return t, ok, nil
}
