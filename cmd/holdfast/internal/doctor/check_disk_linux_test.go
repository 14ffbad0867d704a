package doctor

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

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
