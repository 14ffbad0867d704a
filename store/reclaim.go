package store

import (
	"context"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// A reclaim has two halves: deleting the blocks that nothing refers to, and
// making the database give their space back. What lets go of a block leaves a
// note (25 HASH), so that the first half looks at those blocks and no others.

const (
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
	Stage string // stageDelete, stageCompact or stageCollect
	Done  uint64 // of Total: blocks to look at, or bytes of disk
	Total uint64 // zero if not known
}

// The stages of a reclaim, in order.
const (
	stageDelete  = "deleting blocks"
	stageCompact = "compacting"
	stageCollect = "giving back space"
)

// ReclaimReport says what a reclaim did.
type ReclaimReport struct {
	Blocks  uint64 // that were deleted
	Bytes   uint64 // of those blocks
	Before  uint64
	After   uint64        // bytes that the database takes on disk
	Left    uint64        // bytes that are deleted and were not given back
	Damaged int           // of the value log, which keep what is dead in them
	Emptied int           // of those, that nothing is left in: a restart removes them
	Elapsed time.Duration // nanoseconds
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
	if dead, err := s.held.DeadBytes(ctx); err != nil || dead > 0 {
		return err == nil
	}
	any, err := s.held.AnyLoose(ctx)
	return err == nil && any
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
	if err := r.s.held.DeleteLoose(ctx, holding.LooseWork{
		Progress: func(done, total uint64) { r.progress(ReclaimProgress{stageDelete, done, total}) },
		Deleted: func(blocks, bytes uint64) {
			r.report.Blocks += blocks
			r.report.Bytes += bytes
		},
		Pause: r.pause,
	}); err != nil {
		return err
	}
	dead, err := r.s.held.DeadBytes(ctx)
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
			Compacting: func() { r.progress(ReclaimProgress{Stage: stageCompact}) },
			Collecting: func(freed uint64) { r.progress(ReclaimProgress{Stage: stageCollect, Done: freed}) },
			Pause:      r.pause,
		}); err != nil {
			return err
		}
	}
	if err := r.s.space.RescueDamaged(ctx, r.s.held.RewriteBlocks); err != nil {
		return err
	}
	if r.report.Left, err = r.s.held.DeadBytes(ctx); err != nil {
		return err
	}
	if r.report.Damaged, r.report.Emptied, err = r.s.space.DamagedLogs(); err != nil {
		return err
	}
	r.report.After, err = space.DiskUse(r.s.dbDir)
	return err
}

// pause makes room for others after a step that took so long.
func (r *reclaimer) pause(ctx context.Context, took time.Duration) error {
	if !r.gentle {
		return ctx.Err()
	}
	return kv.Sleep(ctx, min(took, kv.MaxPause))
}
