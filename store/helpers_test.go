package store

import (
	"context"
	"flag"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

var must = roomtest.Must

var (
	modelSeed = flag.Uint64("model-seed", 0, "`number` to repeat the choices of the model test with; 0 is a new one")
	killSeed  = flag.Uint64("kill-seed", 0, "`number` to repeat the choices of TestKilledDuringReclaim with; 0 is a new one")
)

// seedOf gives the seed that a flag asks for, or a new one.
func seedOf(asked uint64) uint64 {
	if asked != 0 {
		return asked
	}
	return uint64(time.Now().UnixNano())
}

// unclosed is how a store says that Badger does not end.
const unclosed = "it does not end"

// compact does to the files what a reclaim does.
func compact(ctx context.Context, s *Store) error {
	return s.space.GiveBack(ctx, space.GiveBackWork{
		Compacting: func() {},
		Collecting: func(uint64) {},
		Pause:      func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
}
