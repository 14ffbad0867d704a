//go:build linux

package store

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

const syncChild = "HOLDFAST_TEST_SYNC_CHILD"

// TestSyncBeforeAnswer shows, by the system calls of a process of its own, that
// what was added is synced to disk before Add returns. Badger writes by memory
// maps, so the sync is an msync. The same without SyncWrites shows that the
// test would notice.
func TestSyncBeforeAnswer(t *testing.T) {
	if mode := os.Getenv(syncChild); mode != "" {
		addOnce(t, mode == "unsynced")
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test needs strace (apt-get install strace): %v", err)
	}
	for _, mode := range []string{"synced", "unsynced"} {
		t.Run(mode, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "calls")
			cmd := exec.CommandContext(t.Context(), strace, "-f", "-e", "trace=msync,fsync,fdatasync,write", "-o", out,
				os.Args[0], "-test.run=^TestSyncBeforeAnswer$", "-test.count=1")
			cmd.Env = append(os.Environ(), syncChild+"="+mode)
			if b, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("strace: %v\n%s", err, b)
			}
			calls, err := os.ReadFile(out)
			must(t, err)
			between := callsBetween(t, string(calls))
			// Finished calls only: strace may cut one in two.
			synced := regexp.MustCompile(`msync\(.*MS_SYNC\) = 0|msync resumed>.* = 0`).MatchString(between)
			if synced != (mode == "synced") {
				t.Errorf("synced before the answer: %v; calls:\n%s", synced, between)
			}
		})
	}
}

// callsBetween cuts what was called from just before Add to its answer.
func callsBetween(t *testing.T, calls string) string {
	t.Helper()
	_, after, ok := strings.Cut(calls, `"asking\n"`)
	between, _, ok2 := strings.Cut(after, `"answered\n"`)
	if !ok || !ok2 {
		t.Fatalf("the child's marks are not in the trace:\n%s", calls)
	}
	return between
}

// addOnce is the child: it marks the moments before and after an Add in the
// trace, by writing to its output.
func addOnce(t *testing.T, unsynced bool) {
	dir := t.TempDir()
	lock, err := Lock(dir)
	must(t, err)
	options := space.BadgerOptions()
	options.SyncWrites = !unsynced
	s, err := openWith(t.Context(), dir, Config{}.withDefaults(), options, migrations())
	must(t, err)
	_, err = s.requestRecords.Add(t.Context(), roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	fmt.Fprint(os.Stdout, "asking\n")
	_, err = s.requestRecords.Add(t.Context(), roomtest.Account, pintest.DAGSpec(2))
	fmt.Fprint(os.Stdout, "answered\n")
	must(t, err)
	must(t, s.Close())
	must(t, lock.Close())
}
