package requests_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// stopAfter gives a context that ends in the last of so many commits.
type stopAfter func(commits int64) context.Context

// More requests for one DAG than one commit lets go of, each of which took another
// over, hinder nobody: neither those of the same account nor those of others.
func TestManyReplacedByOneDAG(t *testing.T) {
	const n = 3000
	for name, end := range map[string]func(s *roomtest.Store, d pin.DAG, a pin.Attempt, stop stopAfter) error{
		"complete": func(s *roomtest.Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			_, released, err := s.Requests.Complete(t.Context(), d, a, pin.Totals{Blocks: 1, Bytes: 1})
			if err == nil && len(released) != n {
				t.Errorf("%d attempts are released, want %d", len(released), n)
			}
			return err
		},
		"fail": func(s *roomtest.Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			released, err := s.Requests.Fail(t.Context(), d, "no block was received")
			if err == nil && len(released) != n+1 {
				t.Errorf("%d attempts are released, want %d", len(released), n+1)
			}
			return err
		},
		"interrupted": func(s *roomtest.Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			if _, _, err := s.Requests.Complete(stop(3), d, a, pin.Totals{Blocks: 1, Bytes: 1}); !errors.Is(err, context.Canceled) {
				t.Errorf("Complete in three commits: %v", err)
			}
			roomtest.CheckInvariants(t, s.KV)
			_, complete, err := s.Requests.Begin(t.Context(), d)
			if !complete {
				t.Error("it is not complete")
			}
			released, _ := s.Graph.Released(t.Context())
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
			s := roomtest.Open(t, t.TempDir(), roomtest.Config{
				Now: new(roomtest.Clock).Now,
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
			bobs, err := s.Requests.Add(ctx, roomtest.ThreeAccounts[1], wanted)
			must(t, err)
			var next atomic.Int64
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
						r, err := s.Requests.Add(ctx, roomtest.Account, pintest.DAGSpec(i))
						if err == nil {
							_, _, err = s.Requests.Begin(ctx, r.DAG())
						}
						if err == nil {
							_, _, _, err = s.Requests.Replace(ctx, roomtest.Account, r.ID, wanted)
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			a, _, err := s.Requests.Begin(ctx, wanted.DAG())
			must(t, err)
			must(t, end(s, wanted.DAG(), a, stop))
			got, err := s.Requests.Get(ctx, roomtest.ThreeAccounts[1], bobs.ID)
			must(t, err)
			if !got.Status.Done() {
				t.Errorf("the other account's request is %s", got.Status)
			}
			roomtest.CheckInvariants(t, s.KV)
		})
	}
}
