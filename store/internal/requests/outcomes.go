package requests

import (
	"context"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Begin implements [pin.Work].
func (s *Store) Begin(ctx context.Context, d pin.DAG) (a pin.Attempt, complete bool, err error) {
	var all, work []chunkOf
	plain, started := false, time.Now()
	defer func() { s.changes.began(d, started, all, plain && err == nil) }()
	err = s.kv.Update(ctx, func(t *kv.Tx) error {
		a, complete, all = 0, false, nil
		rec, found, err := s.held.DAG(&t.Reader, d)
		if err != nil {
			return err
		}
		if !found {
			return pin.ErrNotFound
		}
		if all, err = chunksFor(&t.Reader, d); err != nil {
			return err
		}
		work = all
		if rec.Complete {
			a, complete = rec.Attempt, true
			return nil
		}
		wanted := false
		// The first requests are moved in the same change that makes the attempt, so that a
		// DAG of few requests, as most are, takes one commit.
		if work, wanted, err = s.begin(t, d, work); err != nil {
			return err
		}
		if !wanted {
			return pin.ErrNotFound
		}
		if rec.Attempt == 0 {
			if rec.Attempt, err = s.held.NewAttempt(t, d); err != nil {
				return err
			}
			if err := t.Put(holding.DAGKey(d), rec); err != nil {
				return err
			}
		}
		a = rec.Attempt
		noted, err := t.Has(holding.PartialKey(d))
		plain = !noted && !rec.Repairing()
		return err
	})
	if err == nil && complete {
		_, _, err = s.settle(ctx, d, a, nil, work, limits{})
	}
	for err == nil && !complete && len(work) > 0 {
		err = s.kv.Update(ctx, func(t *kv.Tx) (err error) {
			work, _, err = s.begin(t, d, work)
			return err
		})
	}
	if err != nil {
		return 0, false, kv.Wrap(err, "begin %s", d)
	}
	s.kv.LookAfresh() // a walk sees all that was there before it began
	return a, complete, nil
}

// Complete implements [pin.Work].
func (s *Store) Complete(ctx context.Context, d pin.DAG, a pin.Attempt, totals pin.Totals) (failed int, released []pin.Attempt, err error) {
	defer s.changes.note(d)
	known, err := s.limitsFor(ctx, d)
	if err != nil {
		return 0, nil, kv.Wrap(err, "complete %s", d)
	}
	var first settled
	err = s.kv.Update(ctx, func(t *kv.Tx) error {
		rec, _, err := s.held.DAG(&t.Reader, d)
		if err != nil {
			return err
		}
		if a == 0 || rec.Attempt != a {
			return pin.ErrSuperseded
		}
		if rec.Repairing() {
			known = nil
		}
		rec.Complete, rec.Blocks, rec.Bytes = true, totals.Blocks, totals.Bytes
		t.Delete(holding.PartialKey(d))
		if err := t.Put(holding.DAGKey(d), rec); err != nil {
			return err
		}
		work, err := chunksFor(&t.Reader, d)
		if err != nil {
			return err
		}
		first, err = s.settleSome(t, d, totals, work, known)
		return err
	})
	if err != nil {
		return 0, nil, kv.Wrap(err, "complete %s", d)
	}
	s.logOver(d, first.over)
	failed, more, err := s.settle(ctx, d, a, totals.By, first.left, known)
	if err != nil {
		return 0, nil, kv.Wrap(err, "complete %s", d)
	}
	released = append(first.released, more...)
	slices.Sort(released)
	return failed + first.failed(), released, nil
}

// settle makes the unfinished requests for a complete DAG Pinned, or Failed if they are over
// quota. If the attempt is released meanwhile no request is left, and settle ends.
func (s *Store) settle(ctx context.Context, d pin.DAG, a pin.Attempt, by *pin.Delivered, work []chunkOf, known limits) (failed int, released []pin.Attempt, err error) {
	for len(work) > 0 {
		if err := s.learn(ctx, known, work); err != nil {
			return 0, nil, err
		}
		var some settled
		err := s.kv.Update(ctx, func(t *kv.Tx) error {
			some = settled{}
			rec, found, err := s.held.DAG(&t.Reader, d)
			if err != nil || !found || rec.Attempt != a {
				return err
			}
			some, err = s.settleSome(t, d, pin.Totals{Blocks: rec.Blocks, Bytes: rec.Bytes, By: by}, work, known)
			return err
		})
		if err != nil {
			return 0, nil, err
		}
		s.logOver(d, some.over)
		work = some.left
		failed += some.failed()
		released = append(released, some.released...)
	}
	return failed, released, nil
}

// Fail implements [pin.Work].
func (s *Store) Fail(ctx context.Context, d pin.DAG, details string) (released []pin.Attempt, err error) {
	defer s.changes.note(d)
	var some []pin.Attempt
	err = inPieces(ctx, s.kv.Update, func(t *kv.Tx, work []chunkOf, first bool) (left []chunkOf, err error) {
		if first {
			if work, err = chunksFor(&t.Reader, d); err != nil {
				return nil, err
			}
		}
		left, some, err = s.failSome(t, d, details, work)
		return left, err
	}, func() { released = append(released, some...) })
	if err != nil {
		return nil, kv.Wrap(err, "fail %s", d)
	}
	slices.Sort(released)
	return released, nil
}

// inPieces makes changes until no work is left. The first change gets no work, and finds out what
// there is. Each change returns what it leaves for the next. A change may be run again. done is
// called after each change.
func inPieces(ctx context.Context, update func(context.Context, func(*kv.Tx) error) error,
	change func(t *kv.Tx, work []chunkOf, first bool) (left []chunkOf, err error), done func(),
) error {
	var work []chunkOf
	for first := true; first || len(work) > 0; first = false {
		var left []chunkOf
		err := update(ctx, func(t *kv.Tx) (err error) {
			left, err = change(t, work, first)
			return err
		})
		if err != nil {
			return err
		}
		work = left
		done()
	}
	return nil
}
