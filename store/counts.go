package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// A monitor asks every few seconds, so its answers must be cheap, however large the store is. What is
// on disk, and how much of it is alive, is therefore counted now and then, in the background. The
// rest is read when the monitor asks.

const (
	// countShare: at most one part in countShare of the time is spent counting.
	countShare = 20
	// countYield is how long counting pauses after each piece of reading, as a multiple of
	// what the piece took. So counting takes up to a fifth of a core.
	countYield = 4
)

// Counts is what was counted of a store.
type Counts struct {
	Live Amount    // the blocks that some DAG needs, each counted once
	Dead Amount    // the blocks that the next reclaim deletes
	Disk uint64    // bytes that the database takes on disk
	At   time.Time // when they were counted; zero before the first time
}

// ReclaimCounts is what the reclaims since the start did.
type ReclaimCounts struct {
	Runs    uint64 // how many finished
	Failed  uint64 // how many failed; those that the store or the caller ended do not count
	Blocks  uint64 // how many blocks were deleted
	Bytes   uint64 // of those blocks
	Freed   uint64 // by how many bytes the use of the disk shrank
	Elapsed time.Duration
	Last    time.Time // when the last one finished; zero if none did
}

// tally is what a store remembers of its counting and its reclaims.
type tally struct {
	mu       sync.Mutex
	counted  Counts
	reclaims ReclaimCounts
}

// Count counts what the store has, at once and then every so often, until ctx ends; then it returns
// nil. [Store.Counted] gives the result. Counting is slow on purpose, and in a large store it is
// seldom. An error of counting is logged, and the next time tries again.
func (s *Store) Count(ctx context.Context, every time.Duration) error {
	for {
		began := time.Now()
		c, err := s.count(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, pin.ErrClosed):
			return nil
		case err != nil:
			s.log.Error("count what the store has", "err", err)
		default:
			s.tally.mu.Lock()
			s.tally.counted = c
			s.tally.mu.Unlock()
		}
		if kv.Sleep(ctx, max(every, countShare*time.Since(began))) != nil {
			return nil
		}
	}
}

func (s *Store) count(ctx context.Context) (Counts, error) {
	var st Stats
	for _, step := range []func(context.Context, kv.KeyWalk, *Stats) error{s.countLive, s.countDead} {
		if err := step(ctx, s.stroll, &st); err != nil {
			return Counts{}, err
		}
	}
	disk, err := space.DiskUse(s.dbDir)
	return Counts{Live: st.Live, Dead: st.Dead, Disk: disk, At: s.cfg.Now()}, err
}

// stroll is [kv.DB.Walk] with a pause after each piece.
func (s *Store) stroll(ctx context.Context, sp kv.Span, fn func(key, value []byte) error) error {
	for {
		began := time.Now()
		rest, err := s.kv.Piece(ctx, sp, fn)
		if err != nil || rest == nil {
			return err
		}
		sp.From = rest
		if err := kv.Sleep(ctx, min(countYield*time.Since(began), kv.MaxPause)); err != nil {
			return err
		}
	}
}

// Counted gives the last count.
func (s *Store) Counted() Counts {
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	return s.tally.counted
}

// Reclaims gives what the reclaims since the start did.
func (s *Store) Reclaims() ReclaimCounts {
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	return s.tally.reclaims
}

// reclaimed records how a reclaim ended. ended reports that its context had ended.
func (s *Store) reclaimed(r *ReclaimReport, err error, ended bool) {
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	t := &s.tally.reclaims
	t.Blocks += r.Blocks // an interrupted one deleted some, too
	t.Bytes += r.Bytes
	dead := &s.tally.counted.Dead // until the next count
	dead.Blocks -= min(dead.Blocks, r.Blocks)
	dead.Bytes -= min(dead.Bytes, r.Bytes)
	t.Elapsed += r.Elapsed
	switch {
	case err == nil:
		t.Runs++
		t.Freed += r.freed()
		t.Last = s.cfg.Now()
	case !ended:
		t.Failed++
	}
}

// Free gives the bytes that are free on the file system of the database.
func (s *Store) Free() (uint64, error) { return s.cfg.FreeSpace(s.dbDir) }

// DiskUse gives the bytes that the database takes on disk. It looks at each of its files.
func (s *Store) DiskUse() (uint64, error) { return space.DiskUse(s.dbDir) }

// Space is the disk of a store, in bytes.
type Space struct {
	Used uint64 // by the database
	// Lingering is the part of Used that comes back, at most, once nothing lingers any more
	// ([pin.Lingering]).
	Lingering uint64
	// Dead is the part of Used that reclaims give back: blocks that nothing holds, as far as they
	// were counted ([Store.Count]), and what was deleted already.
	Dead uint64
	Free uint64 // above the floor for new blocks
}

// Space gives how full the disk is. It looks at each file of the database.
func (s *Store) Space(ctx context.Context) (sp Space, err error) {
	if sp.Used, err = s.DiskUse(); err != nil {
		return Space{}, err
	}
	l, err := s.Lingering(ctx)
	if err != nil {
		return Space{}, err
	}
	deleted, err := s.held.DeadBytes(ctx)
	if err != nil {
		return Space{}, kv.Wrap(err, "read what was deleted")
	}
	sp.Lingering, sp.Dead = min(l.Bytes, sp.Used), min(s.Counted().Dead.Bytes+deleted, sp.Used)
	sp.Free, err = s.space.Headroom()
	return sp, err
}

// Room implements [pin.Engine]. It also fails with an ErrDamaged once Sound does.
func (s *Store) Room(ctx context.Context, bytes uint64) error {
	if err := s.kv.Enter(ctx); err != nil {
		return err
	}
	defer s.kv.Leave()
	if err := s.Sound(); err != nil {
		return err
	}
	return s.space.RoomFor(bytes)
}

// RoomForTemp fails with a pin.ErrDiskFull if there is no room on the disk of the database for so many
// bytes of temporary files. They may use what is kept free of new blocks, and nothing of what removals
// need.
func (s *Store) RoomForTemp(bytes uint64) error { return s.space.RoomForTemp(bytes) }

// FoundDamage counts the damage that reads have found since the store was opened. [Store.Verify]
// finds all damage.
type FoundDamage struct {
	Blocks  int // blocks that could not be read, or had another hash, and were not written again; up to 1,000
	Records int // records that could not be read, and were not written again; up to 10,000
}

// FoundDamage gives the counts. It reads nothing.
func (s *Store) FoundDamage() FoundDamage {
	return FoundDamage{Blocks: s.held.UnreadableBlocks(), Records: s.kv.UnreadableRecords()}
}

// Level is what one level of the tree of keys has on disk.
type Level struct {
	Tables int
	Bytes  int64
}

// Levels gives the levels of the tree of keys, the top one first; none once the store is closed.
func (s *Store) Levels() []Level {
	if s.kv.Enter(context.Background()) != nil {
		return nil
	}
	defer s.kv.Leave()
	var all []Level
	for _, l := range s.db.Levels() {
		all = append(all, Level{l.NumTables, l.Size})
	}
	return all
}
