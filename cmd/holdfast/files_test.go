package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A server that may open too few files for its database does not start, and says how
// many it needs.
func TestTooFewFiles(t *testing.T) {
	data := t.TempDir()
	add := holdfastCmd(t, data, "user", "add", "ann@example.org", "--password-stdin")
	add.Stdin = strings.NewReader("correct horse battery\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range 43 {
		if err := os.WriteFile(filepath.Join(data, databaseDir, fmt.Sprintf("%06d.vlog", 100+i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := &dataDir{shown: data, open: data}
	n, err := databaseFiles(d)
	if err != nil || n < 43 {
		t.Fatalf("the database has %d files, %v", n, err)
	}
	serve := holdfastCmd(t, data, "serve")
	limited := exec.CommandContext(t.Context(), "sh", "-c", "ulimit -n 64 && exec holdfast serve")
	limited.Env = serve.Env
	out, err := limited.CombinedOutput()
	if err == nil {
		t.Fatalf("it started: %s", out)
	}
	for _, want := range []string{
		fmt.Sprintf("64 files may be open, and %d are needed: %d for the database, and %d for everything else", n+leastFiles, n, leastFiles),
		"hint: raise the limit to " + fmt.Sprint(n+leastFiles),
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
	if m, err := setFilesAside(machine{files: n + leastFiles}, d); err != nil || m.files != leastFiles {
		t.Errorf("with enough of them %d are left, %v", m.files, err)
	}
}

func TestRoomForFiles(t *testing.T) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if err := roomForFiles(uint64(len(open)) + 1000); err != nil {
		t.Errorf("with many left: %v", err)
	}
	if err := roomForFiles(uint64(len(open))); err == nil {
		t.Error("with none left it is fine")
	}
}
