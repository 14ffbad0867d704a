package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// touchBytes is a little more than the size of what is pinned at a time. Hosts that take
// free memory back from a virtual machine leave it about as much.
const touchBytes = 1 << 30

// settle makes the next measurement independent of the one before. The system writes all
// that is not written yet, so that the syncs of one server do not wait for writes of
// another. And settle touches memory and frees it. The reason: on a virtual machine whose
// host takes free memory back, a page that was not in use just before costs some
// microseconds, and the server that is measured second would pay for the file cache of
// both.
func settle() error {
	syscall.Sync()
	m, err := syscall.Mmap(-1, 0, touchBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return fmt.Errorf("touch memory: %w", err)
	}
	for i := 0; i < len(m); i += os.Getpagesize() {
		m[i] = 1
	}
	if err := syscall.Munmap(m); err != nil {
		return fmt.Errorf("touch memory: %w", err)
	}
	return nil
}

// idleCPUTime waits until a server has nothing left to do, for a minute at most, and gives its
// processor time. The database goes on writing for a while after a pin: without the wait, that would
// be counted to whatever is measured next.
func idleCPUTime(ctx context.Context, pid int) (total time.Duration, err error) {
	const idleFor, allowed = time.Second, 20 * time.Millisecond // what an idle server does by itself
	var busy time.Duration                                      // its processor time when it was last busy
	began := time.Now()
	since := began
	err = rig.Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		if total, err = rig.CPUTime(pid); err != nil {
			return false, err
		}
		now := time.Now()
		if total-busy > allowed {
			busy, since = total, now
		}
		return now.Sub(since) >= idleFor || now.Sub(began) >= time.Minute, nil
	})
	return total, err
}
