// Package roomtest is what the tests of the rooms and of the store share: it opens the rooms
// on one database, without the store above them, makes blocks and pins, and checks what is on
// disk. It reads keys and records by the table in the comment of package store, and not with
// the code of the rooms, so that both would have to be wrong in the same way.
package roomtest

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/store/internal/accounts"
	"github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// The rooms whose methods a Store has, by the names that they have there.
type (
	Graph    = graph.Store
	Requests = requests.Store
	Auth     = accounts.Store
)

// Store is the rooms on one database.
type Store struct {
	*Graph
	*Requests
	*Auth
	Dir    string // of Badger's files
	Space  *space.Space
	KV     *kv.DB
	Badger *badger.DB

	close func() error
}

// Config is that of package space. The directory is given by itself; of the rest, what is
// missing is the system's.
type Config = space.Config

// Open opens the rooms on a directory, until the test ends or Close.
func Open(tb testing.TB, dir string, cfg Config) *Store {
	tb.Helper()
	return open(tb, dir, cfg, space.BadgerOptions())
}

// OpenSmall is Open with [SmallFiles].
func OpenSmall(tb testing.TB, dir string, cfg Config) *Store {
	tb.Helper()
	return open(tb, dir, cfg, SmallFiles())
}

// Soak is for the random tests and the large ones: CI runs them at a fraction of their length,
// which finds the same sooner or later, and `make soak` at all of it.
var Soak = flag.Bool("soak", false, "run random and large tests at full length")

// Rounds is how many rounds a test does.
func Rounds(inCI, full int) int {
	if *Soak {
		return full
	}
	return inCI
}

// SmallMemory are settings by which memory is soon written out, so that a reclaim has little to
// do. Little data fills no file of the value log: none is collected, and Badger's own races, which
// the race detector reports, do not come up.
func SmallMemory() *badger.Options {
	o := space.BadgerOptions()
	o.MemTableSize = 1 << 20
	o.BaseLevelSize = 1 << 20
	return o
}

// SmallFiles are settings by which little data fills memory and files, so that they are
// written out, compacted and collected all the time.
func SmallFiles() *badger.Options {
	o := SmallMemory()
	o.ValueLogFileSize = 2 << 20
	return o
}

func open(tb testing.TB, dir string, cfg Config, opts *badger.Options) *Store {
	tb.Helper()
	cfg.Dir = dir
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.FreeSpace == nil {
		cfg.FreeSpace = space.FreeSpace
	}
	if cfg.CloseWait == 0 {
		cfg.CloseWait = time.Minute
	}
	cfg.KindOf = func(key []byte) string { return fmt.Sprintf("%.1x", key) }
	sp, err := space.Open(tb.Context(), cfg, opts)
	Must(tb, err)
	held := graph.New(sp, cfg.Logger, cfg.Now)
	s := &Store{
		Graph: held, Requests: requests.New(sp, held, cfg.Logger, cfg.Now), Auth: accounts.New(sp.DB()),
		Dir: dir, Space: sp, KV: sp.DB(), Badger: sp.Badger(),
	}
	s.close = sync.OnceValue(func() error {
		s.KV.Shut()
		return sp.Close()
	})
	tb.Cleanup(func() { Must(tb, s.Close()) })
	return s
}

// Writable implements [pin.Requests].
func (s *Store) Writable(ctx context.Context) error { return s.KV.Writable(ctx) }

// Room implements [pin.Engine].
func (s *Store) Room(_ context.Context, bytes uint64) error { return s.Space.RoomFor(bytes) }

// Close closes the rooms. It may be called twice.
func (s *Store) Close() error { return s.close() }

// Reclaim deletes the blocks that nothing holds, as the first half of a reclaim does, and
// gives how many those were.
func (s *Store) Reclaim(ctx context.Context) (blocks uint64, err error) {
	if err := s.KV.Enter(ctx); err != nil {
		return 0, err
	}
	defer s.KV.Leave()
	_, err = s.DeleteLoose(ctx, graph.LooseWork{
		Progress: func(uint64, uint64) {},
		Deleted:  func(n, _ uint64) { blocks += n },
		Pause:    func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	return blocks, err
}

// ReclaimAll is Reclaim that has to work.
func ReclaimAll(tb testing.TB, s *Store) uint64 {
	tb.Helper()
	n, err := s.Reclaim(tb.Context())
	Must(tb, err)
	return n
}

// DefaultReserve is the lower floor that a store has by itself, in bytes.
const DefaultReserve = 256 << 20

// Must ends the test at an error.
func Must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Clock moves on a millisecond whenever it is looked at, so that no account is too fast.
type Clock struct{ ms atomic.Int64 }

// Now is a time for a Config.
func (c *Clock) Now() time.Time { return time.UnixMilli(1_772_366_400_000 + c.ms.Add(1)) }
