package pin

import (
	"context"
	"errors"
	"sync"

	"github.com/ipfs/go-cid"
)

// Here requests are found by CID and not by ID, as Kubo's clients do: an account has one request
// for a CID as it is written. Versions 0 and 1 of a CID are one DAG, and two such requests.

// forCID is how many requests for one CID are read. There is one, unless the account made others
// in other ways.
const forCID = 64

// ByCID gives the account's request for a CID as it is written: the newest of those that are
// furthest, if there are several. It is quick, and does not wait for the disk, whatever else goes
// on. Errors: ErrNotFound.
func (m *Manager) ByCID(ctx context.Context, account string, c cid.Cid) (View, error) {
	return m.viewed(func() (Request, error) { return m.byCID(ctx, account, c) })
}

func (m *Manager) byCID(ctx context.Context, account string, c cid.Cid) (best Request, err error) {
	all, err := m.requests.For(ctx, account, c, forCID)
	if err != nil {
		return best, err
	}
	furthest := 0
	for _, r := range all {
		if f := far(r.Status); f > furthest {
			best, furthest = r, f
		}
	}
	if furthest == 0 {
		return best, ErrNotFound
	}
	return best, nil
}

// far says how far a request of a status is.
func far(s Status) int {
	switch s {
	case Pinned:
		return 4
	case Pinning:
		return 3
	case Queued:
		return 2
	default:
		return 1
	}
}

// AddOnce makes a request, unless the account has one for the CID as it is written, also a failed
// one: then it gives that, as it is, and made is false. Of calls at the same time one makes it.
// If the DAG lingers for the account, it is held again. Errors: those of Add.
func (m *Manager) AddOnce(ctx context.Context, account string, s Spec) (v View, made bool, err error) {
	done, err := m.once.hold(ctx, account+s.Root.KeyString())
	if err != nil {
		return View{}, false, err
	}
	defer done()
	v, err = m.ByCID(ctx, account, s.Root)
	if errors.Is(err, ErrNotFound) {
		v, err = m.Add(ctx, account, s)
		return v, true, err
	}
	return v, false, err
}

// Unpin removes the account's request for a CID as it is written, and stops a fetch that no other
// request wants. The DAG lingers for [Config].UnpinGrace: it is served and announced as before,
// and a request of the account for it, through AddOnce or Add, finds all that was there. To learn
// that there is no request costs no more than ByCID. Errors: ErrNotFound.
func (m *Manager) Unpin(ctx context.Context, account string, c cid.Cid) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.calls.Done()
	for some := false; ; some = true {
		all, err := m.requests.For(ctx, account, c, forCID)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			if some {
				return nil
			}
			return ErrNotFound
		}
		for _, r := range all {
			if err := m.unpin(ctx, account, r.ID); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
		if len(all) < forCID { // there were no more
			return nil
		}
	}
}

// UnpinRequest is Unpin of one request alone. Its DAG does not linger as long as the account has
// another request for it that has not failed. Errors: ErrNotFound.
func (m *Manager) UnpinRequest(ctx context.Context, account, id string) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.calls.Done()
	return m.unpin(ctx, account, id)
}

// unpin removes a request, and its DAG lingers.
func (m *Manager) unpin(ctx context.Context, account, id string) error {
	var old Request
	var err error
	if m.cfg.UnpinGrace <= 0 {
		old, err = m.remove(ctx, account, id)
	} else {
		old, err = m.removed(m.graces.records.Linger(ctx, account, id))
	}
	if err == nil {
		m.log.Info("pin removed", "cid", old.DAG(), "requestid", old.ID, "account", account, "lingers", m.cfg.UnpinGrace)
	}
	return err
}

// EndLingering ends all lingering now, and returns how much that was. The space comes back with
// the next reclaim. Errors: ErrDiskFull, if the disk is too full even for that.
func (m *Manager) EndLingering(ctx context.Context) (Ended, error) {
	if err := m.enter(); err != nil {
		return Ended{}, err
	}
	defer m.calls.Done()
	return m.graces.endAll(ctx, "what was unpinned does not linger any more, as was asked for", func() (Ended, bool, error) {
		return m.graces.records.EndLingering(ctx, "", 0)
	})
}

// Lingering sums up what lingers.
func (m *Manager) Lingering(ctx context.Context) (Lingering, error) {
	return m.graces.records.Lingering(ctx)
}

// onces lets one caller at a time do something of a name.
type onces struct {
	mu  sync.Mutex
	all map[string]*once
}

type once struct {
	turn  chan struct{} // has one while somebody does it
	users int
}

// hold waits for its turn. The caller calls done afterwards. Errors: ctx's.
func (o *onces) hold(ctx context.Context, name string) (done func(), err error) {
	o.mu.Lock()
	if o.all == nil {
		o.all = make(map[string]*once)
	}
	one := o.all[name]
	if one == nil {
		one = &once{turn: make(chan struct{}, 1)}
		o.all[name] = one
	}
	one.users++
	o.mu.Unlock()
	leave := func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(o.all, name)
		}
	}
	select {
	case one.turn <- struct{}{}:
		return func() {
			<-one.turn
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
