package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// server is a `holdfast serve` in a process of its own.
type server struct {
	*exec.Cmd
	data string
	log  *logtest.Lines
}

func startServer(t *testing.T, env ...string) *server {
	t.Helper()
	s := &server{data: t.TempDir(), log: new(logtest.Lines)}
	s.Cmd = holdfastCmd(t, s.data, "serve")
	s.Env = append(s.Env, env...)
	s.Stderr = s.log
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after Wait there is nothing to kill, and both fail
		s.Process.Kill()
		s.Wait()
	})
	awaitReady(t, s.data, s.Process.Pid)
	return s
}

// hang begins a request that never ends.
func (s *server) hang(t *testing.T) {
	t.Helper()
	run, _ := datadir.ReadRunFile(filepath.Join(s.data, datadir.RunFileName))
	conn, err := net.Dial("tcp", strings.TrimPrefix(run.HTTP, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, err = fmt.Fprint(conn, "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	// Once the server asks for the body, it handles the request.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// The server reports to systemd that it is ready, that it is well, and that it stops.
func TestSystemdIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := socket.SetReadDeadline(time.Now().Add(logtest.Patience)); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		b := make([]byte, 1000)
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	s := startServer(t, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=200000")
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := read(); got != want {
			t.Fatalf("systemd is told %q, want %q", got, want)
		}
	}
	s.signal(t, syscall.SIGTERM)
	got := read()
	for got == "WATCHDOG=1" {
		got = read()
	}
	if got != "STOPPING=1" {
		t.Errorf("systemd is told %q at the end", got)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("serve: %v\n%s", err, s.log)
	}
}

// A slow client does not keep the server from stopping.
func TestStopsInTime(t *testing.T) {
	s := startServer(t)
	s.hang(t)
	start := time.Now()
	s.signal(t, syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		t.Errorf("serve: %v\n%s", err, s.log)
	}
	if took := time.Since(start); took > daemon.StopTimeout {
		t.Errorf("it took %v to stop", took)
	}
	if !strings.Contains(s.log.String(), "HTTP requests did not end in time and were cut off") {
		t.Errorf("the request was not cut off:\n%s", s.log)
	}
}

func TestSecondSignalEndsItAtOnce(t *testing.T) {
	s := startServer(t)
	s.hang(t)
	s.signal(t, syscall.SIGINT)
	s.log.Await(t, "stopping")
	s.signal(t, syscall.SIGINT)
	exit, ok := errors.AsType[*exec.ExitError](s.Wait())
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v\n%s", exit, s.log)
	}
	if strings.Contains(s.log.String(), "cut off") {
		t.Error("it stopped in the usual way")
	}
}

// A terminal that closes stops the server as a signal does, however often it says so. Under nohup
// the server goes on.
func TestHangUp(t *testing.T) {
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP) // the tests themselves may run under nohup
	defer signal.Stop(hangUps)
	s := startServer(t)
	s.hang(t)
	s.signal(t, syscall.SIGHUP)
	s.log.Await(t, "stopping")
	s.signal(t, syscall.SIGHUP)
	if err := s.Wait(); err != nil {
		t.Errorf("serve: %v\n%s", err, s.log)
	}
	if _, err := os.Stat(filepath.Join(s.data, datadir.RunFileName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its file says that it runs: %v", err)
	}

	signal.Ignore(syscall.SIGHUP)
	s = startServer(t)
	signal.Reset(syscall.SIGHUP)
	s.signal(t, syscall.SIGHUP)
	s.signal(t, syscall.SIGTERM)
	s.log.Await(t, "stopping")
	if err := s.Wait(); err != nil {
		t.Errorf("under nohup: %v\n%s", err, s.log)
	}
}
