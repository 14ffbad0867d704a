package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

// A command whose server is stopped says what it waits for, and goes on when
// the server does.
func TestStoppedServerIsToldOf(t *testing.T) {
	s := startServer(t)
	s.signal(t, syscall.SIGSTOP)
	var errs, out logtest.Lines
	cmd := holdfastCmd(t, s.data, "user", "ls")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	errs.Await(t, "\n")
	if want := fmt.Sprintf("holdfast: waiting for the server on %s, process %d, to answer\n", s.data, s.Process.Pid); errs.String() != want {
		t.Errorf("it says %q, want %q", &errs, want)
	}

	// One that is interrupted meanwhile says that.
	var said logtest.Lines
	other := holdfastCmd(t, s.data, "user", "ls")
	other.Stderr = &said
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	said.Await(t, "to answer\n")
	if err := other.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); other.ProcessState.ExitCode() != 130 || !strings.HasSuffix(said.String(), "to answer\nholdfast: error: interrupted\n") {
		t.Errorf("interrupted, it ends with %v and %q", err, &said)
	}

	s.signal(t, syscall.SIGCONT)
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(out.String(), "EMAIL ") {
		t.Errorf("then it ends with %v and %q", err, &out)
	}
}

// Nothing is drawn on a terminal without room.
func TestCanDraw(t *testing.T) {
	if canDraw(new(logtest.Lines)) {
		t.Error("a buffer can be drawn on")
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if canDraw(f) {
		t.Error("a file can be drawn on")
	}
}
