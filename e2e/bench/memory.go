package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// memoryTarget is the limit for the memory of an idle server.
const memoryTarget = 120 << 20

// Go gives memory back for some minutes after it was used, more and more slowly.
const settleMost = 90 * time.Second

type measuredMemory struct {
	bytes uint64
	after time.Duration // since the last pin
}

// settledMemory measures a process until its memory has not shrunk for a
// while, or for settleMost.
func settledMemory(ctx context.Context, pid int) (m measuredMemory, err error) {
	const steady, step = 20 * time.Second, 1 << 20
	began := time.Now()
	least, at := uint64(0), began
	err = rig.Poll(ctx, time.Second, func() (bool, error) {
		n, err := rig.OwnMemory(pid)
		if err != nil {
			return false, err
		}
		if least == 0 || n+step <= least {
			least, at = n, time.Now()
		}
		m = measuredMemory{n, time.Since(began)}
		return time.Since(at) >= steady || time.Since(began) >= settleMost, nil
	})
	return m, err
}

// peaks is the maximum of memory that the processes held, in bytes.
type peaks struct{ kubo, holdfast uint64 }

// watch notes the maximum of memory that two processes hold until stop is called.
func (p *peaks) watch(kubo, holdfast int) (stop func() error) {
	quit, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			for _, one := range []struct {
				pid  int
				peak *uint64
			}{{kubo, &p.kubo}, {holdfast, &p.holdfast}} {
				n, err := rig.OwnMemory(one.pid)
				if err != nil {
					failed <- err
					return
				}
				*one.peak = max(*one.peak, n)
			}
			select {
			case <-ticker.C:
			case <-quit:
				failed <- nil
				return
			}
		}
	}()
	return func() error {
		close(quit)
		return <-failed
	}
}

func (r *results) printMemory(out io.Writer) error {
	_, err := fmt.Fprintf(out, `
Memory of its own (RssAnon + RssShmem), at most: Kubo %.0f MiB, Holdfast %.0f MiB
The same while CARs are sent: Kubo %.0f MiB, Holdfast %.0f MiB
The same while files and CARs are taken: Kubo %.0f MiB, Holdfast %.0f MiB
Holdfast idle after all of that: %.0f MiB, %s after the last pin; target under %.0f MiB: %s
`, mib(r.peaks.kubo), mib(r.peaks.holdfast), mib(r.outPeaks.kubo), mib(r.outPeaks.holdfast),
		mib(r.inPeaks.kubo), mib(r.inPeaks.holdfast), mib(r.idle.bytes), r.idle.after.Round(time.Second), mib(memoryTarget), verdict(r.idle.bytes < memoryTarget))
	return err
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }
