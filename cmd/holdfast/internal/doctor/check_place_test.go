package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/store"
)

func TestConfiguration(t *testing.T) {
	p := healthy(t)
	p.ConfigWarnings = []string{"a key does nothing"}
	expect(t, p, "configuration", Warning, "does nothing")
	p.ConfigErr = errors.Join(errors.New("one is wrong"), errors.New("another is wrong"))
	expect(t, p, "configuration", Trouble, "one is wrong")
	expect(t, p, "configuration", Trouble, "another is wrong")
}

func TestServer(t *testing.T) {
	p := healthy(t)
	p.Server = running()
	p.Server.Unready = "the disk is too full"
	expect(t, p, "server", Trouble, "the disk is too full")
	p.Server, p.ServerErr = nil, errors.New("no answer came")
	expect(t, p, "server", Trouble, "no answer came")
	p.ServerErr = fmt.Errorf("ask: %w", &admin.AnswerError{Status: http.StatusNotFound})
	expect(t, p, "server", Warning, "of an earlier version")
}

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
	})
}

func TestSamePeer(t *testing.T) {
	p := healthy(t)
	expect(t, p, "peer", Note, "the next start makes the key")
	id := writeNodeKey(t, p.Data.File(datadir.NodeKeyFile), "an Ed25519 key is from 32 bytes!")
	p.Others = []OtherServer{{Dir: "/copy", PeerID: id}}
	if found := samePeer(t.Context(), p); len(found) != 1 || found[0].Level != Trouble || !strings.Contains(found[0].Text, "the server on /copy is the same peer") {
		t.Errorf("of a copy it finds %+v", found)
	}
	p.Others = nil
	expect(t, p, "peer", OK, id)
	must(t, os.WriteFile(p.Data.File(datadir.NodeKeyFile), []byte("no key"), 0o600))
	expect(t, p, "peer", Trouble, "node.key is damaged")
}

// statfs is one for tests, which may change what the system says.
func statfs(change func(st *unix.Statfs_t)) func(string, *unix.Statfs_t) error {
	return func(dir string, st *unix.Statfs_t) error {
		err := unix.Statfs(dir, st)
		change(st)
		return err
	}
}

func TestFileSystem(t *testing.T) {
	for _, c := range []struct {
		magic int64
		level Level
		words string
	}{
		{unix.NFS_SUPER_MAGIC, Trouble, "is on NFS"},
		{unix.SMB2_SUPER_MAGIC, Trouble, "is on SMB"},
		{unix.OVERLAYFS_SUPER_MAGIC, Warning, "everything is lost when the container is removed"},
		{unix.TMPFS_MAGIC, Warning, "everything is lost when the host restarts"},
	} {
		p := healthy(t)
		p.Host.FileSystem.Statfs = statfs(func(st *unix.Statfs_t) { st.Type = c.magic })
		expect(t, p, "file system", c.level, c.words)
		p.Data = nil // before the first start, too
		expect(t, p, "file system", c.level, c.words)
	}
	p := healthy(t)
	p.Host.FileSystem.Map = func(*os.File) error { return unix.ENODEV }
	expect(t, p, "file system", Trouble, "cannot be mapped into memory")
	p = healthy(t)
	p.Host.FileSystem.Lock = func(*os.File) error { return unix.ENOLCK }
	expect(t, p, "file system", Trouble, "cannot be locked")
}

func TestDiskSpace(t *testing.T) {
	with := func(free uint64) *Patient {
		p := healthy(t)
		p.Config.Store.MinFreeSpace = 10 << 30
		p.Host.FileSystem.Statfs = statfs(func(st *unix.Statfs_t) { st.Bsize, st.Blocks, st.Bavail = 1<<20, 1<<20, free>>20 })
		return p
	}
	expect(t, with(10<<30-1<<20), "disk space", Trouble, "no pin is accepted")
	expect(t, with(11<<30), "disk space", Warning, "new pins need 10 GiB")
	expect(t, with(500<<30), "disk space", OK, "500 GiB of 1.0 TiB are free")
}

func TestInodes(t *testing.T) {
	with := func(files, free uint64) *Patient {
		p := healthy(t)
		p.Host.FileSystem.Statfs = statfs(func(st *unix.Statfs_t) { st.Files, st.Ffree = files, free })
		return p
	}
	expect(t, with(1<<20, 3), "inodes", Trouble, "3 more files can be made")
	expect(t, with(1<<20, 2000), "inodes", Warning, "2000 more files can be made")
	expect(t, with(0, 0), "inodes", OK, "no limit")
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

func TestOtherServers(t *testing.T) {
	t.Run("runs", func(t *testing.T) {
		p := healthy(t)
		p.Others = []OtherServer{{Dir: "/var/lib/holdfast"}}
		expect(t, p, "other servers", Warning, "another server runs on /var/lib/holdfast")
	})
	t.Run("a command", func(t *testing.T) {
		p := healthy(t)
		holder := exec.Command("flock", p.Path, "sh", "-c", fmt.Sprintf("echo $$ > '%s/holdfast.pid'; echo ready; read end", p.Path))
		end, err := holder.StdinPipe()
		must(t, err)
		out, err := holder.StdoutPipe()
		must(t, err)
		must(t, holder.Start())
		_, err = out.Read(make([]byte, 10)) // it has the lock
		must(t, err)
		expect(t, p, "other servers", Warning, "is in use by process")
		must(t, end.Close())
		_ = holder.Wait() // read fails at the end of its input
	})
}
