package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/durable"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
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
	Choice  Choice `json:"choice,omitzero"`
	Layout  int    `json:"layout"`           // of its records
	Records bool   `json:"records"`          // all were written
	Chosen  bool   `json:"chosen,omitempty"` // and what is not wanted was removed
}

// checkRestored fails with ErrRestoring if the directory is being restored.
func checkRestored(dir string) error {
	st, found, err := readRestoring(dir)
	if err != nil || !found {
		return err
	}
	return hint.Add(fmt.Errorf("%s: %w", dir, ErrRestoring), "run holdfast restore again, with backup "+st.Backup+": it goes on where it was")
}

// BeingRestored gives the backup that is being restored into a directory; "" is none.
func BeingRestored(dir string) (backup string, err error) {
	st, _, err := readRestoring(dir)
	if _, e := os.Stat(filepath.Join(dir, dbName)); errors.Is(e, fs.ErrNotExist) {
		return "", err
	}
	return st.Backup, err
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
	dir    string
	cfg    Config
	space  *space.Space // nil while it is closed
	state  restoreState
	batch  *kv.Batch
	bytes  int                 // in the batch
	bulk   *space.Bulk         // long blocks; nil until one comes
	opened time.Time           // when the database was
	took   time.Duration       // how long that took
	making chan error          // gets how the batch before ended, which is being made durable; nil is none
	look   *kv.Reader          // for Wants and EachWanted; nil is none
	looked func()              // ends it
	unseen map[string]struct{} // blocks that were written since the look began
	// missing is in memory, as what is damaged is little: some 100 bytes a block.
	missing []multihash.Multihash
}

// maxRestoreBatch is how many bytes are made durable at a time, while as many are gathered.
const maxRestoreBatch = 16 << 20

// maxUnseen is how many blocks are written before Wants looks anew: some 100 bytes of memory each.
const maxUnseen = 1 << 18

// Restore begins to restore what is chosen of a backup whose records have the given layout, or
// goes on with it. The lock stays the caller's. The caller must close what it gets. If something else is being
// restored, and not all of its records were written, that is given up. Errors: ErrNotEmpty, also if more of
// something else was written; those of [Open].
func Restore(ctx context.Context, lock *DirLock, backup string, layout int, choice Choice, cfg Config) (*Restoring, error) {
	switch {
	case layout > layoutVersion:
		return nil, fmt.Errorf("backup %s: %w (layout %d, this one knows %d)", backup, errNewerLayout, layout, layoutVersion)
	case layout < firstLayout:
		return nil, fmt.Errorf("backup %s: %w (layout %d, this one knows %d and later)", backup, errOlderLayout, layout, firstLayout)
	}
	r := &Restoring{dir: lock.dir, cfg: cfg.withDefaults(), unseen: make(map[string]struct{})}
	st, found, err := readRestoring(lock.dir)
	if err != nil {
		return nil, err
	}
	db := filepath.Join(lock.dir, dbName)
	_, noDB := os.Stat(db)
	same := st.Backup == backup && st.Choice.equal(choice)
	switch {
	case errors.Is(noDB, fs.ErrNotExist): // somebody may have removed it
	case !found:
		return nil, fmt.Errorf("%s: %w", lock.dir, ErrNotEmpty)
	case same:
		r.state = st
	case st.Records:
		return nil, hint.Add(fmt.Errorf("%s: %w: backup %s, or some of it, is being restored there", lock.dir, ErrNotEmpty, st.Backup),
			fmt.Sprintf("--backup %s goes on with it, with the same choice; to begin anew, remove %s before", st.Backup, db))
	default: // no block is there yet, and its records may be damaged
		if err := os.RemoveAll(db); err != nil {
			return nil, err
		}
	}
	if r.state.Backup == "" {
		r.state = restoreState{Backup: backup, Choice: choice, Layout: layout}
		if err := r.writeState(); err != nil {
			return nil, err
		}
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if r.state.Records && !r.state.Chosen { // it was cut off in between
		if err := r.choose(ctx); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

func (r *Restoring) open(ctx context.Context) (err error) {
	began := r.cfg.Now()
	defer func() { r.opened = r.cfg.Now(); r.took = r.opened.Sub(began) }()
	if r.space, err = space.Open(ctx, r.cfg.ofSpace(filepath.Join(r.dir, dbName)), space.BadgerOptions()); err == nil {
		r.batch, r.bytes = r.space.DB().NewBatch(), 0
	}
	return err
}

// reopen opens the database, if it was closed for it to get long blocks.
func (r *Restoring) reopen(ctx context.Context) error {
	if r.space != nil {
		return nil
	}
	return r.open(ctx)
}

// Read opens what was restored so far as a store, for read. Blocks may be missing in it.
func (r *Restoring) Read(ctx context.Context, read func(*Store) error) (err error) {
	if err := errors.Join(r.Flush(), r.Close()); err != nil {
		return err
	}
	s, err := openWith(ctx, r.dir, r.cfg, space.BadgerOptions(), migrations())
	if err == nil {
		r.state.Layout = layoutVersion // now it is
		err = errors.Join(read(s), s.Close())
	}
	return errors.Join(err, r.open(ctx))
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

// Record writes a record that [Snapshot.Records] gave, unless it is one that is not wanted.
func (r *Restoring) Record(key, value []byte) error {
	if len(key) == 0 || !backedUp(key) || key[0] >= endOfRecords {
		return fmt.Errorf("record %x is none that a backup has", key)
	}
	if r.state.Choice.leavesOut(key) {
		return nil
	}
	if err := r.reopen(context.Background()); err != nil {
		return err
	}
	if err := holding.RestoreRecord(r.batch, key, value); err != nil {
		return err
	}
	return r.room(len(key) + len(value))
}

// RecordsDone says that all records were written. It removes those that are not wanted.
// Errors: a [*NotInBackupError], after which the directory is as it was before the restore.
func (r *Restoring) RecordsDone(ctx context.Context) error {
	if err := r.Flush(); err != nil {
		return err
	}
	r.state.Records = true
	if err := r.writeState(); err != nil {
		return err
	}
	return r.choose(ctx)
}

// choose removes what is not wanted. It may be cut off, and be called again.
func (r *Restoring) choose(ctx context.Context) error {
	if !r.state.Choice.all() {
		err := r.Read(ctx, func(s *Store) error { return s.keepOnly(ctx, r.state.Choice) })
		if _, ok := errors.AsType[*NotInBackupError](err); ok {
			return errors.Join(err, r.Close(), r.discard())
		}
		if err != nil {
			return err
		}
	}
	r.state.Chosen = true
	return r.writeState()
}

// Wants reports whether the records link to a block that is not there yet.
func (r *Restoring) Wants(ctx context.Context, h multihash.Multihash) (bool, error) {
	if _, written := r.unseen[string(h)]; written {
		return false, nil
	}
	if err := r.lookNow(ctx); err != nil {
		return false, err
	}
	return holding.WantsBlock(r.look, h)
}

// lookNow begins a look, unless there is one. A new one waits for all that is being written.
func (r *Restoring) lookNow(ctx context.Context) error {
	if r.look != nil {
		return nil
	}
	if err := r.reopen(ctx); err != nil {
		return err
	}
	if err := r.space.DB().Enter(ctx); err != nil {
		return err
	}
	r.look, r.looked = r.space.DB().Snapshot()
	return nil
}

// EachWanted calls do with each block that the records link to and that is not there, once.
func (r *Restoring) EachWanted(ctx context.Context, do func(multihash.Multihash) error) error {
	if err := r.lookNow(ctx); err != nil {
		return err
	}
	return holding.WantedBlocks(r.look, do)
}

// lookAway ends the look of Wants, which sees nothing of what is written after it.
func (r *Restoring) lookAway() {
	if r.look != nil {
		r.looked()
		r.space.DB().Leave()
		r.look = nil
	}
	clear(r.unseen)
}

// Block writes a block that the caller has compared with its hash, and that Wants reported as wanted. It
// does not keep data. Errors: pin.ErrDiskFull.
func (r *Restoring) Block(h multihash.Multihash, data []byte) error {
	if err := r.reopen(context.Background()); err != nil {
		return err
	}
	if len(data) >= space.BulkLeast {
		return r.long(h, data)
	}
	if err := holding.RestoreBlock(r.batch, h, bytes.Clone(data)); err != nil {
		return err
	}
	if r.unseen[string(h)] = struct{}{}; len(r.unseen) >= maxUnseen {
		return r.Flush()
	}
	return r.room(len(data))
}

// longEvery is for how long long blocks are gathered until the database gets them, which has to be
// closed and opened for that: a crash loses as much. Opening a large one takes a while, which
// is at most one part of openPart.
const longEvery, openPart = 30 * time.Second, 20

// long writes a long block past the database.
func (r *Restoring) long(h multihash.Multihash, data []byte) (err error) {
	if r.bulk == nil {
		if r.bulk, err = r.space.NewBulk(); err != nil {
			return err
		}
	}
	if err := holding.RestoreLongBlock(r.bulk, h, data); err != nil {
		return err
	}
	r.unseen[string(h)] = struct{}{}
	if len(r.unseen) < maxUnseen && !r.bulk.Full() && r.cfg.Now().Sub(r.opened) < max(longEvery, openPart*r.took) {
		return nil
	}
	return r.Flush()
}

// endLong has the database get the long blocks.
func (r *Restoring) endLong() (err error) {
	if r.bulk == nil {
		return nil
	}
	defer r.cancelLong()
	if r.bulk.Empty() {
		return nil
	}
	return errors.Join(r.closeSpace(), r.bulk.Seal())
}

func (r *Restoring) cancelLong() {
	if r.bulk != nil {
		r.bulk.Cancel()
		r.bulk = nil
	}
}

// room begins to make durable what was written, once that is much.
func (r *Restoring) room(n int) error {
	if r.bytes += n; r.bytes < maxRestoreBatch {
		return nil
	}
	return r.begin()
}

// begin begins to make durable what was written, when what was before is.
func (r *Restoring) begin() error {
	if err := r.made(); err != nil {
		return err
	}
	if err := r.space.RoomFor(uint64(r.bytes)); err != nil {
		return err
	}
	batch, ended := r.batch, make(chan error, 1)
	r.batch, r.bytes, r.making = r.space.DB().NewBatch(), 0, ended
	go func() {
		err := batch.Flush()
		batch.Cancel()
		ended <- err
	}()
	return nil
}

// made waits for what is being made durable.
func (r *Restoring) made() error {
	if r.making == nil {
		return nil
	}
	err := <-r.making
	r.making = nil
	return err
}

// Flush makes durable, and known to Wants, what was written. Errors: pin.ErrDiskFull.
func (r *Restoring) Flush() error {
	if r.space == nil { // all was, when it was closed
		return nil
	}
	r.lookAway()
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.made(); err != nil {
		return err
	}
	return r.endLong()
}

// Missing takes note of a block that is not there, and that the backup does not have. It reports
// true.
func (r *Restoring) Missing(_ context.Context, h multihash.Multihash) (bool, error) {
	r.missing = append(r.missing, h)
	return true, nil
}

// Finish makes the directory one that can be opened. The pins that need missing blocks are then
// being repaired: the server fetches them from the network. waiting is how many DAGs those are of.
func (r *Restoring) Finish(ctx context.Context) (waiting uint64, err error) {
	if err := r.Flush(); err != nil {
		return 0, err
	}
	if len(r.missing) > 0 {
		err := r.Read(ctx, func(s *Store) error {
			return pin.NewOffline(s, nil).Repair(ctx, s, r.missing, func(pin.DAG) { waiting++ })
		})
		if err != nil {
			return 0, fmt.Errorf("have the pins that miss blocks fetched again: %w", err)
		}
	}
	if err := writeMarker(r.dir, r.state.Layout); err != nil {
		return waiting, err
	}
	if err := os.Remove(filepath.Join(r.dir, restoringName)); err != nil {
		return waiting, err
	}
	return waiting, durable.SyncDir(r.dir)
}

// discard removes what was written. The state goes last: by it the next restore goes on.
func (r *Restoring) discard() error {
	return errors.Join(os.RemoveAll(filepath.Join(r.dir, dbName)), os.Remove(filepath.Join(r.dir, restoringName)))
}

// Close ends it. It keeps what it can of what was not flushed; the next Restore writes the rest again. It
// may be called twice.
func (r *Restoring) Close() error {
	if r.space == nil {
		return nil
	}
	r.lookAway()
	err := errors.Join(r.made(), r.closeSpace())
	if r.bulk != nil && err == nil {
		_ = r.bulk.Seal() // what this does not keep was not promised
	}
	r.cancelLong()
	return err
}

// closeSpace closes the database. Nothing must be under way in it.
func (r *Restoring) closeSpace() error {
	r.batch.Cancel()
	r.space.DB().Shut()
	err := r.space.Close()
	r.space = nil
	return err
}
