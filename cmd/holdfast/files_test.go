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
		if err := os.WriteFile(filepath.Join(data, "db", fmt.Sprintf("%06d.vlog", 100+i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := holdfastCmd(t, data, "serve")
	limited := exec.CommandContext(t.Context(), "sh", "-c", "ulimit -n 64 && exec holdfast serve")
	limited.Env = serve.Env
	out, err := limited.CombinedOutput()
	if err == nil {
		t.Fatalf("it started: %s", out)
	}
	for _, want := range []string{
		"the process may open 64 files, and needs ", " for the database, and 128 for everything else", "hint: raise the limit to ",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q: %s", want, out)
		}
	}
}
