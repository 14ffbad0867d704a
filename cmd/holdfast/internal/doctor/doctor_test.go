package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/store"
)

// noon is when the tests are.
var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// used is a data directory that was used. Each test has a copy.
var used string

func TestMain(m *testing.M) {
	code, err := withUsed(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withUsed(run func() int) (code int, err error) {
	if used, err = os.MkdirTemp("", "doctor"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(used)
	lock, err := store.Lock(used)
	if err != nil {
		return 0, err
	}
	s, err := store.Open(context.Background(), lock, store.Config{})
	if err != nil {
		return 0, errors.Join(err, lock.Close())
	}
	if err := errors.Join(s.Close(), lock.Close()); err != nil {
		return 0, err
	}
	return run(), nil
}

// healthy is a patient without any fault: a used data directory, and no server.
func healthy(t *testing.T) *Patient {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	must(t, os.CopyFS(dir, os.DirFS(used)))
	must(t, os.Chmod(dir, 0o700))
	d, err := datadir.Open(dir, false, io.Discard)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	cfg := config.Default()
	cfg.Backup.To = "/backups"
	cfg.Store.MinFreeSpace = 1
	return &Patient{
		Config: cfg, Path: dir, Data: d,
		NewestBackup: func(context.Context) (newest, good time.Time, err error) {
			return noon.Add(-time.Hour), noon.Add(-time.Hour), nil
		},
		Host: Host{
			Machine:      func() (config.Machine, error) { return config.Machine{Memory: 8 << 30, Files: 1 << 16}, nil },
			WordBits:     64,
			AddressSpace: func() uint64 { return math.MaxUint64 },
			Now:          func() time.Time { return noon },
			Synchronised: func() (yes, known bool) { return true, true },
			Listen:       func(_, _ string) error { return nil },
			OwnerOf:      func(string, uint16) string { return "" },
			Build:        new(debug.BuildInfo),
		},
	}
}

// running is how the server of a healthy patient says that it is.
func running() *admin.Condition {
	return &admin.Condition{
		PID: 7, Started: noon.Add(-time.Hour), Now: noon, Memory: 8 << 30, Files: 1 << 16, OpenFiles: 100,
		Network: admin.NetworkCondition{Peers: 3, Asked: true, Reached: []string{"/ip4/192.0.2.1/tcp/4040"}},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect looks for a finding, and fails if a check other than that one finds anything wrong. Each warning
// and each trouble must say what to do.
func expect(t *testing.T, p *Patient, check string, l Level, words string) {
	t.Helper()
	found := false
	for _, f := range Look(t.Context(), p) {
		if f.Level == Warning || f.Level == Trouble {
			if f.Hint == "" {
				t.Errorf("%s: %q does not say what to do", f.Check, f.Text)
			}
			if f.Check != check {
				t.Errorf("%s of %s: %s", f.Level, f.Check, f.Text)
			}
		}
		found = found || f.Check == check && f.Level == l && strings.Contains(f.Text, words)
	}
	if !found {
		t.Errorf("no %s of %s with %q in %+v", l, check, words, slices.DeleteFunc(Look(t.Context(), p), func(f Finding) bool { return f.Check != check }))
	}
}

// A healthy host has nothing wrong, with a server and without one, and before the first start.
func TestHealthy(t *testing.T) {
	p := healthy(t)
	look := func(when string) {
		t.Helper()
		all := Look(t.Context(), p)
		if Worst(all) != OK {
			t.Errorf("%s: %+v", when, all)
		}
		for _, c := range checks {
			if !slices.ContainsFunc(all, func(f Finding) bool { return f.Check == c.name }) {
				t.Errorf("%s: nothing is said of %s", when, c.name)
			}
		}
	}
	look("without a server")
	p.Server = running()
	look("with a server")
	p.Server, p.Data, p.Path = nil, nil, filepath.Join(p.Path, "none", "yet")
	look("before the first start")
	if left, err := os.ReadDir(filepath.Dir(filepath.Dir(p.Path))); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() == "none" }) {
		t.Errorf("%v is there, %v", left, err)
	}
}

// The checks change nothing in the data directory.
func TestChecksChangeNothing(t *testing.T) {
	p := healthy(t)
	tree := func() (names []string) {
		must(t, filepath.WalkDir(p.Path, func(path string, e os.DirEntry, err error) error {
			if err == nil {
				var info os.FileInfo
				if info, err = e.Info(); err == nil && !e.IsDir() {
					names = append(names, fmt.Sprint(path, info.Size(), info.ModTime(), info.Mode()))
				}
			}
			return err
		}))
		return names
	}
	before := tree()
	Look(t.Context(), p)
	if after := tree(); !slices.Equal(before, after) {
		t.Errorf("before %q, after %q", before, after)
	}
}

func TestWorst(t *testing.T) {
	for _, c := range []struct {
		levels []Level
		want   Level
	}{
		{nil, OK}, {[]Level{OK, Note}, OK}, {[]Level{Warning, OK}, Warning}, {[]Level{Warning, Trouble, OK}, Trouble},
	} {
		var all []Finding
		for _, l := range c.levels {
			all = append(all, Finding{Level: l})
		}
		if got := Worst(all); got != c.want {
			t.Errorf("of %v the worst is %s", c.levels, got)
		}
	}
}

// A start logs what is wrong, and does not go on where it cannot.
func TestStart(t *testing.T) {
	p := healthy(t)
	p.Config.Backup.To = "" // of which a start does not speak
	var lines logtest.Lines
	log := slog.New(slog.NewTextHandler(&lines, nil))
	must(t, Start(t.Context(), p, log))
	if lines.String() != "" {
		t.Errorf("of nothing it logs %s", &lines)
	}
	p.Host.Machine = func() (config.Machine, error) { return config.Machine{Memory: 100 << 20, Files: 1 << 16}, nil }
	must(t, Start(t.Context(), p, log))
	if s := lines.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "check=memory") || !strings.Contains(s, "hint=") {
		t.Errorf("of little memory it logs %s", s)
	}
	p.Host.WordBits = 32
	err := Start(t.Context(), p, log)
	if _, ok := errors.AsType[*hint.Error](err); !ok || !strings.Contains(err.Error(), "32 bits") {
		t.Errorf("on 32 bits: %v", err)
	}
}
