package store

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/internal/filesystem"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
)

// A directory on a file system that cannot hold the database is not locked, whoever asks: nothing is
// written there.
func TestLockOnUnfitFileSystem(t *testing.T) {
	for name, sys := range map[string]filesystem.System{
		"NFS":      {Statfs: func(_ string, st *unix.Statfs_t) error { st.Type = unix.NFS_SUPER_MAGIC; return nil }},
		"no maps":  {Map: func(*os.File) error { return unix.ENODEV }},
		"no locks": {Lock: func(*os.File) error { return unix.ENOLCK }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lock, err := lockOn(sys, dir)
			if err == nil {
				lock.Close()
				t.Fatal("it was locked")
			}
			if _, ok := errors.AsType[*filesystem.UnfitError](err); !ok {
				t.Errorf("error %v", err)
			}
			if h, ok := errors.AsType[*hint.Error](err); !ok || h.Hint != filesystem.Hint {
				t.Errorf("no hint in %v", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%v is there, %v", left, err)
			}
		})
	}
}
