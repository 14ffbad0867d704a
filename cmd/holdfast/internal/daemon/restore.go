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
	begun, err := store.BeingRestored(d.Open)
	if err != nil {
		return done, err
	}
	if in.ID == "" { // a newer one may be there since
		in.ID = begun
	}
	m, err := backup.Find(ctx, place, key, in.ID)
	if begun != "" && in.ID == begun && errors.Is(err, backup.ErrNoPlace) {
		err = hint.Add(err, fmt.Sprintf("it is being restored in %s; if it is lost, --backup names another one", d.Shown))
	}
	if err != nil {
		return done, err
	}
	if in.ServerKeys && len(m.Keys) == 0 {
		return done, hint.Add(fmt.Errorf("backup %s has no keys of the server", m.ID), "leave out --server-keys: the server makes new ones")
	}
	keys, err := readKeys(ctx, in, place, key, m) // before what takes long
	if err != nil {
		return done, err
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
	faults, err := restoreDenylists(ctx, d, place, key, m)
	done.Damaged = append(done.Damaged, damagedFiles(faults)...)
	if err != nil {
		return done, err
	}
	if err := writeKeys(d, keys, m); err != nil {
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
func restoreDenylists(ctx context.Context, d *datadir.Dir, place backup.Place, key *backup.Key, m *backup.Manifest) ([]backup.Fault, error) {
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
		return errors.Join(err, f.Sync(), f.Close(), durable.SyncDir(dir))
	})
}

func restoredOf(r backup.Restored) admin.Restored {
	return admin.Restored{
		Backup: r.Backup, Blocks: r.Blocks, Bytes: r.Bytes, Missing: r.Missing, MissingNamed: r.MissingNamed, LostRecords: r.LostRecords,
		Damaged: damagedFiles(r.Damaged),
	}
}

func damagedFiles(faults []backup.Fault) (all []admin.DamagedFile) {
	for _, f := range faults {
		all = append(all, admin.DamagedFile{File: f.File, Reason: f.Reason})
	}
	return all
}

// readKeys reads the files that make the server who it is, as far as they are wanted.
func readKeys(ctx context.Context, in Restoration, place backup.Place, key *backup.Key, m *backup.Manifest) (map[string][]byte, error) {
	wanted := in.files()
	if len(wanted) == 0 {
		return nil, nil
	}
	files, err := backup.Keys(ctx, place, key, m)
	if err != nil {
		return nil, hint.Add(err, "another backup may have the keys, and --backup names one; without --server-keys the server makes new ones")
	}
	for name := range files {
		if !slices.Contains(serverKeyFiles, name) {
			return nil, fmt.Errorf("backup %s has a key %q that is not known", m.ID, name)
		}
		if !slices.Contains(wanted, name) {
			delete(files, name)
		}
	}
	return files, nil
}

// writeKeys writes the files that make the server who it is, and notes which peer it must not be while
// another one is.
func writeKeys(d *datadir.Dir, files map[string][]byte, m *backup.Manifest) error {
	if _, ok := files[datadir.NodeKeyFile]; ok {
		if err := writeRestoredPeer(d, restoredPeer{Backup: m.ID, Host: m.Host, Addrs: m.Addrs}); err != nil {
			return err
		}
	}
	for name, data := range files {
		if err := durable.WriteFile(filepath.Join(d.Open, name), name+".new", data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
