package main

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
	d, err := openDataDir(t.TempDir(), false, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, want := d.socket("s"), filepath.Join(d.shown, "s"); got != want {
		t.Errorf("a short one is %s, want %s", got, want)
	}
	d.open = "/" + strings.Repeat("x", 105) // with "/s" 108 bytes
	if got := d.socket("s"); len(got) > maxSocketPath || !strings.HasPrefix(got, "/proc/self/fd/") {
		t.Errorf("a long one is %s", got)
	}
	d.open = d.open[:105]
	if got := d.socket("s"); len(got) != maxSocketPath || strings.HasPrefix(got, "/proc") {
		t.Errorf("one of %d bytes is %s", maxSocketPath, got)
	}
}

func TestRunFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), runFileName)
	if r, ok := readRunFile(path); ok {
		t.Errorf("read %+v where there is none", r)
	}
	if err := writeRunFile(path, RunFile{PID: os.Getpid(), HTTP: "http://127.0.0.1:1", PeerID: "x"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"pid":%d,"http":"http://127.0.0.1:1","peer_id":"x","addrs":[]}`+"\n", os.Getpid()); string(b) != want {
		t.Errorf("it holds %s, want %s", b, want)
	}
	if _, ok := readRunFile(path); !ok {
		t.Error("it counts as that of a dead process")
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := writeRunFile(path, RunFile{PID: dead.Process.Pid}); err != nil {
		t.Fatal(err)
	}
	if _, ok := readRunFile(path); ok {
		t.Error("that of a dead process counts")
	}
}
