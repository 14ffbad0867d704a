package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/node/denylist"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

// backups makes the backups of a store, one at a time.
type backups struct {
	store    *store.Store
	data     *datadir.Dir
	cfg      config.Backup
	instance string // of the data directory
	version  string
	log      *slog.Logger

	private bool // the server is in a private network
	minFree uint64
	lists   []denylist.Dir
	front   bool // a cluster has the blocks
	open    Opener
	into    *restorer       // nil while no server runs
	addrs   func() []string // of the node; nil while no server runs

	running sync.Mutex
	mu      sync.Mutex // guards what follows
	state   backupState
	since   time.Time // when the schedule began; zero: there is none
	doing   string    // what holds running
}

// backupState is what is known of the backups at the configured place since the start.
type backupState struct {
	Last   time.Time // when the newest good backup was made; zero if none is known
	Failed bool      // the last try failed, or its backup lacks something
}

// errBackupRuns: one backup or restore runs at a time.
var errBackupRuns = errors.New("another backup or restore is under way")

// begin begins a backup or a restore, for which it gives a name, or says what else is under way. end ends it.
func (b *backups) begin(what string) (end func(), err error) {
	if !b.running.TryLock() {
		b.mu.Lock()
		defer b.mu.Unlock()
		return nil, hint.Add(fmt.Errorf("%w: %s", errBackupRuns, b.doing), "wait for its end; if its place hangs, restart the server")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doing = what + ", since " + time.Now().UTC().Format("2006-01-02 15:04 MST")
	return b.running.Unlock, nil
}

func newBackups(c *core, d *datadir.Dir, cfg config.Config, version string, open Opener, log *slog.Logger) *backups {
	key, err := swarmKeyFile(cfg.Node.SwarmKey, d)
	return &backups{
		store: c.store, data: d, cfg: cfg.Backup, instance: c.instance, version: version, log: log, private: key != "" || err != nil, front: c.front != "",
		minFree: uint64(cfg.Store.MinFreeSpace), lists: denylistDirs(cfg.Denylist, d),
		open: open,
	}
}

// roomAt looks whether there is room at a place before each file. On the disk of the store a
// backup must leave what the store itself leaves free; elsewhere a full disk harms nobody.
func (b *backups) roomAt(ctx context.Context, to string) func(size int64) error {
	if strings.HasPrefix(to, "s3:") || device(to) != device(b.data.Open) {
		return nil
	}
	return func(size int64) error { return b.store.Room(ctx, uint64(size)) }
}

// device is the file system of a path, or of the first directory above it that is there.
func device(path string) uint64 {
	for {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err == nil {
			return uint64(st.Dev)
		}
		above := filepath.Dir(path)
		if above == path {
			return 0
		}
		path = above
	}
}

// Backup implements [admin.Backups].
func (b *backups) Backup(ctx context.Context, in admin.NewBackup, progress func(admin.StoreProgress)) (admin.Backup, error) {
	return b.backup(ctx, in, false, progress)
}

// backup is Backup. again says that a place that had backups must still have some.
func (b *backups) backup(ctx context.Context, in admin.NewBackup, again bool, progress func(admin.StoreProgress)) (admin.Backup, error) {
	end, err := b.begin("a backup to " + cmp.Or(in.To, b.cfg.To))
	if err != nil {
		return admin.Backup{}, err
	}
	defer end()
	if in.To == "" {
		in.To = b.cfg.To
		if in.KeyFile == "" {
			in.KeyFile = b.cfg.KeyFile
		}
		in.ServerKeys = in.ServerKeys || b.cfg.ServerKeys
	}
	if in.To == "" {
		return admin.Backup{}, hint.Add(errors.New("there is no place to put the backup"), "name a directory or a bucket, or set backup.to")
	}
	place, key, err := b.open(in.To, in.KeyFile)
	if err != nil {
		return admin.Backup{}, err
	}
	temp := b.data.File(datadir.TempDirName)
	if err := os.MkdirAll(temp, 0o700); err != nil { // a command has none
		return admin.Backup{}, err
	}
	host, _ := os.Hostname() // for people; it may be unknown
	cfg := backup.Config{
		Place: place, Key: key, Store: b.instance, Version: b.version, Host: host, Private: b.private, Room: b.roomAt(ctx, in.To),
		Again: again && b.hasUsed(in.To),
		Temp:  temp, TempRoom: b.store.RoomForTemp, Logger: b.log, Now: time.Now,
		Progress: func(p backup.Progress) { progress(admin.StoreProgress(p)) },
	}
	if cfg.Denylists, err = denylistFiles(b.lists); err != nil {
		return admin.Backup{}, fmt.Errorf("find the denylists: %w", err)
	}
	if in.ServerKeys {
		if cfg.Keys, err = b.serverKeys(); err != nil {
			return admin.Backup{}, err
		}
		if b.addrs != nil {
			cfg.Addrs = b.addrs()
		}
	}
	began := time.Now()
	var taken *store.Snapshot
	defer func() {
		if taken != nil {
			taken.Close()
		}
	}()
	m, err := backup.Run(ctx, cfg, func() (backup.Snapshot, error) {
		s, err := b.store.Snapshot(ctx)
		taken = s
		return snapshot{s}, err
	})
	if in.To == b.cfg.To && ctx.Err() == nil {
		b.note(m, err)
	}
	if err == nil && in.To == b.cfg.To {
		if err := b.noteUsed(in.To); err != nil {
			b.log.Warn("it cannot be noted where backups are", "place", in.To, "err", err)
		}
	}
	if err != nil {
		return admin.Backup{}, err
	}
	return backupOf(m, place, time.Since(began)), nil
}

// hasUsed reports whether a backup was made at the configured place, which is to.
func (b *backups) hasUsed(to string) bool {
	used, err := os.ReadFile(b.data.File(datadir.BackupPlaceName))
	return err == nil && string(used) == to+"\n"
}

// noteUsed notes that a backup was made at the configured place.
func (b *backups) noteUsed(to string) error {
	if b.hasUsed(to) {
		return nil
	}
	path := b.data.File(datadir.BackupPlaceName)
	return durable.WriteFile(path, datadir.BackupPlaceName+".new", []byte(to+"\n"), 0o600)
}

// Opener opens places as [OpenPlace] does.
type Opener func(address, keyFile string) (backup.Place, *backup.Key, error)

// OpenedBefore opens a place, reads all that using it needs, and gives an Opener that has it ready,
// also if the process has given up root since: perhaps only root may read the key and the
// credentials. Its error is that of opening the place.
func OpenedBefore(address, keyFile string) Opener {
	place, key, err := OpenPlace(address, keyFile)
	if err == nil {
		backup.ReadCredentials(place)
	}
	return func(a, k string) (backup.Place, *backup.Key, error) {
		if a == address && k == keyFile {
			return place, key, err
		}
		return OpenPlace(a, k)
	}
}

// OpenPlace opens where backups are, and the key that they are sealed with, if any.
func OpenPlace(address, keyFile string) (backup.Place, *backup.Key, error) {
	place, err := backup.OpenPlace(address)
	if err != nil {
		return nil, nil, err
	}
	key, err := backup.ReadKey(keyFile)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: user %d must be able to read it", err, os.Geteuid()) // the server, or the owner of its data
	}
	return place, key, err
}

func backupOf(m *backup.Manifest, place backup.Place, took time.Duration) admin.Backup {
	return admin.Backup{
		ID: m.ID, Place: place.String(), Began: m.Begun,
		Blocks: m.Blocks, Bytes: m.Bytes, NewBlocks: m.NewBlocks, NewBytes: m.NewBytes,
		DamagedBlocks: m.DamagedBlocks, DamagedRecords: m.DamagedRecords, Elapsed: took,
	}
}

// serverKeyFiles make the server who it is, and admit it to its private network.
var serverKeyFiles = []string{datadir.NodeKeyFile, datadir.TokenKeysFile, datadir.SwarmKeyName}

// serverKeys reads the files that make the server who it is.
func (b *backups) serverKeys() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, name := range serverKeyFiles {
		data, err := os.ReadFile(b.data.File(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return files, nil
}

// note keeps how a backup to the configured place ended.
func (b *backups) note(m *backup.Manifest, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// A backup without what could not be read is no good one.
	if b.state.Failed = err != nil || m.Lacks(); !b.state.Failed {
		b.state.Last = m.Begun
	}
}

// State says how the backups at the configured place are.
func (b *backups) State() backupState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// warning says in a few words what is wrong with the backups at the configured place; "" is
// nothing, or that there are none to be.
func (b *backups) warning(now time.Time) string {
	if b.cfg.To == "" || b.cfg.Every == 0 {
		return ""
	}
	state := b.State()
	old := b.old(now)
	ahead := state.Last.After(now) // the clock was set back since
	switch age := now.Sub(state.Last); {
	case state.Failed && state.Last.IsZero():
		return "the last backup failed, and there is no other"
	case state.Failed && ahead:
		return "the last backup failed"
	case state.Failed:
		return fmt.Sprintf("the last backup failed, and the newest is %v old", age.Round(time.Minute))
	case old && (state.Last.IsZero() || ahead):
		return fmt.Sprintf("no backup has come to its end within %v", b.cfg.MaxAge().Round(time.Minute))
	case old:
		return fmt.Sprintf("the newest backup is %v old", age.Round(time.Minute))
	}
	return ""
}

// old reports whether a newer backup should be there, by the schedule.
func (b *backups) old(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.state.Last
	if last.IsZero() || last.After(now) {
		last = b.since
	}
	return b.cfg.Every > 0 && !last.IsZero() && now.Sub(last) > b.cfg.MaxAge()
}

// retryBackup is how soon a backup is tried again that failed.
const retryBackup = time.Hour

// run makes a backup every backup.every, and removes old ones, until ctx ends.
func (b *backups) run(ctx context.Context) {
	every := time.Duration(b.cfg.Every)
	if b.cfg.To == "" || every == 0 {
		return
	}
	b.mu.Lock()
	b.since = time.Now()
	b.mu.Unlock()
	next := time.Duration(0)
	if newest, good, err := NewestBackup(ctx, b.cfg, b.instance); err != nil {
		b.log.Warn("the backups that were made cannot be read", "place", b.cfg.To, "err", err)
	} else if !newest.IsZero() {
		b.mu.Lock()
		b.state = backupState{Last: good, Failed: !newest.Equal(good)}
		b.mu.Unlock()
		next = max(0, min(every, time.Until(newest.Add(every)))) // also if the clock was set back
	}
	for {
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if next = every; !b.once(ctx) {
			next = min(every, retryBackup)
		}
	}
}

// once makes a backup and removes old ones. ok is false if there is none.
func (b *backups) once(ctx context.Context) (ok bool) {
	done, err := b.backup(ctx, admin.NewBackup{}, true, func(admin.StoreProgress) {})
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(err, errBackupRuns):
		return false // it may be to another place
	case errors.Is(err, backup.ErrNoPlace):
		b.log.Error("backup failed", "place", b.cfg.To, "err", err, "again_in", retryBackup,
			"hint", "look whether its disk is mounted; if it should be empty, `holdfast backup` begins anew there")
		return false
	case err != nil:
		b.log.Error("backup failed", "place", b.cfg.To, "err", err, "again_in", retryBackup)
		return false
	}
	b.log.Info("backup made", "place", done.Place, "backup", done.ID, "blocks", done.Blocks, "bytes", done.Bytes,
		"new_blocks", done.NewBlocks, "new_bytes", done.NewBytes, "elapsed", done.Elapsed.Round(time.Millisecond))
	if n := done.DamagedBlocks + done.DamagedRecords; n > 0 {
		b.log.Error("the backup lacks what could not be read; no old backup is removed", "backup", done.ID,
			"blocks", done.DamagedBlocks, "records", done.DamagedRecords, "hint", "run holdfast store verify --repair")
		return true
	}
	b.prune(ctx)
	return true
}

// prune removes old backups at the configured place, unless a backup is being made or restored: the next backup
// is followed by this, too.
func (b *backups) prune(ctx context.Context) {
	end, err := b.begin("removing old backups at " + b.cfg.To)
	if err != nil {
		return
	}
	defer end()
	place, key, err := OpenPlace(b.cfg.To, b.cfg.KeyFile)
	if err == nil {
		var p backup.Pruned
		p, err = backup.Prune(ctx, place, key, backup.Keep{Store: b.instance, Last: b.cfg.KeepLast, Within: time.Duration(b.cfg.KeepWithin)}, time.Now())
		if len(p.Backups) > 0 {
			b.log.Info("old backups removed", "place", place.String(), "backups", len(p.Backups), "files", p.Files)
		}
	}
	if err != nil && ctx.Err() == nil {
		b.log.Error("old backups cannot be removed", "place", b.cfg.To, "err", err)
	}
}

// NewestBackup says when the newest backup of a data directory was made at the configured place, and the
// newest that lacks nothing; zero if there is none.
func NewestBackup(ctx context.Context, cfg config.Backup, instance string) (newest, good time.Time, err error) {
	place, key, err := OpenPlace(cfg.To, cfg.KeyFile)
	if err != nil {
		return newest, good, err
	}
	all, err := backup.List(ctx, place, key)
	if errors.Is(err, backup.ErrNoPlace) {
		return newest, good, nil
	}
	for _, m := range all {
		if m.Store != instance {
			continue
		}
		if newest = m.Begun; !m.Lacks() {
			good = newest
		}
	}
	return newest, good, err
}

// snapshot is a store's, in the words of a backup.
type snapshot struct{ *store.Snapshot }

// Block implements [backup.Snapshot].
func (s snapshot) Block(ctx context.Context, h multihash.Multihash, buf []byte) ([]byte, error) {
	data, err := s.Snapshot.Block(ctx, h, buf)
	switch {
	case errors.Is(err, store.ErrNoBlock):
		err = fmt.Errorf("%w: %w", backup.ErrNoBlock, err)
	case errors.Is(err, pin.ErrUnreadable):
		err = fmt.Errorf("%w: %w", backup.ErrUnreadable, err)
	}
	return data, err
}
