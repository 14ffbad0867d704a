package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// A reclaim has two halves: deleting the blocks that nothing refers to, and
// making the database give their space back. What lets go of a block leaves a
// note (25 HASH), so that the first half looks at those blocks and no others.

const (
	// deletesPerBatch bounds how many blocks are decided on at a time: claims
	// wait for about as long as that takes, some 30 ms. Each batch is a sync.
	deletesPerBatch = 4096
	// Giving space back rewrites what is alive beside what is dead, and the tree of
	// keys. worthwhile is the part of the disk's use that must be dead before a
	// reclaim does so, and worthwhileGently before one in the background does.
	worthwhile, worthwhileGently = 50, 20
	// While less than this is free above the floor for new blocks, whatever is
	// dead is given back, and that is looked at this often.
	nearlyFull    = 256 << 20
	fullnessCheck = time.Minute
)

// ReclaimProgress is how far a reclaim is.
type ReclaimProgress struct {
	Stage string // ReclaimDelete, ReclaimCompact or ReclaimCollect
	Done  uint64 // of Total: blocks to look at, or bytes of disk
	Total uint64 // zero if not known
}

// The stages of a reclaim, in order.
const (
	ReclaimDelete  = "deleting blocks"
	ReclaimCompact = "compacting"
	ReclaimCollect = "giving back space"
)

// ReclaimReport says what a reclaim did.
type ReclaimReport struct {
	Blocks  uint64        `json:"blocks"` // that were deleted
	Bytes   uint64        `json:"bytes"`  // of those blocks
	Before  uint64        `json:"disk_before"`
	After   uint64        `json:"disk_after"`    // bytes that the database takes on disk
	Left    uint64        `json:"left"`          // bytes that are deleted and were not given back
	Damaged int           `json:"damaged_files"` // of the value log, which keep what is dead in them
	Emptied int           `json:"emptied_files"` // of those, that nothing is left in: a restart removes them
	Elapsed time.Duration `json:"elapsed"`       // nanoseconds
}

// Freed is by how much the disk's use shrank; 0 if it grew, as others write
// meanwhile.
func (r ReclaimReport) Freed() uint64 {
	if r.After > r.Before {
		return 0
	}
	return r.Before - r.After
}

// Reclaim deletes every block that nothing holds, and gives the space back to the
// system, unless it is less than a fiftieth of what is taken, while everything else
// goes on. It always looks at the files of the value log that are known to be damaged.
// One runs at a time; others wait for it. progress, if not nil, is told how it goes, by one goroutine.
//
// It may be interrupted anywhere, by ctx too, and loses nothing: the next one
// goes on. Compacting the tree of keys is not interrupted; it takes seconds.
//
// It works below the floors for new blocks and for other records. Errors:
// pin.ErrDiskFull under half of the reserve, where moving what is alive out of
// a file could fill the disk, unless what the last one left is room enough;
// pin.ErrClosed; a [*DamagedTablesError], with nothing changed. A damaged file of the value
// log is no error: it is logged, and counted.
func (s *Store) Reclaim(ctx context.Context, progress func(ReclaimProgress)) (ReclaimReport, error) {
	return s.reclaim(ctx, progress, false)
}

// Run reclaims every Config.ReclaimInterval, gently, and within a minute when the
// disk is nearly full of what can be deleted, until ctx ends; if the interval is
// zero it only waits for that. It then returns nil, after all that it started has
// ended. An error of one reclaim is logged, and the next tries again.
func (s *Store) Run(ctx context.Context) error {
	if s.cfg.ReclaimInterval <= 0 {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(min(s.cfg.ReclaimInterval, fullnessCheck))
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if time.Since(last) < s.cfg.ReclaimInterval && !s.pressed(ctx) {
			continue
		}
		r, err := s.reclaim(ctx, nil, true)
		last = time.Now()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.Error("reclaim", "err", err)
		case r.Blocks > 0 || r.Freed() > 0:
			s.log.Info("reclaimed", "blocks", r.Blocks, "bytes", r.Bytes, "freed", r.Freed(),
				"elapsed", r.Elapsed.Round(time.Millisecond))
		}
	}
}

// reclaim is Reclaim. If gentle it makes room for others, and gives space back
// only if that is worth while.
func (s *Store) reclaim(ctx context.Context, progress func(ReclaimProgress), gentle bool) (report ReclaimReport, err error) {
	if err := s.kv.Enter(ctx); err != nil {
		return report, err
	}
	defer s.kv.Leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)() // Close does not wait for all of it
	select {
	case s.reclaiming <- struct{}{}:
		defer func() { <-s.reclaiming }()
	case <-ctx.Done():
		return report, s.ended(ctx)
	}
	if progress == nil {
		progress = func(ReclaimProgress) {}
	}
	r := &reclaimer{s: s, progress: progress, gentle: gentle, report: &report}
	defer func() { s.reclaimed(&report, err, ctx.Err() != nil) }()
	if err := r.run(ctx); err != nil {
		if ctx.Err() != nil {
			err = s.ended(ctx)
		}
		return report, kv.Wrap(err, "reclaim")
	}
	return report, nil
}

// pressed reports whether the disk is nearly full and something can be deleted.
func (s *Store) pressed(ctx context.Context) bool {
	if s.space.RoomFor(nearlyFull) == nil {
		return false
	}
	if dead, err := s.deadBytes(ctx); err != nil || dead > 0 {
		return err == nil
	}
	notes, _, err := s.looseFrom(ctx, nil, 1)
	return err == nil && len(notes) > 0
}

// ended says why a context that the store may have ended has.
func (s *Store) ended(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return pin.ErrClosed
	}
	return ctx.Err()
}

type reclaimer struct {
	s        *Store
	progress func(ReclaimProgress)
	gentle   bool
	report   *ReclaimReport
}

func (r *reclaimer) run(ctx context.Context) (err error) {
	start := time.Now()
	if r.report.Before, err = space.DiskUse(r.s.dbDir); err != nil {
		return err
	}
	defer func() { r.report.Elapsed = time.Since(start) }()
	// What a damaged table had would seem not to be linked to, and would not be moved.
	bad, err := r.s.space.LiveBadTables(ctx)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		return &space.DamagedTablesError{Tables: bad}
	}
	if err := r.deleteLoose(ctx); err != nil {
		return err
	}
	dead, err := r.s.deadBytes(ctx)
	if err != nil {
		return err
	}
	part := uint64(worthwhile)
	if r.gentle {
		part = worthwhileGently
	}
	full := r.s.space.RoomFor(nearlyFull) != nil
	if dead > 0 && (full || dead >= r.report.Before/part) {
		if err := r.s.space.GiveBack(ctx, space.GiveBackWork{
			Before:     r.report.Before,
			Compacting: func() { r.progress(ReclaimProgress{Stage: ReclaimCompact}) },
			Collecting: func(freed uint64) { r.progress(ReclaimProgress{Stage: ReclaimCollect, Done: freed}) },
			Pause:      r.pause,
		}); err != nil {
			return err
		}
	}
	if err := r.s.space.RescueDamaged(ctx, r.s.rewriteBlocks); err != nil {
		return err
	}
	if r.report.Left, err = r.s.deadBytes(ctx); err != nil {
		return err
	}
	if r.report.Damaged, r.report.Emptied, err = r.s.space.DamagedLogs(); err != nil {
		return err
	}
	r.report.After, err = space.DiskUse(r.s.dbDir)
	return err
}

// deleteLoose goes through the notes and deletes the blocks that nothing refers
// to, until it comes to the end.
func (r *reclaimer) deleteLoose(ctx context.Context) error {
	total, err := r.s.kv.CountKeys(ctx, []byte{kLoose})
	if err != nil {
		return err
	}
	var from []byte
	for done := uint64(0); ; {
		r.progress(ReclaimProgress{ReclaimDelete, done, max(done, total)})
		began := time.Now()
		notes, next, err := r.s.looseFrom(ctx, from, deletesPerBatch)
		if err != nil {
			return err
		}
		if err := r.s.deleteUnclaimed(notes, r.report); err != nil {
			return err
		}
		done += uint64(len(notes))
		if next == nil {
			return nil
		}
		from = next
		if err := r.pause(ctx, time.Since(began)); err != nil {
			return err
		}
	}
}

// pause makes room for others after a step that took so long.
func (r *reclaimer) pause(ctx context.Context, took time.Duration) error {
	if !r.gentle {
		return ctx.Err()
	}
	return kv.Sleep(ctx, min(took, kv.MaxPause))
}

// looseFrom reads up to limit notes from a key on (nil is from the first), and
// gives the key to go on from; nil at the end.
func (s *Store) looseFrom(ctx context.Context, from []byte, limit int) (notes []graph.Ref, next []byte, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		return r.ScanEach(kv.Span{Prefix: []byte{kLoose}, From: from}, func(key, value []byte) (bool, error) {
			if len(notes) == limit {
				next = append(next, key...)
				return false, nil
			}
			notes = append(notes, graph.Ref{Hash: append(multihash.Multihash(nil), key[1:]...), Size: sizeOr0(key, value)})
			return true, nil
		})
	})
	return notes, next, err
}

// deleteUnclaimed deletes those of the blocks that nothing refers to, and all of
// the notes. Whoever claims one of the blocks meanwhile waits: a claim is either
// seen here, and the block stays, or it comes after the block is gone, and its
// writer then sees that.
func (s *Store) deleteUnclaimed(notes []graph.Ref, report *ReclaimReport) error {
	if len(notes) == 0 {
		return nil
	}
	if err := s.space.RoomToOpen(); err != nil {
		return err
	}
	hashes := make([]multihash.Multihash, len(notes))
	for i, n := range notes {
		hashes[i] = n.Hash
	}
	defer s.claims.alone(hashes)()
	dead, err := s.unclaimed(notes)
	if err != nil {
		return err
	}
	if s.beforeDelete != nil {
		s.beforeDelete(dead)
	}
	wb := s.kv.NewBatch()
	defer wb.Cancel()
	size := uint64(0)
	for _, d := range dead {
		if err := wb.Delete(blockKey(d.Hash)); err != nil {
			return err
		}
		size += uint64(d.Size)
	}
	// The notes last: they are what an interrupted reclaim goes on by.
	for _, n := range notes {
		if err := wb.Delete(looseKey(n.Hash)); err != nil {
			return err
		}
	}
	if len(dead) > 0 {
		before, err := s.deadBytes(context.Background())
		if err != nil {
			return err
		}
		if err := wb.Set(kv.MetaKey(kv.MetaDead), binary.BigEndian.AppendUint64(nil, before+size)); err != nil {
			return err
		}
	}
	if err := wb.Flush(); err != nil {
		return fmt.Errorf("delete %d blocks: %w", len(dead), err)
	}
	report.Blocks += uint64(len(dead))
	report.Bytes += size
	return nil
}

// nearSteps is how many keys are stepped over before seeking, which costs as
// much as some of them in each table.
const nearSteps = 16

// unclaimed gives those of the blocks that are there and that nothing refers to.
// It is fastest in the order of their hashes.
func (s *Store) unclaimed(blocks []graph.Ref) (loose []graph.Ref, err error) {
	txn := s.db.NewTransaction(false) // after the stripes were taken: it sees every claim
	defer txn.Discard()
	opt := badger.DefaultIteratorOptions
	opt.Prefix = []byte{kLinkTo}
	it := reading.Iterate(txn, opt)
	defer it.Close()
	// before reports whether the iterator is before what begins with a prefix.
	before := func(prefix []byte) bool {
		item, ok := it.At(nil)
		return ok && bytes.Compare(item.Key(), prefix) < 0
	}
	var last []byte
	for _, b := range blocks {
		prefix := blockLinks(b.Hash)
		if bytes.Compare(prefix, last) < 0 || last == nil {
			it.Seek(prefix)
		}
		last = prefix
		for n := 0; before(prefix); n++ {
			if n == nearSteps {
				it.Seek(prefix)
				break
			}
			it.Next()
		}
		_, linked := it.At(prefix)
		if err := it.Failed(); err != nil {
			return nil, fmt.Errorf("look for links to block %x: %w", b.Hash, err)
		}
		if linked {
			continue
		}
		_, err := reading.Find(txn, blockKey(b.Hash))
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
		case err != nil:
			return nil, fmt.Errorf("look for block %x: %w", b.Hash, err)
		default:
			loose = append(loose, b)
		}
	}
	return loose, nil
}

// deadBytes is how much was deleted since space was last given back. Reclaims
// alone write it, not the committer.
func (s *Store) deadBytes(ctx context.Context) (n uint64, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		b, found, err := r.Get(kv.MetaKey(kv.MetaDead))
		if err == nil && found {
			n = binary.BigEndian.Uint64(b)
		}
		return err
	})
	return n, err
}
