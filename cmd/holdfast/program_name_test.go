package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Messages name commands as whoever reads them called the program.
func TestProgramName(t *testing.T) {
	installed, elsewhere := t.TempDir(), t.TempDir()
	for _, dir := range []string{installed, elsewhere} {
		if err := os.WriteFile(filepath.Join(dir, "holdfast"), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", installed)
	for arg0, want := range map[string]string{
		"holdfast":                             "holdfast",
		installed + "/holdfast":                "holdfast",
		elsewhere + "/holdfast":                elsewhere + "/holdfast",
		"./holdfast":                           "./holdfast",
		"./my builds/holdfast":                 "'./my builds/holdfast'",
		"/tmp/go-build12/b001/exe/holdfast":    "go run ./cmd/holdfast",
		"/root/.cache/go-build/ab/cd/holdfast": "go run ./cmd/holdfast",
	} {
		if got := programName(arg0); got != want {
			t.Errorf("called as %s it names itself %s, want %s", arg0, got, want)
		}
	}
}
