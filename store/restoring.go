package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// restoringName is there while a directory is restored from a backup.
const restoringName = "holdfast.restoring"

var (
	// ErrRestoring: a restore into the directory did not come to its end.
	ErrRestoring = errors.New("a restore into the data directory has not come to its end")
	// ErrNotEmpty: a restore needs a directory that no store was ever in.
	ErrNotEmpty = errors.New("the data directory has a store already")
)

// restoreState is what the file restoringName has.
type restoreState struct {
	Backup  string `json:"backup"` // which one is restored
	Layout  int    `json:"layout"` // of its records
	Records bool   `json:"records"`
}

// checkRestored fails with ErrRestoring if the directory is being restored.
func checkRestored(dir string) error {
	st, found, err := readRestoring(dir)
	if err != nil || !found {
		return err
	}
	return hint.Add(fmt.Errorf("%s: %w", dir, ErrRestoring), "run holdfast restore again, with backup "+st.Backup+": it goes on where it was")
}

func readRestoring(dir string) (st restoreState, found bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, restoringName))
	if errors.Is(err, fs.ErrNotExist) {
		return st, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err != nil {
		return st, true, fmt.Errorf("read %s: %w", restoringName, err)
	}
	return st, true, nil
}

// Restoring writes the records and blocks of a backup into an empty data directory. Until
// Finish the directory cannot be opened as a store. It is for one goroutine.
type Restoring struct {
	dir   string
	space *space.Space
	state restoreState
	batch *kv.Batch
	bytes int // of blocks in the batch
}

// maxRestoreBatch is how many bytes of blocks are synced together.
const maxRestoreBatch = 16 << 20

// Restore begins to restore a backup whose records have the given layout, or goes on with
// it. The lock stays the caller's. The caller must close what it gets. Errors: ErrNotEmpty,
// also if another backup is being restored; those of [Open].
func Restore(ctx context.Context, lock *DirLock, backup string, layout int, cfg Config) (*Restoring, error) {
	switch {
	case layout > layoutVersion:
		return nil, fmt.Errorf("backup %s: %w (layout %d, this one knows %d)", backup, errNewerLayout, layout, layoutVersion)
	case layout < firstLayout:
		return nil, fmt.Errorf("backup %s: %w (layout %d, this one knows %d and later)", backup, errOlderLayout, layout, firstLayout)
	}
	r := &Restoring{dir: lock.dir}
	st, found, err := readRestoring(lock.dir)
	if err != nil {
		return nil, err
	}
	_, noDB := os.Stat(filepath.Join(lock.dir, dbName))
	switch {
	case found && st.Backup != backup:
		return nil, fmt.Errorf("%s: %w: backup %s is being restored there", lock.dir, ErrNotEmpty, st.Backup)
	case !found && !errors.Is(noDB, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", lock.dir, ErrNotEmpty)
	case found:
		r.state = st
	default:
		r.state = restoreState{Backup: backup, Layout: layout}
		if err := r.writeState(); err != nil {
			return nil, err
		}
	}
	cfg = cfg.withDefaults()
	if r.space, err = space.Open(ctx, cfg.ofSpace(filepath.Join(lock.dir, dbName)), space.BadgerOptions()); err != nil {
		return nil, err
	}
	r.batch = r.space.DB().NewBatch()
	return r, nil
}

func (r *Restoring) writeState() error {
	b, err := json.Marshal(r.state)
	if err == nil {
		err = durable.WriteFile(filepath.Join(r.dir, restoringName), restoringName+".new", b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", restoringName, err)
	}
	return nil
}

// HasRecords reports whether all records were written, by a restore before this one.
func (r *Restoring) HasRecords() bool { return r.state.Records }

// Record writes a record that [Snapshot.Records] gave.
func (r *Restoring) Record(key, value []byte) error {
	if len(key) == 0 || !backedUp(key) || key[0] >= endOfRecords {
		return fmt.Errorf("record %x is none that a backup has", key)
	}
	if err := holding.RestoreRecord(r.batch, key, value); err != nil {
		return err
	}
	return r.room(len(key) + len(value))
}

// RecordsDone says that all records were written.
func (r *Restoring) RecordsDone() error {
	if err := r.Flush(); err != nil {
		return err
	}
	r.state.Records = true
	return r.writeState()
}

// Wants reports whether the records link to a block that is not there yet.
func (r *Restoring) Wants(ctx context.Context, h multihash.Multihash) (wants bool, err error) {
	err = r.space.DB().View(ctx, func(rd *kv.Reader) error {
		wants, err = holding.WantsBlock(rd, h)
		return err
	})
	return wants, err
}

// Block writes a block, which it keeps. The caller has compared it with its hash. Errors:
// pin.ErrDiskFull.
func (r *Restoring) Block(h multihash.Multihash, data []byte) error {
	if err := holding.RestoreBlock(r.batch, h, data); err != nil {
		return err
	}
	return r.room(len(data))
}

// room makes durable what was written, once that is much.
func (r *Restoring) room(n int) error {
	if r.bytes += n; r.bytes < maxRestoreBatch {
		return nil
	}
	return r.Flush()
}

// Flush makes durable, and known to Wants, what was written. Errors: pin.ErrDiskFull.
func (r *Restoring) Flush() error {
	if err := r.space.RoomFor(uint64(r.bytes)); err != nil {
		return err
	}
	if err := r.batch.Flush(); err != nil {
		return err
	}
	r.batch.Cancel()
	r.batch, r.bytes = r.space.DB().NewBatch(), 0
	return nil
}

// Finish makes the directory one that can be opened.
func (r *Restoring) Finish() error {
	if err := r.Flush(); err != nil {
		return err
	}
	if err := writeMarker(r.dir, r.state.Layout); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(r.dir, restoringName)); err != nil {
		return err
	}
	return durable.SyncDir(r.dir)
}

// Close ends it. What was not flushed is lost, and written again by the next Restore.
func (r *Restoring) Close() error {
	r.batch.Cancel()
	r.space.DB().Shut()
	return r.space.Close()
}
