package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

func TestRoomForFiles(t *testing.T) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if err := roomForFiles(openFilesDir, uint64(len(open))+1000); err != nil {
		t.Errorf("with many left: %v", err)
	}
	if err := roomForFiles(openFilesDir, uint64(len(open))); err == nil {
		t.Error("with none left it is fine")
	}
}

// If the open files cannot be counted, that is logged once, and the server stays ready.
func TestFilesThatCannotBeCounted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no directory")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := roomForFiles(file, 1<<20)
	if _, ok := errors.AsType[*uncountedError](err); !ok || !errors.Is(err, syscall.ENOTDIR) {
		t.Fatalf("it gives %v", err)
	}
	var lines logtest.Buffer
	p := &Program{filesLimit: 1, Log: NewLogger(&lines, config.Log{Level: "info", Format: "text"})}
	for range 3 {
		if err := p.openable(file); err != nil {
			t.Errorf("the server is not ready: %v", err)
		}
	}
	if n := strings.Count(lines.String(), "the open files cannot be counted"); n != 1 {
		t.Errorf("it is logged %d times:\n%s", n, &lines)
	}
	if err := p.openable(openFilesDir); err == nil {
		t.Error("too many are open, and nothing is wrong")
	}
}
