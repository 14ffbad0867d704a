package rig

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// OwnMemory is RssAnon plus RssShmem: what the process itself holds. Plain RSS also counts the
// pages of mapped database files, which belong to the page cache.
func OwnMemory(pid int) (uint64, error) {
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
