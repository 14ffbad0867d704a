package requests

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

var _ pin.Restorer = (*Store)(nil)

// Restore implements [pin.Restorer].
func (s *Store) Restore(ctx context.Context, account string, was []pin.Request) (now []pin.Request, made int, err error) {
	a, ok := kv.AccountOf(account)
	if !ok {
		return nil, 0, fmt.Errorf("account %q is not a UUID", account)
	}
	if err := s.space.RoomFor(0); err != nil {
		return nil, 0, err
	}
	err = s.updateLearning(ctx, func(t *kv.Tx) error {
		now, made = nil, 0
		for _, one := range was {
			is, err := s.find(&t.Reader, account, one.ID)
			switch {
			case errors.Is(err, pin.ErrNotFound):
				made++
				is, err = s.restore(t, a, one)
			case err == nil && is.damage == nil && is.status == codeFailed && one.Status != pin.Failed && is.dag() == one.DAG():
				made++
				err = s.restoreFailed(t, is, one)
			}
			if err != nil {
				return fmt.Errorf("pin request %s: %w", one.ID, err)
			}
			public, err := is.public()
			if err != nil {
				return err
			}
			now = append(now, public)
		}
		return nil
	})
	for _, one := range now {
		s.changes.note(one.DAG())
	}
	if err != nil {
		return inDoubt(err, now), inDoubt(err, made), kv.Wrap(err, "restore %d pin requests", len(was))
	}
	return now, made, nil
}

// restore writes a request of a backup. No quota is looked at: the account had it before.
func (s *Store) restore(t *kv.Tx, a kv.Account, was pin.Request) (*request, error) {
	rec, err := s.accountRecord(&t.Reader, a)
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(was.ID)
	if err != nil {
		return nil, err
	}
	if !was.Root.Defined() || was.Root.ByteLen() > holding.MaxDAG {
		return nil, fmt.Errorf("its CID is %q", was.CID)
	}
	req := &request{account: a, status: codeQueued, from: was.From, requestRecord: requestRecord{
		ID: id, Created: was.Created.UnixMilli(), CID: was.CID, Root: was.Root.Bytes(),
		Name: was.Name, Meta: maps.Clone(was.Meta), Origins: slices.Clone(was.Origins),
	}}
	// The lists are in the order of Created, so nothing is put behind what is there.
	if req.Created > rec.Last {
		rec.Last, rec.Clock, rec.Back = req.Created, req.Created, 0
	} else {
		if req.Created, err = rec.tick(s.now().UnixMilli()); err != nil {
			return nil, err
		}
		req.ID = newID(req.Created)
	}
	req.Seq = rec.NextSeq
	rec.NextSeq++
	if was.Status == pin.Failed {
		req.status, req.details = codeFailed, was.Details
		setDetails(t, a, req.Seq, req.details)
	} else {
		taken, err := takenBy(&t.Reader, a, req.dag())
		if err != nil {
			return nil, err
		}
		rec.Live += taken
		if req.status, err = s.holdRestored(t, a, was); err != nil {
			return nil, err
		}
	}
	if err := t.Put(accountKey(a), rec); err != nil {
		return nil, err
	}
	if err := t.Put(requestKey(a, req.Created), req.requestRecord); err != nil {
		return nil, err
	}
	t.Set(rowKey(a, req.Seq), encodeRow(&req.requestRecord))
	putRequester(t, req)
	if err := s.enlist(t, req, true); err != nil {
		return nil, err
	}
	return req, s.readRest(&t.Reader, req)
}

// restoreFailed tries a request again that failed since it was backed up. No quota is looked at.
func (s *Store) restoreFailed(t *kv.Tx, req *request, was pin.Request) error {
	taken, err := takenBy(&t.Reader, req.account, req.dag())
	if err != nil {
		return err
	}
	to, err := s.holdRestored(t, req.account, was)
	if err != nil {
		return err
	}
	if err := s.move(t, req, to, ""); err != nil {
		return err
	}
	return s.noteLive(t, req.account, int(taken))
}

// holdRestored holds the DAG of a request, and gives the status that the request has then. A DAG
// that was complete in the backup is repaired, like one that is found damaged: so no limit and no
// quota ends that.
func (s *Store) holdRestored(t *kv.Tx, a kv.Account, was pin.Request) (statusCode, error) {
	d := was.DAG()
	complete, err := s.hold(t, a, d)
	if err != nil || complete {
		return codePinned, err
	}
	if was.Status != pin.Pinned {
		return codeQueued, nil
	}
	rec, _, err := s.held.DAG(&t.Reader, d)
	if err != nil {
		return 0, err
	}
	rec.Blocks, rec.Bytes = was.Totals.Blocks, was.Totals.Bytes
	t.Delete(holding.PartialKey(d))
	return codeQueued, t.Put(holding.DAGKey(d), rec)
}
