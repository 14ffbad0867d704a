package backup_test

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/backup"
)

// A place that may not be listed is not taken for an empty one.
func TestUnlistedPlace(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o333))
	p, err := backup.OpenPlace(dir)
	must(t, err)
	// This thread has the rights of somebody else, and root has no more than others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	names, err := p.List(t.Context(), "")
	if e := unix.Setfsuid(os.Geteuid()); e != nil {
		t.Error(e)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Errorf("it lists %v: %v", names, err)
	}
}
