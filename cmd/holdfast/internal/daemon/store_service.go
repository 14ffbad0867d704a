package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// storeService does for the admin API what operators ask of the store.
type storeService struct {
	store *store.Store
	auth  *auth.Service
	pins  interface {
		Repair(ctx context.Context, r pin.Refetcher, blocks []multihash.Multihash, told func(pin.DAG)) error
		Adopt(ctx context.Context, r pin.Adopter, from, to string) (adopted, left int, err error)
	}
	front bool // a cluster has the blocks
	// unpin finishes the unpinning that has begun.
	unpin func(context.Context) error
}

var _ admin.Store = (*storeService)(nil)

// offlineStore is for a command while no server runs. It records a repair, which the server
// does later. It also drops what was released, since no server does.
func offlineStore(c *core, pins *pin.Offline) *storeService {
	s := c.store
	return &storeService{store: s, auth: c.auth, pins: pins, front: c.front != "", unpin: func(ctx context.Context) error {
		return pins.Unpin(ctx, s.Drop)
	}}
}

// unpinWait is how long a requested reclaim waits for the unpinning under way. So a reclaim
// right after the removal of a pin gives the space of that pin back.
const unpinWait = 5 * time.Minute

// servedStore is for a running server.
func (p *Program) servedStore() *storeService {
	pins := p.pins
	return &storeService{
		store: p.core.store, auth: p.core.auth, pins: pins, front: p.cluster != nil,
		unpin: func(ctx context.Context) error {
			some, cancel := context.WithTimeout(ctx, unpinWait)
			defer cancel()
			err := pins.WaitUnpinned(some)
			switch {
			case errors.Is(err, pin.ErrDiskFull):
				return nil // the reclaim makes room
			case err != nil && some.Err() != nil:
				return ctx.Err() // nil after unpinWait: the next reclaim does the rest
			}
			return err
		},
	}
}

// Stats implements [admin.Store].
func (s *storeService) Stats(ctx context.Context) (admin.StoreStats, error) {
	st, err := s.store.Stats(ctx)
	return admin.StoreStats{
		Live: admin.Amount(st.Live), Dead: admin.Amount(st.Dead),
		Disk: st.Disk, Free: st.Free, Damaged: st.Damaged, Unreadable: st.Unreadable,
		DAGs: st.DAGs, Complete: st.Complete, Accounts: st.Accounts, Requests: st.Requests,
		DamagedRecords: damagedRecords(st.DamagedRecords),
	}, err
}

// Reclaim implements [admin.Store].
func (s *storeService) Reclaim(ctx context.Context, progress func(admin.StoreProgress)) (admin.Reclaimed, error) {
	if s.front {
		return admin.Reclaimed{}, errFront
	}
	progress(admin.StoreProgress{Text: "unpinning"})
	if err := s.unpin(ctx); err != nil {
		return admin.Reclaimed{}, err
	}
	report, err := s.store.Reclaim(ctx, func(p store.ReclaimProgress) {
		progress(admin.StoreProgress{Text: p.Stage, Done: p.Done, Total: p.Total})
	})
	return admin.Reclaimed(report), err
}

// Verify implements [admin.Store].
func (s *storeService) Verify(ctx context.Context, repair bool, tell admin.VerifyWatch) (admin.VerifyReport, error) {
	if s.front {
		return admin.VerifyReport{}, errFront
	}
	var damaged []multihash.Multihash
	report, err := s.store.Verify(ctx, func(d store.Damage) error {
		info := admin.Damage{CID: d.CID().String(), Kind: d.Kind, DAGs: []admin.HurtDAG{}}
		for _, h := range d.DAGs {
			one, err := s.hurtInfo(ctx, h)
			if err != nil {
				return err
			}
			info.DAGs = append(info.DAGs, one)
		}
		damaged = append(damaged, d.Hash)
		return tell.Damage(info)
	}, func(p store.VerifyProgress) {
		text := text.Counted(p.Blocks, "block") + ", " + text.RoughSize(p.Bytes)
		tell.Progress(admin.StoreProgress{Text: text, Done: p.Done, Total: p.Total})
	})
	if err == nil && repair {
		err = s.pins.Repair(ctx, s.store, damaged, func(d pin.DAG) { tell.Repairing(d.String()) })
	}
	return admin.VerifyReport{
		Blocks: report.Blocks, Bytes: report.Bytes, Corrupt: report.Corrupt, Missing: report.Missing,
		Strays: report.Strays, Elapsed: report.Elapsed, DamagedRecords: damagedRecords(report.DamagedRecords),
	}, err
}

// Accounts implements [admin.Store].
func (s *storeService) Accounts(ctx context.Context, status pin.Status) ([]string, error) {
	return s.store.Accounts(ctx, status)
}

// Adopt implements [admin.Store].
func (s *storeService) Adopt(ctx context.Context, from, to string) (adopted, left int, err error) {
	return s.pins.Adopt(ctx, s.store, from, to)
}

func damagedRecords(d store.DamagedRecords) admin.DamagedRecords {
	all := admin.DamagedRecords{BadRecords: d.BadRecords}
	for _, r := range d.Records {
		all.Records = append(all.Records, admin.DamagedRecord(r))
	}
	return all
}

func (s *storeService) hurtInfo(ctx context.Context, h store.HurtDAG) (admin.HurtDAG, error) {
	info := admin.HurtDAG{CID: h.DAG.String(), Complete: h.Complete, Pins: []admin.HurtPin{}, More: h.More}
	for _, r := range h.Requests {
		user := r.Account
		a, err := s.auth.AccountByID(ctx, r.Account)
		if err == nil {
			user = a.Email
		} else if !errors.Is(err, auth.ErrNoAccount) {
			return info, fmt.Errorf("find the owner of pin %s: %w", r.ID, err)
		}
		info.Pins = append(info.Pins, admin.HurtPin{RequestID: r.ID, Name: r.Name, User: user})
	}
	return info, nil
}
