package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// BenchmarkByCID unpins what is not pinned, and looks for what is, in an account of 5,000 pins,
// and for an account, while 100 pins write their blocks. It reports the 99th percentile, in microseconds.
//
//	go test -run '^$' -bench ByCID -benchtime 20000x ./store
func BenchmarkByCID(b *testing.B) {
	s := openServed(b, b.TempDir(), Config{})
	pins, err := pin.New(b.Context(), pin.Config{UnpinGrace: time.Hour, Logger: slog.New(slog.DiscardHandler)}, s, &walker{Store: s})
	must(b, err)
	defer func() { must(b, pins.Close()) }()
	const n = 5_000
	var adds sync.WaitGroup
	for lane := range 200 {
		adds.Go(func() {
			for i := lane; i < n; i += 200 {
				_, err := s.Add(b.Context(), roomtest.Account, pintest.DAGSpec(i))
				for ; errors.Is(err, pin.ErrTooFast); _, err = s.Add(b.Context(), roomtest.Account, pintest.DAGSpec(i)) {
					time.Sleep(10 * time.Millisecond)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	adds.Wait()
	ctx, stop := context.WithCancel(b.Context())
	var writers sync.WaitGroup
	defer writers.Wait()
	defer stop()
	for lane := range 100 {
		writers.Go(func() {
			for i := n + lane; ctx.Err() == nil; i += 100 {
				r, err := s.Add(ctx, roomtest.Account, pintest.DAGSpec(i))
				if err != nil {
					continue
				}
				a, _, err := s.Begin(ctx, r.DAG())
				if err == nil {
					err = roomtest.PutTo(s, ctx, a, roomtest.SomeBlocks(uint64(i), 20, 4096))
				}
				if err == nil {
					_, _, err = s.Complete(ctx, r.DAG(), a, pin.Totals{Blocks: 20, Bytes: 20 * 4096})
				}
				if err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	for name, do := range map[string]func(i int) error{
		"UnpinOfWhatIsNotPinned": func(i int) error {
			if err := pins.Unpin(ctx, roomtest.Account, pintest.DAGSpec(1<<30+i).Root); !errors.Is(err, pin.ErrNotFound) {
				return errors.New("it is pinned")
			}
			return nil
		},
		"Account": func(int) error { // as each call looks for it
			_, err := s.AccountByEmail(ctx, "nobody@example.org")
			if !errors.Is(err, auth.ErrNoAccount) {
				return errors.New("there is an account")
			}
			return nil
		},
		"Look": func(i int) error {
			_, err := pins.ByCID(ctx, roomtest.Account, pintest.DAGSpec(i%n).Root)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				began := time.Now()
				must(b, do(i))
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
