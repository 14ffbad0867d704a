package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// hold counts one more holder of a DAG and says whether the DAG is complete.
func (s *Store) hold(t *tx, d pin.DAG) (complete bool, err error) {
	var rec dagRecord
	if _, err := s.take(&t.reader, dagKey(d), &rec); err != nil {
		return false, err
	}
	rec.Holders++
	return rec.Complete, s.put(t, dagKey(d), rec)
}

// letGo counts one holder less of each DAG. A DAG that nothing holds any more
// loses its record, and its attempt is marked as deleting and returned.
func (s *Store) letGo(t *tx, dags []pin.DAG) (released []pin.Attempt, err error) {
	for _, d := range dags {
		if released, err = s.letGoMany(t, d, 1, released); err != nil {
			return nil, err
		}
	}
	return released, nil
}

func (s *Store) letGoMany(t *tx, d pin.DAG, n uint64, released []pin.Attempt) ([]pin.Attempt, error) {
	var rec dagRecord
	found, err := s.take(&t.reader, dagKey(d), &rec)
	if err != nil {
		return nil, err
	}
	if !found || rec.Holders < n {
		return nil, fmt.Errorf("DAG %s is let go by %d holders and has %d", d, n, rec.Holders)
	}
	rec.Holders -= n
	if rec.Holders > 0 {
		return released, s.put(t, dagKey(d), rec)
	}
	t.delete(dagKey(d))
	if rec.Attempt == 0 {
		return released, nil
	}
	t.delete(attemptKey(rec.Attempt))
	t.delete(wholeKey(rec.Attempt.Holder()))
	return append(released, rec.Attempt), s.put(t, releasedKey(rec.Attempt.Holder()), releasedRecord{DAG: []byte(d)})
}

// Begin implements [pin.Records].
func (s *Store) Begin(ctx context.Context, d pin.DAG) (a pin.Attempt, complete bool, err error) {
	var work []chunkOf
	err = s.update(ctx, func(t *tx) error {
		a, complete, work = 0, false, nil
		var rec dagRecord
		found, err := s.take(&t.reader, dagKey(d), &rec)
		if err != nil {
			return err
		}
		if !found {
			return pin.ErrNotFound
		}
		if work, err = chunksFor(&t.reader, d); err != nil {
			return err
		}
		if rec.Complete {
			a, complete = rec.Attempt, true
			return nil
		}
		wanted := false
		// The first run is part of the same change as the attempt, so that a
		// DAG of few requests, as most are, takes one commit.
		if work, wanted, err = s.begin(t, d, work); err != nil {
			return err
		}
		if !wanted {
			return pin.ErrNotFound
		}
		if rec.Attempt == 0 {
			if rec.Attempt, err = s.newAttempt(t, d); err != nil {
				return err
			}
			if err := s.put(t, dagKey(d), rec); err != nil {
				return err
			}
		}
		a = rec.Attempt
		return nil
	})
	if err == nil && complete {
		_, err = s.settle(ctx, d, a, work)
	}
	for err == nil && !complete && len(work) > 0 {
		err = s.update(ctx, func(t *tx) (err error) {
			work, _, err = s.begin(t, d, work)
			return err
		})
	}
	if err != nil {
		return 0, false, wrap(err, "begin %s", d)
	}
	s.looks.refresh() // a walk sees all that was there before it began
	return a, complete, nil
}

// newAttempt gives out an attempt, in the change that uses it.
func (s *Store) newAttempt(t *tx, d pin.DAG) (pin.Attempt, error) {
	last, err := t.takeHolders(1)
	a := pin.Attempt(last)
	t.set(attemptKey(a), []byte(d))
	return a, err
}

// Complete implements [pin.Records].
func (s *Store) Complete(ctx context.Context, d pin.DAG, a pin.Attempt, totals pin.Totals) (released []pin.Attempt, err error) {
	var work []chunkOf
	err = s.update(ctx, func(t *tx) error {
		var rec dagRecord
		if _, err := s.take(&t.reader, dagKey(d), &rec); err != nil {
			return err
		}
		if a == 0 || rec.Attempt != a {
			return pin.ErrSuperseded
		}
		rec.Complete, rec.Blocks, rec.Bytes = true, totals.Blocks, totals.Bytes
		if err := s.put(t, dagKey(d), rec); err != nil {
			return err
		}
		if work, err = chunksFor(&t.reader, d); err != nil {
			return err
		}
		work, released, err = s.settleSome(t, d, work)
		return err
	})
	if err == nil && len(work) > 0 {
		var more []pin.Attempt
		more, err = s.settle(ctx, d, a, work)
		released = append(released, more...)
	}
	if err != nil {
		return nil, wrap(err, "complete %s", d)
	}
	slices.Sort(released)
	return released, nil
}

// settle makes the unfinished requests for a complete DAG Pinned. It stops
// early if the attempt is released meanwhile, since then no request is left.
func (s *Store) settle(ctx context.Context, d pin.DAG, a pin.Attempt, work []chunkOf) (released []pin.Attempt, err error) {
	for len(work) > 0 {
		var some []pin.Attempt
		err := s.update(ctx, func(t *tx) error {
			some = nil
			var rec dagRecord
			found, err := s.take(&t.reader, dagKey(d), &rec)
			if err != nil {
				return err
			}
			if !found || rec.Attempt != a {
				work = nil
				return nil
			}
			work, some, err = s.settleSome(t, d, work)
			return err
		})
		if err != nil {
			return nil, err
		}
		released = append(released, some...)
	}
	return released, nil
}

// Fail implements [pin.Records].
func (s *Store) Fail(ctx context.Context, d pin.DAG, details string) (released []pin.Attempt, err error) {
	var work []chunkOf
	for first := true; first || len(work) > 0; first = false {
		var some []pin.Attempt
		err := s.update(ctx, func(t *tx) error {
			var err error
			if first {
				if work, err = chunksFor(&t.reader, d); err != nil {
					return err
				}
			}
			work, some, err = s.failSome(t, d, details, work)
			return err
		})
		if err != nil {
			return nil, wrap(err, "fail %s", d)
		}
		released = append(released, some...)
	}
	slices.Sort(released)
	return released, nil
}
