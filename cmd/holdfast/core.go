package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/store"
)

// core is what the server and a command without one both stand on.
type core struct {
	store *store.Store // whoever opened the core closes it
	auth  *auth.Service
}

// Files of the data directory that the packages name no place for.
const (
	tokenKeysFile = "tokens.key"
	nodeKeyFile   = "node.key"
)

// openCore opens the store and the accounts. The store is first: it is what
// knows a directory that is not ours, and touches nothing there.
func openCore(ctx context.Context, d *dataDir, lock *dirLock, cfg Config, log *slog.Logger) (_ *core, err error) {
	s, err := store.Open(ctx, lock, store.Config{
		MinFreeSpace: uint64(cfg.Store.MinFreeSpace),
		Logger:       log,
	})
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", d.shown, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	keys, err := auth.OpenKeys(d.file(tokenKeysFile))
	if err != nil {
		return nil, err
	}
	a, err := auth.New(auth.Config{
		AccessTTL:  time.Duration(cfg.Auth.AccessTokenTTL),
		RefreshTTL: time.Duration(cfg.Auth.RefreshTokenTTL),
		Log:        log,
	}, s, keys)
	if err != nil {
		return nil, err
	}
	return &core{store: s, auth: a}, nil
}

// healthy reports whether the store answers a read.
func (c *core) healthy(ctx context.Context) error {
	if _, err := c.auth.AccountByID(ctx, ""); err != nil && !errors.Is(err, auth.ErrNoAccount) {
		return fmt.Errorf("read the store: %w", err)
	}
	return nil
}
