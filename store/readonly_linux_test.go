package store

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadOnlyDirectory(t *testing.T) {
	parent, err := os.MkdirTemp("", "holdfast") // that others may enter
	must(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	must(t, os.Chmod(parent, 0o755))
	dir := filepath.Join(parent, "data")
	must(t, os.Mkdir(dir, 0o555))
	before := contents(t, dir)
	done := make(chan error)
	go func() {
		if os.Geteuid() == 0 { // who may write everywhere
			runtime.LockOSThread() // and the thread ends with the goroutine
			if err := unix.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		_, err := Lock(dir)
		done <- err
	}()
	if err := <-done; !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "cannot be written to") {
		t.Errorf("error %v", err)
	}
	if after := contents(t, dir); !maps.Equal(before, after) {
		t.Errorf("touched:\n%v\n%v", before, after)
	}
}
