package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/store"
)

// Restoration says what to restore into an empty data directory.
type Restoration struct {
	admin.NewRestore
	Open            Opener // of the place
	ServerKeys      bool   // also the files that make the server who it is
	WithoutIdentity bool   // but for that of the node
}

// files lists the files that make the server who it is, as far as they are wanted.
func (in Restoration) files() (names []string) {
	if !in.ServerKeys {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(serverKeyFiles), func(name string) bool {
		return in.WithoutIdentity && name == datadir.NodeKeyFile || in.WithoutTokens && name == datadir.TokenKeysFile
	})
}

// choiceOf is what is chosen, in the words of the store.
func choiceOf(in admin.NewRestore) store.Choice {
	return store.Choice{Accounts: in.Accounts, Requests: in.Requests, WithoutTokens: in.WithoutTokens}
}

// ErrNotEmpty: the data directory has a store already, and no server runs there.
var ErrNotEmpty = store.ErrNotEmpty

// Restore restores a backup into a data directory, which no store was ever in, or goes on with
// that. What is missing in the backup is fetched from the network once a server runs.
func Restore(ctx context.Context, d *datadir.Dir, in Restoration, cfg config.Config, log *slog.Logger, progress func(admin.StoreProgress)) (done admin.Restored, err error) {
	place, key, err := in.Open(in.From, in.KeyFile)
	if err != nil {
		return done, err
	}
	m, err := backup.Find(ctx, place, key, in.ID)
	if err != nil {
		return done, err
	}
	if in.ServerKeys && len(m.Keys) == 0 {
		return done, hint.Add(fmt.Errorf("backup %s has no keys of the server", m.ID), "leave out --server-keys: the server makes new ones")
	}
	lock, err := store.Lock(d.Open)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	restoring, err := store.Restore(ctx, lock, m.ID, m.Layout, choiceOf(in.NewRestore), store.Config{MinFreeSpace: uint64(cfg.Store.MinFreeSpace), Logger: log})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, restoring.Close()) }()
	restored, err := backup.Restore(ctx, place, key, m, restoring, func(p backup.Progress) { progress(admin.StoreProgress(p)) })
	done = restoredOf(restored)
	if err != nil {
		return done, err
	}
	if err := restoreDenylists(ctx, d, place, key, m); err != nil {
		return done, err
	}
	if err := restoreKeys(ctx, d, in, place, key, m); err != nil {
		return done, err
	}
	if _, err := os.Stat(d.File(datadir.SwarmKeyName)); m.Private && err != nil {
		log.Warn("the server was in a private network, and without swarm.key it joins the public one; put the file there before it starts",
			"file", filepath.Join(d.Shown, datadir.SwarmKeyName))
	}
	done.Waiting, err = restoring.Finish(ctx)
	return done, err
}

// restoreDenylists writes the denylists into that directory of the data directory that is read
// without a setting. Their names keep their order.
func restoreDenylists(ctx context.Context, d *datadir.Dir, place backup.Place, key *backup.Key, m *backup.Manifest) error {
	n, dir := 0, filepath.Join(d.Open, denylistsName)
	return backup.RestoreDenylists(ctx, place, key, m, func(path string, r io.Reader) error {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		n++
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%03d-%s", n, filepath.Base(path))), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Sync(), f.Close())
	})
}

func restoredOf(r backup.Restored) admin.Restored {
	done := admin.Restored{Backup: r.Backup, Blocks: r.Blocks, Bytes: r.Bytes, Missing: r.Missing, MissingNamed: r.MissingNamed, LostRecords: r.LostRecords}
	for _, f := range r.Damaged {
		done.Damaged = append(done.Damaged, admin.DamagedFile{File: f.File, Reason: f.Reason})
	}
	return done
}

// restoreKeys writes the files that make the server who it is, as far as they are wanted, and
// notes which peer it must not be while another one is.
func restoreKeys(ctx context.Context, d *datadir.Dir, in Restoration, place backup.Place, key *backup.Key, m *backup.Manifest) error {
	wanted := in.files()
	if len(wanted) == 0 {
		return nil
	}
	files, err := backup.Keys(ctx, place, key, m)
	if err != nil {
		return err
	}
	for name := range files {
		if !slices.Contains(serverKeyFiles, name) {
			return fmt.Errorf("backup %s has a key %q that is not known", m.ID, name)
		}
	}
	if _, ok := files[datadir.NodeKeyFile]; ok && slices.Contains(wanted, datadir.NodeKeyFile) {
		if err := writeRestoredPeer(d, restoredPeer{Backup: m.ID, Host: m.Host, Addrs: m.Addrs}); err != nil {
			return err
		}
	}
	for _, name := range wanted {
		if data, ok := files[name]; ok {
			if err := durable.WriteFile(filepath.Join(d.Open, name), name+".new", data, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
