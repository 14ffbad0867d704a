package datadir

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketPathIsShort(t *testing.T) {
	d, err := Open(t.TempDir(), false, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, want := d.Socket("s"), filepath.Join(d.Shown, "s"); got != want {
		t.Errorf("a short one is %s, want %s", got, want)
	}
	d.Open = "/" + strings.Repeat("x", 105) // with "/s" 108 bytes
	if got := d.Socket("s"); len(got) > maxSocketPath || !strings.HasPrefix(got, "/proc/self/fd/") {
		t.Errorf("a long one is %s", got)
	}
	d.Open = d.Open[:105]
	if got := d.Socket("s"); len(got) != maxSocketPath || strings.HasPrefix(got, "/proc") {
		t.Errorf("one of %d bytes is %s", maxSocketPath, got)
	}
}

func TestRunFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), RunFileName)
	if r, ok := ReadRunFile(path); ok {
		t.Errorf("read %+v where there is none", r)
	}
	if err := WriteRunFile(path, RunFile{PID: os.Getpid(), HTTP: "http://127.0.0.1:1", PeerID: "x"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"pid":%d,"http":"http://127.0.0.1:1","peer_id":"x","addrs":[]}`+"\n", os.Getpid()); string(b) != want {
		t.Errorf("it holds %s, want %s", b, want)
	}
	if _, ok := ReadRunFile(path); !ok {
		t.Error("it counts as that of a dead process")
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := WriteRunFile(path, RunFile{PID: dead.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	if _, ok := ReadRunFile(path); ok {
		t.Error("that of a dead process counts")
	}
}
