package requests

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Keep implements [pin.Work].
func (s *Store) Keep(ctx context.Context, d pin.DAG, a pin.Attempt, p pin.Kept) error {
	defer s.changes.note(d)
	err := s.kv.Update(ctx, func(t *kv.Tx) error {
		rec, found, err := s.held.DAG(&t.Reader, d)
		if err != nil || !found || rec.Complete || rec.Repairing() || a == 0 || rec.Attempt != a {
			return err
		}
		return s.held.PutPartial(t, d, p)
	})
	if err != nil {
		return kv.Wrap(err, "note what is there of %s", d)
	}
	return nil
}

// Kept implements [pin.Work].
func (s *Store) Kept(ctx context.Context, d pin.DAG) (p pin.Kept, repairing bool, err error) {
	if s.changes.isPlain(d) {
		return p, false, s.usable(ctx)
	}
	err = s.look(ctx, d, func(r *kv.Reader) error {
		rec, _, err := s.held.DAG(r, d)
		if err != nil {
			return err
		}
		repairing = rec.Repairing()
		p, err = s.held.Partial(r, d)
		return err
	})
	if err != nil {
		return pin.Kept{}, false, kv.Wrap(err, "read what is there of %s", d)
	}
	return p, repairing, nil
}

// GiveWay implements [pin.Work].
func (s *Store) GiveWay(ctx context.Context, d pin.DAG) (released []pin.Attempt, err error) {
	defer s.changes.note(d)
	err = s.kv.Update(ctx, func(t *kv.Tx) (err error) {
		released, err = s.held.ReleasePartial(t, d)
		return err
	})
	if err != nil {
		return nil, kv.Wrap(err, "let go of what is there of %s", d)
	}
	return released, nil
}

// Partials implements [pin.Work].
func (s *Store) Partials(ctx context.Context) iter.Seq2[pin.Waiting, error] {
	return func(yield func(pin.Waiting, error) bool) {
		from := []byte{holding.KPartial}
		for from != nil {
			var page []pin.Waiting
			err := s.kv.View(ctx, func(r *kv.Reader) (err error) {
				page, from, err = s.partialPage(r, from)
				return err
			})
			if err != nil {
				yield(pin.Waiting{}, kv.Wrap(err, "read what is there of DAGs"))
				return
			}
			for _, w := range page {
				if !yield(w, nil) {
					return
				}
			}
		}
	}
}

// partialPage reads notes from a key on, and gives the key of the next page; nil at the end.
func (s *Store) partialPage(r *kv.Reader, from []byte) (page []pin.Waiting, next []byte, err error) {
	looked := 0
	err = r.Scan(kv.Span{Prefix: []byte{holding.KPartial}, From: from, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if looked == kv.PageSize {
			next = bytes.Clone(key)
			return false, nil
		}
		looked++
		w := pin.Waiting{DAG: pin.DAG(key[3:])} // after the kind and the length
		if w.Kept, err = s.held.Partial(r, w.DAG); err != nil || w.Last.IsZero() {
			return err == nil, err
		}
		w.Accounts, err = s.waitingFor(r, w.DAG)
		if len(w.Accounts) > 0 {
			page = append(page, w)
		}
		return err == nil, err
	})
	return page, next, err
}

// waitingFor lists the accounts that have unfinished requests for a DAG, each once.
func (s *Store) waitingFor(r *kv.Reader, d pin.DAG) (accounts []string, err error) {
	work, err := chunksFor(r, d)
	if err != nil {
		return nil, err
	}
	for _, of := range work { // chunks of one account come one after the other
		id := of.account.String()
		if len(accounts) > 0 && accounts[len(accounts)-1] == id {
			continue
		}
		for _, code := range []statusCode{codePinning, codeQueued} {
			which, err := requestsOf(r, d, of, code)
			if err != nil {
				return nil, err
			}
			if !which.empty() && !slices.Contains(accounts, id) {
				accounts = append(accounts, id)
			}
		}
	}
	return accounts, nil
}
