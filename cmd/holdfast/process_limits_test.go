package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

// The server logs its limits in one line, and may open as many files as the system allows.
func TestLimitsAreLogged(t *testing.T) {
	var hard syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &hard); err != nil {
		t.Fatal(err)
	}
	s := &server{data: t.TempDir(), log: new(logtest.Lines)}
	s.Cmd = holdfastCmd(t, s.data, "serve")
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	s.Path, s.Args = sh, append([]string{"sh", "-c", `ulimit -S -n 256 && exec "$0" "$@"`, s.Path}, s.Args[1:]...)
	s.Env = append(s.Env, "HOLDFAST_NODE_PROFILE=small", "GOMEMLIMIT=300MiB")
	s.Stderr = s.log
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill(); s.Wait() })
	awaitReady(t, s.data, s.Process.Pid)
	line := regexp.MustCompile(`(?m)^.*msg=limits .*$`).FindAllString(s.log.String(), -1)
	if len(line) != 1 {
		t.Fatalf("the limits are logged %d times:\n%s", len(line), s.log)
	}
	for _, want := range []string{
		"profile=small", `heap_limit="300 MiB"`, "peers=96", "pin_workers=4", "memory=",
	} {
		if !strings.Contains(line[0], want) {
			t.Errorf("the line has no %s:\n%s", want, line[0])
		}
	}
	// Go raises the limit to the hard limit, or to one less.
	var files uint64
	if m := regexp.MustCompile(`open_files=(\d+)`).FindStringSubmatch(line[0]); m == nil {
		t.Errorf("the line has no open_files:\n%s", line[0])
	} else if fmt.Sscan(m[1], &files); files+1 < uint64(hard.Max) { // it has a sign on FreeBSD
		t.Errorf("%d files may be open, and %d could be", files, hard.Max)
	}
}
