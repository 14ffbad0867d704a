package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// memoryTarget is what a server may hold when it is idle.
const memoryTarget = 120 << 20

// Go gives memory back for some minutes after it was used, ever more slowly.
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
		n, err := ownMemory(pid)
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

// ownMemory is RssAnon plus RssShmem: what the process itself holds. Plain RSS
// counts the pages of mapped database files, which belong to the page cache.
func ownMemory(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("measure memory: process %d is gone, or this is not Linux: %w", pid, err)
	}
	if err != nil {
		return 0, fmt.Errorf("measure memory: %w", err)
	}
	var sum uint64
	found := 0
	for line := range strings.Lines(string(b)) {
		var kib uint64
		for _, key := range []string{"RssAnon:", "RssShmem:"} {
			if rest, ok := strings.CutPrefix(line, key); ok {
				if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
					return 0, fmt.Errorf("measure memory: %q: %w", line, err)
				}
				sum += kib << 10
				found++
			}
		}
	}
	if found != 2 {
		return 0, fmt.Errorf("measure memory: %d of RssAnon and RssShmem in /proc/%d/status", found, pid)
	}
	return sum, nil
}

// watchMemory notes the most that two processes hold until stop is called.
func (r *results) watchMemory(kubo, holdfast int) (stop func() error) {
	quit, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			for _, p := range []struct {
				pid  int
				peak *uint64
			}{{kubo, &r.kuboPeak}, {holdfast, &r.peak}} {
				n, err := ownMemory(p.pid)
				if err != nil {
					failed <- err
					return
				}
				*p.peak = max(*p.peak, n)
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
Holdfast idle after all of that: %.0f MiB, %s after the last pin; target under %.0f MiB: %s
`, mib(r.kuboPeak), mib(r.peak), mib(r.idle.bytes), r.idle.after.Round(time.Second), mib(memoryTarget), verdict(r.idle.bytes < memoryTarget))
	return err
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }
