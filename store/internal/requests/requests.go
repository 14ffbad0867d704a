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
	defer s.changes.note(spec.DAG())
	asked := ask{account: account, spec: spec}
	if now, found, err := s.before(ctx, asked); err != nil || found {
		return now, err
	}
	if err := s.space.RoomFor(0); err != nil {
		// What lingers takes no more when it is taken back. Were it refused, it would itself have to
		// give way to the request for it.
		if lingers, lookErr := s.lingersFor(ctx, account, spec.DAG()); lookErr != nil || !lingers {
			return pin.Request{}, err
		}
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
		if err := s.changed(ctx, t, Added, req, nil); err != nil {
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

// admitted gives a request that was just made, or is tried again. It fails if the request is over
// its account's quota: was is what the account was charged before, limit what it may be charged.
func (s *Store) admitted(t *kv.Tx, req *request, was, limit uint64) (pin.Request, error) {
	if err := s.admitBytes(t, req, was, limit, false); err != nil {
		return pin.Request{}, err
	}
	return req.public()
}

// inDoubt gives what a change made if the change is in doubt: if it failed with err, but may have
// been made. Otherwise it gives nothing.
func inDoubt[T any](err error, made T) (none T) {
	if errors.Is(err, pin.ErrInDoubt) {
		return made
	}
	return none
}

// Replace implements [pin.Requests].
func (s *Store) Replace(ctx context.Context, account, id string, spec pin.Spec) (now, old pin.Request, released []pin.Attempt, err error) {
	defer s.changes.note(spec.DAG())
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
		used, err := s.charged(&t.Reader, was.account)
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
		if err := s.admitBytes(t, is, used, quota.Bytes, was.status.live()); err != nil {
			return err
		}
		if err := s.changed(ctx, t, Replaced, is, was); err != nil {
			return err
		}
		now, err = is.public()
		return err
	})
	if err != nil {
		return inDoubt(err, now), inDoubt(err, old), inDoubt(err, released), kv.Wrap(err, "replace pin request %s", id)
	}
	s.forgetDamaged(old)
	s.changes.note(old.DAG())
	return now, old, released, nil
}

// Remove implements [pin.Requests].
func (s *Store) Remove(ctx context.Context, account, id string) (old pin.Request, released []pin.Attempt, err error) {
	return s.remove(ctx, "remove pin request", account, id, func(*kv.Tx, *request) error { return nil })
}

// remove takes a request away, in one commit with what first does before the request lets go of
// what it holds. Errors begin with what.
func (s *Store) remove(ctx context.Context, what, account, id string, first func(*kv.Tx, *request) error) (old pin.Request, released []pin.Attempt, err error) {
	err = s.updateLearning(ctx, func(t *kv.Tx) error {
		was, err := s.find(&t.Reader, account, id)
		if err != nil {
			return err
		}
		if old, err = was.public(); err != nil {
			return err
		}
		if err := first(t, was); err != nil {
			return err
		}
		if released, err = s.letGoHeld(t, was); err != nil {
			return err
		}
		if err := s.changed(ctx, t, Removed, was, nil); err != nil {
			return err
		}
		return s.erase(t, was)
	})
	if err != nil {
		s.changes.note(old.DAG())
		return inDoubt(err, old), inDoubt(err, released), kv.Wrap(err, "%s %s", what, id)
	}
	s.forgetDamaged(old)
	s.changes.note(old.DAG())
	return old, released, nil
}

// Get implements [pin.Requests].
func (s *Store) Get(ctx context.Context, account, id string) (got pin.Request, err error) {
	err = s.ViewLearning(ctx, func(r *kv.Reader) error {
		req, err := s.find(r, account, id)
		if err != nil {
			return err
		}
		if got, err = req.public(); err != nil || got.Status != pin.Pinned {
			return err
		}
		got.Totals.By, err = s.deliveredBy(r, req.account, req.dag())
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
			if req.status.live() { // it holds its DAG, and goes on as it was
				now, err = req.public()
				return err
			}
		}
		used, err := s.charged(&t.Reader, req.account)
		if err != nil {
			return err
		}
		if req.status != codeFailed {
			return pin.ErrNotFailed
		}
		rec, err := s.accountRecord(&t.Reader, req.account)
		if err != nil {
			return err
		}
		taken, err := takenBy(&t.Reader, req.account, req.dag())
		if err == nil {
			err = rec.admits(quota.Pins, taken, 0)
		}
		if err != nil {
			return err
		}
		complete, err := s.hold(t, req.account, req.dag())
		if err != nil {
			return err
		}
		to := codeQueued
		if complete {
			to = codePinned
		}
		if err := s.move(t, req, to, ""); err != nil {
			return err
		}
		if err := s.noteLive(t, req.account, int(taken)); err != nil {
			return err
		}
		if err := s.changed(ctx, t, Retried, req, nil); err != nil {
			return err
		}
		now, err = s.admitted(t, req, used, quota.Bytes)
		return err
	})
	if err != nil {
		return inDoubt(err, now), kv.Wrap(err, "retry pin request %s", id)
	}
	s.forgetDamaged(now)
	s.changes.note(now.DAG())
	return now, nil
}

// add writes a new request, which holds its own DAG. limit and freed are as in
// [accountRecord.admits].
func (s *Store) add(t *kv.Tx, id string, spec pin.Spec, limit, freed uint64) (*request, error) {
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
	req := &request{account: acct, status: codeQueued, from: spec.From, requestRecord: requestRecord{
		ID:      newID(created),
		Created: created,
		Seq:     rec.NextSeq,
		CID:     spec.CID,
		Root:    spec.Root.Bytes(),
		Name:    spec.Name,
		Meta:    maps.Clone(spec.Meta), // the answer keeps it, and the caller may change the map
		Origins: slices.Clone(spec.Origins),
	}}
	rec.NextSeq++
	rec.Live += taken
	complete, err := s.hold(t, req.account, req.dag())
	if err != nil {
		return nil, err
	}
	if complete {
		req.status = codePinned
	}
	if err := t.Put(accountKey(acct), rec); err != nil {
		return nil, err
	}
	if err := t.Put(requestKey(acct, created), req.requestRecord); err != nil {
		return nil, err
	}
	t.Set(rowKey(acct, req.Seq), encodeRow(&req.requestRecord))
	putRequester(t, req)
	if err := s.enlist(t, req, true); err != nil {
		return nil, err
	}
	return req, s.readRest(&t.Reader, req)
}

// enlist puts a request on all its lists, or takes it off them.
func (s *Store) enlist(t *kv.Tx, req *request, on bool) error {
	if req.status == codePinned && req.dag() != "" {
		n := 1
		if !on {
			n = -1
		}
		if err := s.charge(t, req.account, req.dag(), n); err != nil {
			return err
		}
	}
	lists := [][]byte{statusList(req.status, req.account)}
	if d := req.dag(); d != "" {
		lists = append(lists, dagList(d, req.account))
	}
	if req.Name != "" {
		lists = append(lists, nameList(req.account, hashName(req.Name)))
	}
	for _, l := range lists {
		if err := markList(t, l, req.Seq, on); err != nil {
			return err
		}
	}
	return nil
}

// erase deletes a request and everything that belongs to it alone.
func (s *Store) erase(t *kv.Tx, req *request) error {
	t.Delete(requestKey(req.account, req.Created))
	if req.damage != nil && !req.damage.placed {
		return nil // what else belongs to it is not known
	}
	t.Delete(rowKey(req.account, req.Seq))
	t.Delete(holdsKey(req.account, req.Seq))
	t.Delete(detailsKey(req.account, req.Seq))
	dropRequester(t, req)
	if err := s.enlist(t, req, false); err != nil || !req.status.live() {
		return err
	}
	return s.noteEnded(t, req.account, req.dag())
}

// move gives a request another status. It was not pinned before.
func (s *Store) move(t *kv.Tx, req *request, to statusCode, details string) error {
	if err := markList(t, statusList(req.status, req.account), req.Seq, false); err != nil {
		return err
	}
	if err := markList(t, statusList(to, req.account), req.Seq, true); err != nil {
		return err
	}
	req.status = to
	setDetails(t, req.account, req.Seq, details)
	req.details = details
	if to != codePinned {
		return nil
	}
	if err := s.charge(t, req.account, req.dag(), 1); err != nil {
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

// find reads a request of an account. Errors: pin.ErrNotFound.
func (s *Store) find(r *kv.Reader, acct, id string) (*request, error) {
	a, ok := kv.AccountOf(acct)
	if !ok {
		return nil, pin.ErrNotFound
	}
	u, ms, ok := createdIn(id)
	if !ok {
		return nil, pin.ErrNotFound
	}
	req := &request{account: a}
	found, err := r.Take(requestKey(a, ms), &req.requestRecord)
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
	if req.status, err = statusOf(r, a, req.Seq); err != nil {
		return nil, fmt.Errorf("request %s: %w", id, err)
	}
	return req, s.readRest(r, req)
}

// statusOf gives the status of a request.
func statusOf(r *kv.Reader, a kv.Account, seq uint64) (statusCode, error) {
	number, bit := place(seq)
	for _, code := range byLikelihood() {
		c, err := chunkAt(r, statusList(code, a), number)
		if err != nil {
			return 0, err
		}
		if c.has(bit) {
			return code, nil
		}
	}
	return 0, errNoStatus
}

// errNoStatus: the request is on no list of a status.
var errNoStatus = errors.New("it has no status")

// writeAnew writes the record and the row of a damaged request again, with what is known of it.
// Errors: *pin.InvalidError if its CID is not known.
func (s *Store) writeAnew(t *kv.Tx, req *request) error {
	if req.dag() == "" {
		return &pin.InvalidError{Field: "requestid", Msg: "is of a pin whose record cannot be read, and whose CID is not known: " +
			"remove it, and pin the content again"}
	}
	req.damage = nil
	if err := t.Put(requestKey(req.account, req.Created), req.requestRecord); err != nil {
		return err
	}
	t.Set(rowKey(req.account, req.Seq), encodeRow(&req.requestRecord))
	return s.readRest(&t.Reader, req)
}

// forgetDamaged forgets the damage of a request that is gone or was written again.
func (s *Store) forgetDamaged(r pin.Request) {
	if a, ok := kv.AccountOf(r.Account); ok {
		s.damaged.forget(a, r.Created.UnixMilli())
	}
}

// readRest reads what goes with a request's status: why it failed, or how much it
// has pinned, and where it came from.
func (s *Store) readRest(r *kv.Reader, req *request) (err error) {
	if err := readRequester(r, req); err != nil {
		return err
	}
	switch req.status {
	case codePinned:
		req.totals, err = s.pinnedTotals(r, req.account, req.dag())
	case codeFailed:
		var b []byte
		b, _, err = r.Get(detailsKey(req.account, req.Seq))
		req.details = string(b)
		if errors.Is(err, pin.ErrUnreadable) {
			req.details, err = "why it failed cannot be read any more", nil
		}
	}
	return err
}

// pinnedTotals gives the totals of a DAG that an account has pinned, as the account is charged for
// it.
func (s *Store) pinnedTotals(r *kv.Reader, a kv.Account, d pin.DAG) (pin.Totals, error) {
	c, _, err := s.takeCharge(r, a, d)
	return pin.Totals{Blocks: c.Blocks, Bytes: c.Bytes}, err
}
