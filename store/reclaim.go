package store

import (
	"context"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// A reclaim has two halves. First it deletes the blocks that nothing links to. Then it makes the
// database give their space back. Whatever lets go of a block leaves a note (25 HASH), so the first
// half looks at the blocks with notes only.

const (
	// To give space back, Badger rewrites the tree of keys and what is alive in the files that
	// it collects. A reclaim does that only if at least one part in worthwhile of what the
	// database takes on disk is dead; one in the background if one part in worthwhileGently is.
	worthwhile, worthwhileGently = 50, 20
	// While less than nearlyFull is free above the floor for new blocks, everything that is
	// dead is given back. Run checks that every fullnessCheck.
	nearlyFull    = 256 << 20
	fullnessCheck = time.Minute
)

// ReclaimProgress is how far a reclaim is.
type ReclaimProgress struct {
	Stage string // "deleting blocks", "compacting" or "giving back space"
	Done  uint64 // blocks that were looked at, or bytes that were given back
	Total uint64 // what Done comes to in the end; zero if not known
}

// The stages of a reclaim, in order.
const (
	stageDelete  = "deleting blocks"
	stageCompact = "compacting"
	stageCollect = "giving back space"
)

// ReclaimReport says what a reclaim did.
type ReclaimReport struct {
	Blocks  uint64        // how many blocks were deleted
	Bytes   uint64        // of those blocks
	Before  uint64        // bytes that the database took on disk at first
	After   uint64        // and in the end
	Left    uint64        // deleted bytes that were not given back
	Kept    uint64        // blocks that were not looked at, as a backup or a restore that is under way keeps all
	Damaged int           // damaged files of the value log, whose space is not given back
	Emptied int           // those of them in which nothing is left: a restart removes them
	Elapsed time.Duration // nanoseconds
}

// freed is by how much the use of the disk shrank; 0 if it grew, because of other writes.
func (r ReclaimReport) freed() uint64 {
	if r.After > r.Before {
		return 0
	}
	return r.Before - r.After
}

// Reclaim deletes every block that nothing holds. Then, unless that is less than a fiftieth of what the
// database takes on disk, it gives the space back to the system. Everything else goes on meanwhile. It
// also rescues what it can from damaged files of the value log. One reclaim runs at a time; others
// wait for it. progress may be nil; one goroutine calls it.
//
// It may be interrupted anywhere, also by ctx, and loses nothing: the next reclaim goes on. Only the
// compaction of the tree of keys is not interrupted, which takes seconds.
//
// It works below the floors for new blocks and for other records. Errors: pin.ErrDiskFull below half
// of the reserve, where moving what is alive out of a file could fill the disk, unless the files that
// the last reclaim left dead make enough room; pin.ErrClosed; an ErrDamaged if a table is damaged,
// with nothing changed. A damaged file of the value log is no error: it is logged, and counted.
func (s *Store) Reclaim(ctx context.Context, progress func(ReclaimProgress)) (ReclaimReport, error) {
	return s.reclaim(ctx, progress, false)
}

// Run reclaims every Config.ReclaimInterval, gently, until ctx ends. When the disk is nearly full and
// something can be deleted, it reclaims within a minute. If the interval is zero it never reclaims. It
// returns nil, after all that it started has ended. An error of a reclaim is logged, and the next one
// tries again.
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
		case r.Blocks > 0 || r.freed() > 0 || r.Kept > 0:
			s.log.Info("reclaimed", "kept", r.Kept, "blocks", r.Blocks, "bytes", r.Bytes, "freed", r.freed(),
				"elapsed", r.Elapsed.Round(time.Millisecond))
		}
	}
}

// reclaim is Reclaim. If gentle it pauses for others, and gives space back only if that is worth while.
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

// ended gives the error of a context that has ended, maybe because the store was closed.
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
	// Blocks whose links are in a damaged table would seem not to be linked to.
	bad, err := r.s.space.LiveBadTables(ctx)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		return &space.DamagedTablesError{Tables: bad}
	}
	if err := r.s.requestRecords.SweepKeys(ctx, r.pause); err != nil {
		return err
	}
	if r.report.Kept, err = r.s.held.DeleteLoose(ctx, holding.LooseWork{
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

// pause pauses after a step, if the reclaim is gentle, for as long as the step took.
func (r *reclaimer) pause(ctx context.Context, took time.Duration) error {
	if !r.gentle {
		return ctx.Err()
	}
	return kv.Sleep(ctx, min(took, kv.MaxPause))
}
