package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
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

func printMemory(out io.Writer, all []measuredMemory) error {
	slices.SortFunc(all, func(a, b measuredMemory) int { return int(int64(a.bytes) - int64(b.bytes)) })
	m := all[len(all)/2]
	verdict := "met"
	if m.bytes >= memoryTarget {
		verdict = "MISSED"
	}
	_, err := fmt.Fprintf(out, "\nHoldfast idle after all of that: %.0f MiB of its own (RssAnon + RssShmem, %s after the last pin); target under %.0f MiB: %s\n",
		mib(m.bytes), m.after.Round(time.Second), mib(memoryTarget), verdict)
	return err
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }
