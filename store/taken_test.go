package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

// stopAfter gives a context that ends in the last of so many commits.
type stopAfter func(commits int64) context.Context

// More requests for one DAG than one commit lets go of, each of which took another
// over, hinder nobody: neither those of the same account nor those of others.
func TestManyReplacedByOneDAG(t *testing.T) {
	const n = 3000
	for name, end := range map[string]func(s *Store, d pin.DAG, a pin.Attempt, stop stopAfter) error{
		"complete": func(s *Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			released, err := s.requestRecords.Complete(t.Context(), d, a, pin.Totals{Blocks: 1, Bytes: 1})
			if err == nil && len(released) != n {
				t.Errorf("%d attempts are released, want %d", len(released), n)
			}
			return err
		},
		"fail": func(s *Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			released, err := s.requestRecords.Fail(t.Context(), d, "no block was received")
			if err == nil && len(released) != n+1 {
				t.Errorf("%d attempts are released, want %d", len(released), n+1)
			}
			return err
		},
		"interrupted": func(s *Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			if _, err := s.requestRecords.Complete(stop(3), d, a, pin.Totals{Blocks: 1, Bytes: 1}); !errors.Is(err, context.Canceled) {
				t.Errorf("Complete in three commits: %v", err)
			}
			checkInvariants(t, s)
			_, complete, err := s.requestRecords.Begin(t.Context(), d)
			if !complete {
				t.Error("it is not complete")
			}
			released, _ := s.held.Released(t.Context())
			if len(released) != n {
				t.Errorf("%d attempts are released, want %d", len(released), n)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			stopping, cancel := context.WithCancel(t.Context())
			defer cancel()
			var left atomic.Int64
			s := openTest(t, t.TempDir(), Config{
				Now: new(benchClock).now,
				FreeSpace: func(string) (uint64, error) { // is asked before each commit
					if left.Add(-1) == 0 {
						cancel()
					}
					return 1 << 40, nil
				},
			})
			stop := func(commits int64) context.Context {
				left.Store(commits)
				return stopping
			}
			ctx := t.Context()
			wanted := pintest.DAGSpec(1_000_000)
			bobs, err := s.requestRecords.Add(ctx, modelAccounts[1], wanted)
			must(t, err)
			var next atomic.Int64
			var wg sync.WaitGroup
			for range benchWriters {
				wg.Go(func() {
					for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
						r, err := s.requestRecords.Add(ctx, benchAccount, pintest.DAGSpec(i))
						if err == nil {
							_, _, err = s.requestRecords.Begin(ctx, r.DAG())
						}
						if err == nil {
							_, _, _, err = s.requestRecords.Replace(ctx, benchAccount, r.ID, wanted)
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			a, _, err := s.requestRecords.Begin(ctx, wanted.DAG())
			must(t, err)
			must(t, end(s, wanted.DAG(), a, stop))
			got, err := s.requestRecords.Get(ctx, modelAccounts[1], bobs.ID)
			must(t, err)
			if !got.Status.Done() {
				t.Errorf("the other account's request is %s", got.Status)
			}
			checkInvariants(t, s)
		})
	}
}
