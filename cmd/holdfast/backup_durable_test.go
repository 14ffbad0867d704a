//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// Everything that a backup is made of, and its name, is synced before the manifest is there, and the
// manifest before the command ends.
func TestBackupIsSyncedBeforeItCounts(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test needs strace (apt-get install strace): %v", err)
	}
	k := newBlockStore(t)
	place, calls := filepath.Join(t.TempDir(), "place"), filepath.Join(t.TempDir(), "calls")
	cmd := holdfastCmd(t, k, "backup", place, "--server-keys")
	cmd.Args = append([]string{"strace", "-f", "-y", "-e", "trace=fsync,mkdir,mkdirat,rename,renameat,renameat2", "-o", calls, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	synced, counts, after := map[string]bool{}, false, false
	call := regexp.MustCompile(`fsync\(\d+<([^>]*)>\) += 0|rename[a-z0-9]*\(.*"([^"]*)"(?:, [0-9A-Z_|]+)?\) += 0|mkdir(?:at)?\(.*"([^"]*)", \d+\) += 0`)
	run := ""
	for _, line := range wholeCalls(string(text)) {
		m := call.FindStringSubmatch(line)
		switch {
		case m == nil:
		case strings.HasSuffix(m[2], "/manifest.json"):
			counts, run = true, filepath.Dir(m[2])
			if !synced[m[2]+".unfinished"] {
				t.Error("the manifest was not synced before it had its name")
			}
			for _, path := range filesBelow(t, run) {
				if path != m[2] && !synced[path] || !synced[filepath.Dir(path)] {
					t.Errorf("%s was not synced before the manifest was there", path)
				}
			}
			if !synced[filepath.Dir(run)] {
				t.Error("the directory of the run was not synced where it is before the manifest was there")
			}
		case m[3] != "":
			synced[filepath.Dir(m[3])] = false
		case m[1] != "":
			synced[m[1]] = true
			after = after || counts && m[1] == run
		}
	}
	if !counts || !after {
		t.Errorf("a manifest was written: %v, and its directory synced: %v\n%s", counts, after, text)
	}
}

// wholeCalls gives the lines of strace when their calls ended: one that lasted while another thread made
// a call is in two pieces.
func wholeCalls(text string) (all []string) {
	begun := map[string]string{} // by thread
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		thread, _, _ := strings.Cut(line, " ")
		if first, ok := strings.CutSuffix(line, " <unfinished ...>"); ok {
			begun[thread] = first
			continue
		}
		if _, rest, ok := strings.Cut(line, " resumed>"); ok {
			line = begun[thread] + rest
		}
		all = append(all, line)
	}
	return all
}

func filesBelow(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil || len(all) < 5 {
		t.Fatalf("a backup has the files %v: %v", all, err)
	}
	return all
}

// newBlockStore makes a data directory with a pin.
func newBlockStore(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	h, err := multihash.Sum([]byte("a block"), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"user", "add", "a@example.org", "--password-stdin"}, {"pin", "add", fmt.Sprint(cid.NewCidV1(cid.Raw, h))},
	} {
		if out, err := holdfastStdin(t, dir, "correct horse battery\n", args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return dir
}
