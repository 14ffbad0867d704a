package datadir

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/internal/filesystem"
)

// No directory is made on a file system that cannot hold the data.
func TestNoDirectoryOnANetwork(t *testing.T) {
	above := t.TempDir()
	nfs := filesystem.System{Statfs: func(_ string, st *unix.Statfs_t) error { st.Type = unix.NFS_SUPER_MAGIC; return nil }}
	_, err := openOn(nfs, filepath.Join(above, "new", "data"), true, io.Discard)
	if _, ok := errors.AsType[*filesystem.UnfitError](err); !ok {
		t.Errorf("error %v", err)
	}
	if left, err := os.ReadDir(above); err != nil || len(left) > 0 {
		t.Errorf("%v was made, %v", left, err)
	}
}
