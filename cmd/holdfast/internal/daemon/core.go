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
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// core is what the server and a command without one both stand on.
type core struct {
	store *store.Store // whoever opened the core closes it
	auth  *auth.Service
	// instance is the data directory's, the same as long as its tokens.key is.
	instance string
	// pins are set by whoever opened the core, before anybody can ask for anything.
	pins admin.Pins
}

// damagedHint is for who has a database that does not open. What seems to help
// elsewhere, removing what is reported, would here be the end of it.
const damagedHint = "check the disk, and restore the data directory from a backup; keep a copy of it as it is, " +
	"and remove none of the files in db: without its MANIFEST Badger deletes all others"

// copiedHint is for who has a copy that does not open, which a server that was not
// stopped has left its marks in.
const copiedHint = "this directory is a copy of one in which a server ran, or was killed; if it ran while the copy was made, " +
	"the files are of different moments, and nothing is wrong with the disk: stop that server and copy its directory again, " +
	"or take a snapshot of the file system. Else " + damagedHint

// storeHint says what to do about an error of the store's that the operator's API does
// not know.
func storeHint(err error) string {
	if errors.Is(err, store.ErrDamaged) {
		return damagedHint
	}
	return ""
}

// fullHint is for a disk that has no room to open.
const fullHint = "nothing is lost; make room on that file system by other means, and start again: " +
	"what is removed in Holdfast comes back only while it runs"

// openCore opens the store and the accounts. The store is first: it is what
// knows a directory that is not ours, and touches nothing there.
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
			err = hint.Add(err, damagedHint)
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
		authConfig.AuditKeep = -1 // what is for ever there
	}
	if c.auth, err = auth.New(authConfig, s, keys); err != nil {
		return nil, err
	}
	return c, nil
}

// healthy reports whether the store answers a read.
func (c *core) healthy(ctx context.Context) error {
	// An id that no account has: one that is not an id would not be looked for.
	if _, err := c.auth.AccountByID(ctx, uuid.Nil.String()); err != nil && !errors.Is(err, auth.ErrNoAccount) {
		return fmt.Errorf("read the store: %w", err)
	}
	return nil
}
