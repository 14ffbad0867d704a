package doctor

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/store"
)

func TestDataDirectory(t *testing.T) {
	t.Run("open to all", func(t *testing.T) {
		p := healthy(t)
		must(t, os.Chmod(p.Path, 0o777))
		expect(t, p, "data directory", Warning, "every user of this host can write to")
	})
	t.Run("a copy", func(t *testing.T) {
		p := healthy(t)
		b, err := json.Marshal(datadir.RunFile{PID: 1, Directory: p.Data.Number() + 1})
		must(t, err)
		must(t, os.WriteFile(p.Data.File(datadir.RunFileName), b, 0o600))
		expect(t, p, "data directory", Warning, "is a copy")
	})
	t.Run("closed to us", func(t *testing.T) {
		p := healthy(t)
		p.Data, p.DataErr = nil, fmt.Errorf("open the data directory: %w", fs.ErrPermission)
		expect(t, p, "data directory", Trouble, "permission")
		if f := server(t.Context(), p); f[0].Level != Note || !strings.Contains(f[0].Text, "not known whether one runs") {
			t.Errorf("of the server it says %v", f)
		}
	})
}

func TestDatabase(t *testing.T) {
	t.Run("no MANIFEST", func(t *testing.T) {
		p := healthy(t)
		must(t, os.Remove(filepath.Join(p.Path, "db", "MANIFEST")))
		expect(t, p, "database", Trouble, "and no MANIFEST")
	})
	t.Run("damaged table", func(t *testing.T) {
		p := healthy(t)
		tables, err := filepath.Glob(filepath.Join(p.Path, "db", "*.sst"))
		must(t, err)
		if len(tables) == 0 {
			t.Fatal("there is no table")
		}
		b, err := os.ReadFile(tables[0])
		must(t, err)
		b[len(b)/2] ^= 1
		must(t, os.WriteFile(tables[0], b, 0o600))
		expect(t, p, "database", Trouble, filepath.Base(tables[0]))
	})
	t.Run("of a later version", func(t *testing.T) {
		p := healthy(t)
		marker := filepath.Join(p.Path, "holdfast.layout")
		must(t, os.WriteFile(marker, []byte("This directory belongs to holdfast. Do not edit.\nlayout 99\n"), 0o600))
		expect(t, p, "database", Trouble, "newer version")
	})
	t.Run("half restored", func(t *testing.T) {
		p := healthy(t)
		must(t, os.WriteFile(filepath.Join(p.Path, "holdfast.restoring"), []byte(`{"backup":"b1","layout":5}`), 0o600))
		expect(t, p, "database", Trouble, "has not come to its end")
	})
	t.Run("another Badger", func(t *testing.T) {
		p := healthy(t)
		p.Host.Build = &debug.BuildInfo{Deps: []*debug.Module{{Path: "github.com/dgraph-io/badger/v4", Version: "v4.99.0"}}}
		expect(t, p, "database", Trouble, "v4.99.0")
	})
	t.Run("as a server says", func(t *testing.T) {
		p := healthy(t)
		p.Server = running()
		p.Server.Damage = "table 7 is damaged"
		expect(t, p, "database", Trouble, "table 7 is damaged")
		p.Server = running()
		p.Server.DamagedFiles, p.Server.UnreadableBlocks = 1, 2
		expect(t, p, "database", Trouble, "1 file cannot be read completely, and 2 blocks could not be read")
	})
}

// The program knows the Badger that go.mod has.

func TestBuiltBadger(t *testing.T) {
	const badger = "github.com/dgraph-io/badger/v4"
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", badger).Output()
	must(t, err)
	must(t, store.CheckBadger(&debug.BuildInfo{Deps: []*debug.Module{{Path: badger, Version: strings.TrimSpace(string(out))}}}))
}
