package main

import (
	"context"
	"errors"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// offlineStore is for a command while no server runs: a repair is recorded, for
// the server to do, and nobody else drops what was released.
func offlineStore(s *store.Store, a *auth.Service) *adminStore {
	return &adminStore{
		store: s, auth: a,
		repair: func(ctx context.Context, blocks []multihash.Multihash, told func(pin.DAG)) error {
			ctx = context.WithoutCancel(ctx)
			dags, _, err := s.NotWhole(ctx, blocks)
			for _, d := range dags {
				if _, err := s.Refetch(ctx, d); err != nil {
					return err
				}
				told(d)
			}
			return err
		},
		unpin: func(ctx context.Context) error {
			released, err := s.Released(ctx)
			for _, a := range released {
				if err == nil {
					err = s.Drop(ctx, a)
				}
			}
			return err
		},
	}
}

// servedStore is for a running server.
func servedStore(s *store.Store, a *auth.Service, pins *pin.Manager) *adminStore {
	return &adminStore{
		store: s, auth: a,
		repair: func(ctx context.Context, blocks []multihash.Multihash, told func(pin.DAG)) error {
			return pins.Repair(ctx, s, blocks, told)
		},
		unpin: func(ctx context.Context) error {
			some, cancel := context.WithTimeout(ctx, unpinWait)
			defer cancel()
			err := pins.WaitUnpinned(some)
			switch {
			case errors.Is(err, pin.ErrDiskFull):
				return nil // the reclaim makes room
			case err != nil && some.Err() != nil:
				return ctx.Err() // if that is nil, what is left is for the next reclaim
			}
			return err
		},
	}
}
