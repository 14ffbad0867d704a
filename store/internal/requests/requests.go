package requests

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Add implements [pin.Requests].
func (s *Store) Add(ctx context.Context, account string, spec pin.Spec) (now pin.Request, err error) {
	asked := ask{account: account, spec: spec}
	if now, found, err := s.before(ctx, asked); err != nil || found {
		return now, err
	}
	if err := s.space.RoomFor(0); err != nil {
		return pin.Request{}, err
	}
	quota, err := s.quota(ctx, account)
	if err != nil {
		return pin.Request{}, kv.Wrap(err, "add pin request")
	}
	err = s.updateLearning(ctx, func(t *kv.Tx) error {
		if req, err := s.made(&t.Reader, asked); err != nil {
			return err
		} else if req != nil {
			now, err = req.public()
			return err
		}
		a, _ := kv.AccountOf(account)
		used, err := s.charged(&t.Reader, a)
		if err != nil {
			return err
		}
		req, err := s.add(t, account, spec, quota.Pins, 0)
		if err != nil {
			return err
		}
		if err := s.remember(t, asked, req); err != nil {
			return err
		}
		now, err = s.admitted(t, req, used, quota.Bytes)
		return err
	})
	if err != nil {
		return inDoubt(err, now), kv.Wrap(err, "add pin request")
	}
	return now, nil
}

// admitted gives a request that was just made, or is tried again, if its account may have
// it: was is what that was charged before, most what it may be.
func (s *Store) admitted(t *kv.Tx, req *Request, was, most uint64) (pin.Request, error) {
	if err := s.admitBytes(t, req, was, most, false); err != nil {
		return pin.Request{}, err
	}
	return req.public()
}

// inDoubt gives what a change made, if it may have been made although it failed with
// err, else nothing.
func inDoubt[T any](err error, made T) (none T) {
	if errors.Is(err, pin.ErrInDoubt) {
		return made
	}
	return none
}

// Replace implements [pin.Requests].
func (s *Store) Replace(ctx context.Context, account, id string, spec pin.Spec) (now, old pin.Request, released []pin.Attempt, err error) {
	asked := ask{account: account, replaces: id, spec: spec}
	if now, found, err := s.before(ctx, asked); err != nil || found {
		return now, old, nil, err
	}
	if err := s.space.RoomFor(0); err != nil {
		return now, old, nil, err
	}
	quota, err := s.quota(ctx, account)
	if err != nil {
		return now, old, nil, kv.Wrap(err, "replace pin request %s", id)
	}
	err = s.updateLearning(ctx, func(t *kv.Tx) error {
		old, released = pin.Request{}, nil
		if req, err := s.made(&t.Reader, asked); err != nil {
			return err
		} else if req != nil {
			now, err = req.public()
			return err
		}
		was, err := s.find(&t.Reader, account, id)
		if err != nil {
			return err
		}
		used, err := s.charged(&t.Reader, was.Account)
		if err != nil {
			return err
		}
		if old, err = was.public(); err != nil {
			return err
		}
		freed, err := freedBy(&t.Reader, was)
		if err != nil {
			return err
		}
		is, err := s.add(t, account, spec, quota.Pins, freed)
		if err != nil {
			return err
		}
		if err := s.remember(t, asked, is); err != nil {
			return err
		}
		if released, err = s.takeOver(t, is, was); err != nil {
			return err
		}
		if err := s.erase(t, was); err != nil {
			return err
		}
		if err := s.admitBytes(t, is, used, quota.Bytes, was.Status.live()); err != nil {
			return err
		}
		now, err = is.public()
		return err
	})
	if err != nil {
		return inDoubt(err, now), inDoubt(err, old), inDoubt(err, released), kv.Wrap(err, "replace pin request %s", id)
	}
	s.forgetDamaged(old)
	return now, old, released, nil
}

// Remove implements [pin.Requests].
func (s *Store) Remove(ctx context.Context, account, id string) (old pin.Request, released []pin.Attempt, err error) {
	err = s.updateLearning(ctx, func(t *kv.Tx) error {
		was, err := s.find(&t.Reader, account, id)
		if err != nil {
			return err
		}
		if old, err = was.public(); err != nil {
			return err
		}
		if released, err = s.letGoHeld(t, was); err != nil {
			return err
		}
		return s.erase(t, was)
	})
	if err != nil {
		return inDoubt(err, old), inDoubt(err, released), kv.Wrap(err, "remove pin request %s", id)
	}
	s.forgetDamaged(old)
	return old, released, nil
}

// Get implements [pin.Requests].
func (s *Store) Get(ctx context.Context, account, id string) (got pin.Request, err error) {
	err = s.ViewLearning(ctx, func(r *kv.Reader) error {
		req, err := s.find(r, account, id)
		if err != nil {
			return err
		}
		got, err = req.public()
		return err
	})
	if err != nil {
		return pin.Request{}, kv.Wrap(err, "read pin request %s", id)
	}
	return got, nil
}

// Retry implements [pin.Requests].
func (s *Store) Retry(ctx context.Context, account, id string) (now pin.Request, err error) {
	quota, err := s.quota(ctx, account)
	if err != nil {
		return pin.Request{}, kv.Wrap(err, "retry pin request %s", id)
	}
	err = s.updateLearning(ctx, func(t *kv.Tx) error {
		req, err := s.find(&t.Reader, account, id)
		if err != nil {
			return err
		}
		if req.damage != nil {
			if err := s.writeAnew(t, req); err != nil {
				return err
			}
			if req.Status.live() { // it holds its DAG, and goes on as it was
				now, err = req.public()
				return err
			}
		}
		used, err := s.charged(&t.Reader, req.Account)
		if err != nil {
			return err
		}
		if req.Status != CodeFailed {
			return pin.ErrNotFailed
		}
		rec, err := s.accountRecord(&t.Reader, req.Account)
		if err != nil {
			return err
		}
		taken, err := takenBy(&t.Reader, req.Account, req.DAG())
		if err == nil {
			err = rec.admits(quota.Pins, taken, 0)
		}
		if err != nil {
			return err
		}
		complete, err := s.held.Hold(t, req.DAG())
		if err != nil {
			return err
		}
		to := codeQueued
		if complete {
			to = CodePinned
		}
		if err := s.move(t, req, to, ""); err != nil {
			return err
		}
		if err := s.noteLive(t, req.Account, int(taken)); err != nil {
			return err
		}
		now, err = s.admitted(t, req, used, quota.Bytes)
		return err
	})
	if err != nil {
		return inDoubt(err, now), kv.Wrap(err, "retry pin request %s", id)
	}
	s.forgetDamaged(now)
	return now, nil
}

// add writes a new request, which holds its own DAG. limit and freed are as in
// [AccountRecord.admits].
func (s *Store) add(t *kv.Tx, id string, spec pin.Spec, limit, freed uint64) (*Request, error) {
	acct, ok := kv.AccountOf(id)
	if !ok {
		return nil, fmt.Errorf("account %q is not a UUID", id)
	}
	if !spec.Root.Defined() {
		return nil, fmt.Errorf("the root CID is not set")
	}
	if n := spec.Root.ByteLen(); n > holding.MaxDAG {
		return nil, fmt.Errorf("a root CID of %d bytes", n)
	}
	rec, err := s.accountRecord(&t.Reader, acct)
	if err != nil {
		return nil, err
	}
	taken, err := takenBy(&t.Reader, acct, spec.DAG())
	if err != nil {
		return nil, err
	}
	if err := rec.admits(limit, taken, freed); err != nil {
		return nil, err
	}
	created, err := rec.tick(s.now().UnixMilli())
	if err != nil {
		return nil, err
	}
	req := &Request{Account: acct, Status: codeQueued, from: spec.From, RequestRecord: RequestRecord{
		ID:      newID(created),
		Created: created,
		Seq:     rec.NextSeq,
		CID:     spec.CID,
		Root:    spec.Root.Bytes(),
		Name:    spec.Name,
		Meta:    maps.Clone(spec.Meta), // kept by the answer, after the caller's may have changed
		Origins: slices.Clone(spec.Origins),
	}}
	rec.NextSeq++
	rec.Live += taken
	complete, err := s.held.Hold(t, req.DAG())
	if err != nil {
		return nil, err
	}
	if complete {
		req.Status = CodePinned
	}
	if err := s.kv.Put(t, AccountKey(acct), rec); err != nil {
		return nil, err
	}
	if err := s.kv.Put(t, RequestKey(acct, created), req.RequestRecord); err != nil {
		return nil, err
	}
	t.Set(RowKey(acct, req.Seq), EncodeRow(&req.RequestRecord))
	putRequester(t, req)
	if err := s.enlist(t, req, true); err != nil {
		return nil, err
	}
	return req, s.readRest(&t.Reader, req)
}

// enlist puts a request on all its lists, or takes it off them.
func (s *Store) enlist(t *kv.Tx, req *Request, on bool) error {
	if req.Status == CodePinned && req.DAG() != "" {
		n := 1
		if !on {
			n = -1
		}
		if err := s.charge(t, req.Account, req.DAG(), n); err != nil {
			return err
		}
	}
	lists := [][]byte{StatusList(req.Status, req.Account)}
	if d := req.DAG(); d != "" {
		lists = append(lists, DAGList(d, req.Account))
	}
	if req.Name != "" {
		lists = append(lists, NameList(req.Account, NameHash(req.Name)))
	}
	for _, l := range lists {
		if err := markList(t, l, req.Seq, on); err != nil {
			return err
		}
	}
	return nil
}

// erase deletes a request and everything that belongs to it alone.
func (s *Store) erase(t *kv.Tx, req *Request) error {
	t.Delete(RequestKey(req.Account, req.Created))
	if req.damage != nil && !req.damage.placed {
		return nil // nothing else is known to be its
	}
	t.Delete(RowKey(req.Account, req.Seq))
	t.Delete(holdsKey(req.Account, req.Seq))
	t.Delete(detailsKey(req.Account, req.Seq))
	dropRequester(t, req)
	if err := s.enlist(t, req, false); err != nil || !req.Status.live() {
		return err
	}
	return s.noteEnded(t, req.Account, req.DAG())
}

// move gives a request another status. It was not pinned before.
func (s *Store) move(t *kv.Tx, req *Request, to statusCode, details string) error {
	if err := markList(t, StatusList(req.Status, req.Account), req.Seq, false); err != nil {
		return err
	}
	if err := markList(t, StatusList(to, req.Account), req.Seq, true); err != nil {
		return err
	}
	req.Status = to
	setDetails(t, req.Account, req.Seq, details)
	req.details = details
	if to != CodePinned {
		return nil
	}
	if err := s.charge(t, req.Account, req.DAG(), 1); err != nil {
		return err
	}
	return s.readRest(&t.Reader, req)
}

func setDetails(t *kv.Tx, a kv.Account, seq uint64, details string) {
	if details == "" {
		t.Delete(detailsKey(a, seq))
	} else {
		t.Set(detailsKey(a, seq), []byte(details))
	}
}

// find reads the account's request, or gives pin.ErrNotFound.
func (s *Store) find(r *kv.Reader, acct, id string) (*Request, error) {
	a, ok := kv.AccountOf(acct)
	if !ok {
		return nil, pin.ErrNotFound
	}
	u, ms, ok := createdIn(id)
	if !ok {
		return nil, pin.ErrNotFound
	}
	req := &Request{Account: a}
	found, err := s.kv.Take(r, RequestKey(a, ms), &req.RequestRecord)
	if errors.Is(err, pin.ErrUnreadable) {
		d, err := s.damagedAt(a, ms, err)
		if err != nil {
			return nil, err
		}
		return s.damagedRequest(r, a, d, u)
	}
	if err != nil {
		return nil, err
	}
	if !found || req.ID != u {
		return nil, pin.ErrNotFound
	}
	if req.Status, err = StatusOf(r, a, req.Seq); err != nil {
		return nil, fmt.Errorf("request %s: %w", id, err)
	}
	return req, s.readRest(r, req)
}

// StatusOf tells the status of a request that is there.
func StatusOf(r *kv.Reader, a kv.Account, seq uint64) (statusCode, error) {
	number, bit := Place(seq)
	for _, code := range byLikelihood() {
		c, err := chunkAt(r, StatusList(code, a), number)
		if err != nil {
			return 0, err
		}
		if c.Has(bit) {
			return code, nil
		}
	}
	return 0, errNoStatus
}

// errNoStatus: no list has the request.
var errNoStatus = errors.New("it has no status")

// writeAnew writes the record and the row of a damaged request, as far as it is known.
// Errors: *pin.InvalidError if its CID is not.
func (s *Store) writeAnew(t *kv.Tx, req *Request) error {
	if req.DAG() == "" {
		return &pin.InvalidError{Field: "requestid", Msg: "is of a pin whose record cannot be read, and whose CID is not known: " +
			"remove it, and pin the content again"}
	}
	req.damage = nil
	if err := s.kv.Put(t, RequestKey(req.Account, req.Created), req.RequestRecord); err != nil {
		return err
	}
	t.Set(RowKey(req.Account, req.Seq), EncodeRow(&req.RequestRecord))
	return s.readRest(&t.Reader, req)
}

// forgetDamaged takes note that a request is gone, or was written anew.
func (s *Store) forgetDamaged(r pin.Request) {
	if a, ok := kv.AccountOf(r.Account); ok {
		s.damaged.forget(a, r.Created.UnixMilli())
	}
}

// readRest reads what goes with a request's status: why it failed, or how much it
// has pinned, and where it came from.
func (s *Store) readRest(r *kv.Reader, req *Request) (err error) {
	if err := readRequester(r, req); err != nil {
		return err
	}
	switch req.Status {
	case CodePinned:
		req.totals, err = s.pinnedTotals(r, req.Account, req.DAG())
	case CodeFailed:
		var b []byte
		b, _, err = r.Get(detailsKey(req.Account, req.Seq))
		req.details = string(b)
		if errors.Is(err, pin.ErrUnreadable) {
			req.details, err = "why it failed cannot be read any more", nil
		}
	}
	return err
}

// pinnedTotals gives the totals of a DAG that the account has pinned, as it is
// charged for it.
func (s *Store) pinnedTotals(r *kv.Reader, a kv.Account, d pin.DAG) (pin.Totals, error) {
	c, _, err := s.takeCharge(r, a, d)
	return pin.Totals{Blocks: c.Blocks, Bytes: c.Bytes}, err
}
