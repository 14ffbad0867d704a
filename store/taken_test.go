package store

import (
	"context"
	"errors"
	"slices"
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
			released, err := s.Complete(t.Context(), d, a, pin.Totals{Blocks: 1, Bytes: 1})
			if err == nil && len(released) != n {
				t.Errorf("%d attempts are released, want %d", len(released), n)
			}
			return err
		},
		"fail": func(s *Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			released, err := s.Fail(t.Context(), d, "no block was received")
			if err == nil && len(released) != n+1 {
				t.Errorf("%d attempts are released, want %d", len(released), n+1)
			}
			return err
		},
		"interrupted": func(s *Store, d pin.DAG, a pin.Attempt, stop stopAfter) error {
			if _, err := s.Complete(stop(3), d, a, pin.Totals{Blocks: 1, Bytes: 1}); !errors.Is(err, context.Canceled) {
				t.Errorf("Complete in three commits: %v", err)
			}
			checkInvariants(t, s)
			_, complete, err := s.Begin(t.Context(), d)
			if !complete {
				t.Error("it is not complete")
			}
			released, _ := s.Released(t.Context())
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
			bobs, err := s.Add(ctx, modelAccounts[1], wanted)
			must(t, err)
			var next atomic.Int64
			var wg sync.WaitGroup
			for range benchWriters {
				wg.Go(func() {
					for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
						r, err := s.Add(ctx, benchAccount, pintest.DAGSpec(i))
						if err == nil {
							_, _, err = s.Begin(ctx, r.DAG())
						}
						if err == nil {
							_, _, _, err = s.Replace(ctx, benchAccount, r.ID, wanted)
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			a, _, err := s.Begin(ctx, wanted.DAG())
			must(t, err)
			must(t, end(s, wanted.DAG(), a, stop))
			got, err := s.Get(ctx, modelAccounts[1], bobs.ID)
			must(t, err)
			if !got.Status.Done() {
				t.Errorf("the other account's request is %s", got.Status)
			}
			checkInvariants(t, s)
		})
	}
}

// What requests held by the layout of before, in rows without a bound, is let go of,
// but for what such a row holds now.
func TestMigrationOfRows(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	clock := new(benchClock)
	ctx := t.Context()
	old, err := openWith(ctx, dir, Config{Now: clock.now}.withDefaults(), badgerOptions(), migrations()[:2])
	must(t, err)
	// Each row begins with a DAG that was pinned, and has one twice.
	rows := []int{3400, 3, 1}
	var requests []pin.Request
	first, tries := map[int]pin.Attempt{}, map[int][]pin.Attempt{}
	for i, n := range rows {
		spec := func(k int) pin.Spec { return pintest.DAGSpec(100_000*i + k) }
		r, err := old.Add(ctx, benchAccount, spec(0))
		must(t, err)
		first[i], _, err = old.Begin(ctx, r.DAG())
		must(t, err)
		_, err = old.Complete(ctx, r.DAG(), first[i], pin.Totals{Blocks: 1, Bytes: 10})
		must(t, err)
		r, _, _, err = old.Replace(ctx, benchAccount, r.ID, spec(n))
		must(t, err)
		requests = append(requests, r)
		rec := holdsRecord3{DAGs: [][]byte{[]byte(spec(0).DAG())}}
		for k := range slices.Chunk(slices.Collect(numbers(1, n)), 500) {
			must(t, old.update(ctx, func(t *tx) error {
				for _, k := range k {
					d := spec(k).DAG()
					a, err := old.newAttempt(t, d)
					if err != nil {
						return err
					}
					holders := uint64(1)
					if k == 2 {
						holders++
						rec.DAGs = append(rec.DAGs, []byte(d))
					}
					rec.DAGs = append(rec.DAGs, []byte(d))
					tries[i] = append(tries[i], a)
					if err := old.put(t, dagKey(d), dagRecord{Attempt: a, Holders: holders}); err != nil {
						return err
					}
				}
				return nil
			}))
		}
		if n == 1 { // as an interrupted migration leaves it
			continue
		}
		must(t, old.update(ctx, func(t *tx) error {
			a, _ := accountOf(benchAccount)
			if err := old.charge(t, a, spec(0).DAG(), -1); err != nil {
				return err
			}
			req, err := old.find(&t.reader, benchAccount, r.ID)
			if err != nil {
				return err
			}
			return old.put(t, holdsKey(a, req.Seq), rec)
		}))
	}
	must(t, old.Close())
	must(t, lock.Close())

	s := openTest(t, dir, Config{Now: clock.now})
	checkInvariants(t, s)
	u, err := s.Usage(ctx, benchAccount)
	must(t, err)
	if u.DAGs != uint64(len(rows)) || u.Bytes != 10*u.DAGs {
		t.Errorf("usage %+v, want that of %d DAGs", u, len(rows))
	}
	released, err := s.Released(ctx)
	must(t, err)
	if want := tries[0][:len(tries[0])-pin.KeptTries]; !slices.Equal(released, want) {
		t.Errorf("%d attempts are released, want %d", len(released), len(want))
	}
	for i, r := range requests {
		kept := tries[i][max(len(tries[i])-pin.KeptTries, 0):]
		_, released, err := s.Remove(ctx, benchAccount, r.ID)
		must(t, err)
		slices.Sort(released)
		if want := slices.Sorted(slices.Values(append(kept, first[i]))); !slices.Equal(released, want) {
			t.Errorf("row of %d: %v is released with the last, want %v", rows[i], released, want)
		}
	}
	checkInvariants(t, s)
}

func numbers(from, to int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for n := from; n < to; n++ {
			if !yield(n) {
				return
			}
		}
	}
}
