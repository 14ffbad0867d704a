package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

func TestMemory(t *testing.T) {
	p := healthy(t)
	p.Host.Machine = func() (config.Machine, error) { return config.Machine{Memory: 600 << 20, Files: 1 << 16}, nil }
	expect(t, p, "memory", Warning, "600 MiB for the profile default")
	p.Config.Node.Profile = config.ProfileSmall
	expect(t, p, "memory", OK, "600 MiB for the profile small")
	p.Server = running()
	p.Server.Memory = 100 << 20 // its own limit counts
	expect(t, p, "memory", Warning, "100 MiB for the profile small")
}

func TestAddressSpace(t *testing.T) {
	p := healthy(t)
	p.Host.WordBits = 32
	expect(t, p, "address space", Trouble, "for 32 bits")
	p.Host.WordBits = 64
	p.Host.AddressSpace = func() uint64 { return 4 << 30 }
	expect(t, p, "address space", Trouble, "may map 4.0 GiB")
	p.Host.AddressSpace = func() uint64 { return 1 << 40 }
	expect(t, p, "address space", OK, "may map 1.0 TiB")
}

// The limit of this process is that which the system has.
func TestLimitsOfThisProcess(t *testing.T) {
	h := ThisHost(nil)
	for _, c := range []struct {
		resource int
		get      func() uint64
	}{
		{syscall.RLIMIT_AS, h.AddressSpace},
		{syscall.RLIMIT_NOFILE, func() uint64 { m, err := h.Machine(); must(t, err); return m.Files }},
	} {
		var was syscall.Rlimit
		must(t, syscall.Getrlimit(c.resource, &was))
		lower := syscall.Rlimit{Cur: 1 << 46, Max: was.Max} // more than any test maps
		if c.resource == syscall.RLIMIT_NOFILE {
			lower.Cur = was.Cur - 1
		}
		must(t, syscall.Setrlimit(c.resource, &lower))
		got := c.get()
		must(t, syscall.Setrlimit(c.resource, &was))
		if got != uint64(lower.Cur) {
			t.Errorf("resource %d: %d, want %d", c.resource, got, lower.Cur)
		}
	}
}

// The files of the database are subtracted.
func TestFilesOfTheDatabase(t *testing.T) {
	d := healthy(t).Data
	must(t, os.RemoveAll(d.File(databaseDir)))
	if err := os.Mkdir(d.File(databaseDir), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 43 {
		if err := os.WriteFile(filepath.Join(d.File(databaseDir), fmt.Sprintf("%06d.vlog", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := databaseFiles(d)
	if err != nil || n != 43 {
		t.Fatalf("the database has %d files, %v", n, err)
	}
	if m, err := SetFilesAside(config.Machine{Files: n + otherFiles}, d); err != nil || m.Files != otherFiles {
		t.Errorf("with enough of them %d are left, %v", m.Files, err)
	}
	want := fmt.Sprintf("the process may open 64 files, and needs %d: %d for the database, and %d for everything else", n+otherFiles, n, otherFiles)
	if _, err := SetFilesAside(config.Machine{Files: 64}, d); err == nil || err.Error() != want {
		t.Errorf("with too few the error is %v, want %s", err, want)
	}
}

func TestOpenFiles(t *testing.T) {
	p := healthy(t)
	with := func(n uint64) {
		p.Host.Machine = func() (config.Machine, error) { return config.Machine{Memory: 8 << 30, Files: n}, nil }
	}
	with(64)
	expect(t, p, "open files", Trouble, "may open 64 files, and needs")
	with(500)
	expect(t, p, "open files", Warning, "may open 500 files")
	p.Server = running()
	p.Server.Files = 600 // its own limit counts
	expect(t, p, "open files", Warning, "has 100 open, and may open 600 files")
}

func TestClock(t *testing.T) {
	p := healthy(t)
	p.Host.Build = &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.time", Value: "2030-03-01T00:00:00Z"}}}
	expect(t, p, "clock", Trouble, "this program was made after that")

	p = healthy(t)
	files, err := filepath.Glob(filepath.Join(p.Path, "db", "*"))
	must(t, err)
	must(t, os.Chtimes(files[0], noon.AddDate(1, 0, 0), noon.AddDate(1, 0, 0)))
	expect(t, p, "clock", Trouble, "was written at 2031-01-02")
	p.Host.Now = func() time.Time { return noon.AddDate(1, 0, 0).Add(-time.Minute) } // clocks are corrected
	p.NewestBackup = nil
	p.Config.Backup.To = ""
	expect(t, p, "backup", Warning, "backup.to is not set")
}

func TestSynchronised(t *testing.T) {
	p := healthy(t)
	p.Host.Synchronised = func() (yes, known bool) { return false, true }
	expect(t, p, "clock synchronisation", Warning, "not kept by NTP")
	p.Host.Synchronised = func() (yes, known bool) { return false, false }
	expect(t, p, "clock synchronisation", Note, "does not say")
}
