package rig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLeaks(t *testing.T) {
	key := strings.Repeat("k3y+", 11)
	token := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzb21lYm9keSJ9.c2lnbmF0dXJlIQ"
	for name, c := range map[string]struct {
		printed string
		leaks   int
	}{
		"nothing":    {"level=INFO msg=ready\n", 0},
		"a password": {"login with hunter2 hunter2\n", 1},
		"a token":    {"Authorization: Bearer " + token + "\n", 1},
		"a key":      {"key=" + key + "\n", 1},
		"all":        {"hunter2 hunter2 " + token + " " + key, 3},
	} {
		dir := filepath.Join(t.TempDir(), "a")
		for file, content := range map[string]string{
			"serve.log": c.printed, "commands.log": "", "data/tokens.key": `{"key":"` + key + `"}`,
		} {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		leaks, read, err := (&Rig{Dir: filepath.Dir(dir)}).Leaks("hunter2 hunter2")
		if err != nil || read != 2 || len(leaks) != c.leaks {
			t.Errorf("%s: leaks %q in %d files, %v; want %d in 2", name, leaks, read, err, c.leaks)
		}
	}
}
