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

// What a monitor asks for every few seconds must cost little, however large the
// store is. What is on the disk, and what of it is alive, is therefore counted
// in the background, now and then; the rest is read when it is asked for.

const (
	// countMost is which part of the time is spent counting: one in so many.
	countMost = 20
	// countYield is how long counting pauses after each piece of reading, as a
	// multiple of what that took: a fifth of one core at most.
	countYield = 4
)

// Counts is what was counted of a store.
type Counts struct {
	Live Amount    // the blocks that some DAG refers to, each counted once
	Dead Amount    // the blocks that the next reclaim deletes
	Disk uint64    // bytes that the database takes on disk
	At   time.Time // when that was; zero before the first time
}

// ReclaimCounts is what the reclaims since the start did.
type ReclaimCounts struct {
	Runs    uint64 // that came to their end
	Failed  uint64 // that met an error, an end of the store or of the caller not counted
	Blocks  uint64 // that were deleted
	Bytes   uint64 // of those blocks
	Freed   uint64 // by how many bytes the disk's use shrank
	Elapsed time.Duration
	Last    time.Time // when the last one ended that came to its end; zero if none did
}

// tally is what a store remembers of its own doings.
type tally struct {
	mu       sync.Mutex
	counted  Counts
	reclaims ReclaimCounts
}

// Count counts what the store has every so often, at once for the first time,
// until ctx ends; [Store.Counted] tells. It takes its time, and in a store where
// that is long it counts seldom. It then returns nil; an error of counting is
// logged, and the next time tries again.
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
		if kv.Sleep(ctx, max(every, countMost*time.Since(began))) != nil {
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

// stroll is walk with a pause after each piece.
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

// Counted gives what was counted last.
func (s *Store) Counted() Counts {
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	return s.tally.counted
}

// Reclaims says what the reclaims since the start did.
func (s *Store) Reclaims() ReclaimCounts {
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	return s.tally.reclaims
}

// reclaimed takes note of a reclaim that ended.
func (s *Store) reclaimed(r *ReclaimReport, err error, ended bool) {
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	t := &s.tally.reclaims
	t.Blocks += r.Blocks // those of an interrupted one are deleted too
	t.Bytes += r.Bytes
	t.Elapsed += r.Elapsed
	switch {
	case err == nil:
		t.Runs++
		t.Freed += r.Freed()
		t.Last = s.cfg.Now()
	case !ended:
		t.Failed++
	}
}

// Free gives the bytes that are free on the file system of the database.
func (s *Store) Free() (uint64, error) { return s.cfg.FreeSpace(s.dbDir) }

// Room is that of [pin.Engine]. It also fails with an ErrDamaged once Sound does.
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

// Damage is what was found damaged since the store was opened, as far as something wanted it;
// [Store.Verify] finds all.
type FoundDamage struct {
	Blocks  int // that could not be read, or have another hash, and were not written again: a thousand at most
	Records int // that could not be read, and were not written again: ten thousand at most
}

// FoundDamage counts that. It reads nothing.
func (s *Store) FoundDamage() FoundDamage {
	return FoundDamage{Blocks: int(s.held.Unreadable.N.Load()), Records: s.kv.UnreadableRecords()}
}

// Level is what one level of the tree of keys has on disk.
type Level struct {
	Tables int
	Bytes  int64
}

// Levels gives the levels of the tree of keys, the top one first. None, once
// the store is closed.
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
