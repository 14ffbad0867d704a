package filesystem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// on is a system where every directory is on a file system of that number.
func on(magic uint32) System {
	return System{Statfs: func(_ string, st *unix.Statfs_t) error {
		st.Type = int64(magic)
		return nil
	}}
}

// What is on another host is refused by its name, and nothing is written; what is on a disk is not.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		magic uint32
		want  string // in the error; "" is none
	}{
		{unix.NFS_SUPER_MAGIC, "is on NFS"},
		{unix.SMB_SUPER_MAGIC, "is on SMB"},
		{unix.CIFS_SUPER_MAGIC, "is on SMB (CIFS)"},
		{unix.SMB2_SUPER_MAGIC, "is on SMB"},
		{unix.AFS_FS_MAGIC, "is on AFS"},
		{unix.CODA_SUPER_MAGIC, "is on Coda"},
		{unix.EXT4_SUPER_MAGIC, ""},
		{unix.XFS_SUPER_MAGIC, ""},
		{unix.V9FS_MAGIC, ""}, // which is tried
		{unix.FUSE_SUPER_MAGIC, ""},
		{unix.OVERLAYFS_SUPER_MAGIC, ""},
		{1, ""}, // not known
	} {
		dir := t.TempDir()
		for _, at := range []string{dir, filepath.Join(dir, "not", "made", "yet")} {
			err := on(c.magic).Check(at)
			if c.want == "" {
				if err != nil {
					t.Errorf("%x: %v", c.magic, err)
				}
				continue
			}
			if unfit, ok := errors.AsType[*UnfitError](err); !ok || unfit.Dir != at || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%x: %v, want %q", c.magic, err, c.want)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%x: %v was made, %v", c.magic, left, err)
		}
	}
	cannot := System{Statfs: func(string, *unix.Statfs_t) error { return unix.ENOSYS }}
	if err := cannot.Check(t.TempDir()); !errors.Is(err, unix.ENOSYS) {
		t.Errorf("what cannot be asked: %v", err)
	}
}

// FUSE and overlay are many things, and the list of mounts says which.
func TestMounts(t *testing.T) {
	const list = `22 1 0:41 / /other rw - fuse.sshfs you@host:/ rw
23 1 0:42 / /data rw,relatime shared:1 - %s source rw%s
short line
`
	for _, c := range []struct {
		magic            uint32
		fstype, options  string
		network, discard bool
	}{
		{unix.FUSE_SUPER_MAGIC, "fuse.sshfs", "", true, false},
		{unix.FUSE_SUPER_MAGIC, "fuse.rclone", ",allow_other", true, false},
		{unix.FUSE_SUPER_MAGIC, "fuse.gocryptfs", "", false, false},
		{unix.FUSE_SUPER_MAGIC, "virtiofs", "", false, false},
		{unix.OVERLAYFS_SUPER_MAGIC, "overlay", ",lowerdir=/l,upperdir=/u", false, false},
		{unix.OVERLAYFS_SUPER_MAGIC, "overlay", ",upperdir=/u,volatile", false, true},
	} {
		s := on(c.magic)
		s.Mounts = func() ([]byte, error) { return fmt.Appendf(nil, list, c.fstype, c.options), nil }
		s.Device = func(string) (uint64, bool) { return unix.Mkdev(0, 42), true }
		kind, err := s.Of(t.TempDir())
		if err != nil || kind.Network != c.network || kind.Unsynced != c.discard {
			t.Errorf("%s%s is %+v, %v", c.fstype, c.options, kind, err)
		}
		if err := s.Check(t.TempDir()); (err != nil) != (c.network || c.discard) {
			t.Errorf("%s%s: %v", c.fstype, c.options, err)
		}
	}
}

// A file system that cannot map or lock is found by trying, and the file that was made for that is
// gone. A disk that is full, or where nothing may be written, is not called unfit.
func TestTry(t *testing.T) {
	fails := func(err error) func(*os.File) error { return func(*os.File) error { return err } }
	for name, c := range map[string]struct {
		system System
		want   string
	}{
		"this one":    {System{}, ""},
		"no maps":     {System{Map: fails(fmt.Errorf("mmap: %w", unix.ENODEV))}, "cannot be mapped into memory (mmap: no such device)"},
		"other bytes": {System{Map: fails(errChanged)}, "cannot be mapped into memory"},
		"no locks":    {System{Lock: fails(unix.ENOLCK)}, "cannot be locked"},
		"full":        {System{Map: fails(unix.ENOSPC)}, ""},
		"a fault":     {System{Map: fails(errFault)}, ""},
	} {
		dir := t.TempDir()
		err := c.system.Try(dir, "try.")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
	if err := (System{}).Try(filepath.Join(t.TempDir(), "gone"), "try."); err != nil {
		t.Errorf("where no file can be made: %v", err)
	}
}

// Memory that is mapped beyond the end of a file cannot be used, as on a full disk.
func TestFaultIsAnError(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mapped, err := unix.Mmap(int(f.Fd()), 0, triedBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	if err := change(mapped); !errors.Is(err, errFault) {
		t.Errorf("it gives %v", err)
	}
}
