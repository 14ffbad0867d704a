package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/doctor"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// core is what a server needs, and a command while no server runs: the store and the
// accounts.
type core struct {
	store *store.Store // whoever called openCore closes it
	auth  *auth.Service
	// instance names the data directory. It stays the same as long as tokens.key does.
	instance string
	// front is the name by which a cluster's pinset knows this server; "" if what is pinned is
	// kept here.
	front string
	// Whoever called openCore sets pins, before the first request.
	pins admin.Pins
}

// copiedHint is for a copy that does not open, if the original has not been closed by its
// server.
const copiedHint = "this directory is a copy, and a server ran in the original or was killed there; if it ran while the copy was made, " +
	"the files are of different moments, and nothing is wrong with the disk: stop that server and copy its directory again, " +
	"or take a snapshot of the file system. Else " + doctor.DamagedHint

// storeHint says what to do about an error of the store that package admin does not know.
func storeHint(err error) string {
	if errors.Is(err, store.ErrDamaged) {
		return doctor.DamagedHint
	}
	return ""
}

// fullHint is for a disk that is too full to open the store.
const fullHint = "nothing is lost; remove other files from that file system, and start again: " +
	"Holdfast gives back the space of removed pins only while it runs"

// openCore opens the store and the accounts. The store comes first: it notices a directory
// that is not Holdfast's, and changes nothing there.
func openCore(ctx context.Context, d *datadir.Dir, lock *datadir.Lock, cfg config.Config, log *slog.Logger) (_ *core, err error) {
	s, err := store.Open(ctx, lock, store.Config{
		MinFreeSpace:    uint64(cfg.Store.MinFreeSpace),
		ReclaimInterval: time.Duration(cfg.Store.ReclaimInterval),
		Logger:          log,
	})
	if err != nil {
		err = fmt.Errorf("open the store in %s: %w", d.Shown, err)
		switch {
		case errors.Is(err, store.ErrDamaged) && d.CopiedInUse():
			err = hint.Add(err, copiedHint)
		case errors.Is(err, store.ErrDamaged):
			err = hint.Add(err, doctor.DamagedHint)
		case errors.Is(err, pin.ErrDiskFull):
			err = hint.Add(err, fullHint)
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	lost := datadir.TokenKeys().Missing(d)
	keys, err := auth.OpenKeys(d.File(datadir.TokenKeysFile))
	if err != nil {
		return nil, err
	}
	if err := datadir.TokenKeys().Check(ctx, s.Datastore(), d, keys.Instance(), lost, log); err != nil {
		return nil, err
	}
	c := &core{store: s, instance: keys.Instance()}
	if c.front, err = frontOf(ctx, s.Datastore()); err != nil {
		return nil, err
	}
	authConfig := auth.Config{
		AccessTTL:         time.Duration(cfg.Auth.AccessTokenTTL),
		RefreshTTL:        time.Duration(cfg.Auth.RefreshTokenTTL),
		Registration:      auth.Registration(cfg.Auth.Registration),
		RegisterQuota:     uint64(cfg.Auth.RegisterQuota),
		RegisterQuotaPins: uint64(cfg.Auth.RegisterMaxPins),
		AuditKeep:         time.Duration(cfg.Auth.AuditKeep),
		Usage: func(ctx context.Context, account string) (auth.Usage, error) {
			u, err := s.Usage(ctx, account)
			return auth.Usage{Bytes: u.Bytes, Pins: int(u.Pins)}, err
		},
		RemovePins: func(ctx context.Context, account string) (int, error) { return c.pins.RemoveAll(ctx, account) },
		Log:        log,
	}
	if authConfig.AuditKeep == 0 {
		authConfig.AuditKeep = -1 // package auth's value for ever
	}
	if c.auth, err = auth.New(authConfig, s, keys); err != nil {
		return nil, err
	}
	return c, nil
}

// healthy reports whether the store answers a read.
func (c *core) healthy(ctx context.Context) error {
	// An id that no account has. The store is not asked about something that is no id.
	if _, err := c.auth.AccountByID(ctx, uuid.Nil.String()); err != nil && !errors.Is(err, auth.ErrNoAccount) {
		return fmt.Errorf("read the store: %w", err)
	}
	return nil
}
