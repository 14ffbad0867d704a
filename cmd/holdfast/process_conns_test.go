package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// base is the base URL of a server in a process of its own.
func (s *server) base(t *testing.T) string {
	t.Helper()
	run, ok := datadir.ReadRunFile(filepath.Join(s.data, datadir.RunFileName))
	if !ok {
		t.Fatal("no server runs")
	}
	return run.HTTP
}

// stillServes fails unless new clients get answers. It allows much time, since the test keeps
// the machine busy too.
func (s *server) stillServes(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	const tries = 3
	for range 20 {
		var answer *http.Response
		var err error
		for range tries {
			if answer, err = client.Get(s.base(t) + "/healthz"); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("the server does not serve any more: %v\n%s", err, s.log)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("healthz answers %s", answer.Status)
		}
	}
}

// needFiles fails if this process may not open that many.
func needFiles(t *testing.T, n uint64) {
	t.Helper()
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if uint64(files.Cur) < n { // it has a sign on FreeBSD
		t.Fatalf("this test opens %d connections, and the process may open %d files: raise the hard limit (ulimit -Hn)", n, files.Cur)
	}
}

// openMany opens connections, each of which sends something and then waits.
func openMany(t *testing.T, base string, n int, say func(i int) string) {
	t.Helper()
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	dialer := net.Dialer{Timeout: logtest.Patience}
	for i := range n {
		conn, err := dialer.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, conn)
		if _, err := io.WriteString(conn, say(i)); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}

func TestTenThousandIdleConnections(t *testing.T) {
	const many = 10_000
	needFiles(t, many+1000)
	s := startServer(t)
	openMany(t, s.base(t), many, func(i int) string {
		// Half of them send nothing, half are idle after a request.
		return []string{"", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"}[i%2]
	})
	s.stillServes(t)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if most := config.Default().HTTP.MaxConnections + 200; len(fds) > most {
		t.Errorf("the server has %d files open, want %d at most", len(fds), most)
	}
	if n := strings.Count(s.log.String(), "are closed to make room"); n != 1 {
		t.Errorf("it was logged %d times that there are many:\n%s", n, s.log)
	}
}

// Like slowloris: connections that are always in the middle of a header.
func TestSlowlorisDoesNotStopTheServer(t *testing.T) {
	needFiles(t, 6000)
	s := startServer(t)
	openMany(t, s.base(t), 5000, func(int) string { return "GET /healthz HTTP/1.1\r\nHost: x\r\nX-a: " })
	s.stillServes(t)
}

func TestLargeHeadersDoNotStopTheServer(t *testing.T) {
	s := startServer(t)
	for _, header := range []string{
		"X-Large: " + strings.Repeat("x", 1<<20) + "\r\n",
		"Authorization: Bearer " + strings.Repeat("eyJ", 1<<20/3) + "\r\n",
		strings.Repeat("X-Many: x\r\n", 1<<20/11),
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.base(t), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var sent sync.WaitGroup
		sent.Go(func() { // an error is the server's hanging up in the middle of it
			io.WriteString(conn, "GET /api/psa/pins HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
		})
		if err := conn.SetReadDeadline(time.Now().Add(logtest.Patience)); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		// The answer may be lost when the server hangs up on what is still sent.
		if err == nil && answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a header of 1 MB is answered %s", answer.Status)
		}
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			t.Error("a header of 1 MB is not answered")
		}
		conn.Close()
		sent.Wait()
	}
	s.stillServes(t)
}
