package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipeServer is a server with its bounds over pipes, for use in a bubble.
type pipeServer struct {
	*http.Server
	pipes *pipeListener
	done  sync.WaitGroup
}

func servePipes(t *testing.T, most int, h http.Handler) *pipeServer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	limit := newConnLimit(most, nil, log)
	s := &pipeServer{Server: newHTTPServer(limit.count(h), log), pipes: newPipeListener()}
	s.ConnContext = limit.context
	s.done.Go(func() {
		if err := s.Serve(limit.listen(s.pipes)); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func (s *pipeServer) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := s.pipes.dial(context.Background(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (s *pipeServer) close(t *testing.T) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	s.done.Wait()
}

const hello = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

// longAnswer is what the server of these tests gives to a GET.
var longAnswer = bytes.Repeat([]byte("x"), 1<<20)

func answerLong(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	if r.Method == http.MethodGet {
		w.Write(longAnswer)
	}
}

// untilCut does something until the server has hung up, and says when that was.
func untilCut(conn net.Conn, do func() error) time.Duration {
	began := time.Now()
	for do() == nil {
	}
	conn.Close()
	return time.Since(began)
}

func TestSlowClientsAreCutOff(t *testing.T) {
	write := func(conn net.Conn, s string) error {
		_, err := io.WriteString(conn, s)
		return err
	}
	dribble := func(conn net.Conn) func() error {
		return func() error {
			time.Sleep(time.Second)
			return write(conn, "x")
		}
	}
	silent := func(conn net.Conn) func() error {
		return func() error {
			_, err := conn.Read(make([]byte, 1))
			return err
		}
	}
	for _, tt := range []struct {
		name   string
		say    string
		then   func(net.Conn) func() error
		within time.Duration
	}{
		{"says nothing", "", silent, readHeaderTimeout},
		{"never ends its header", "GET / HTTP/1.1\r\nX-Slow: ", dribble, readHeaderTimeout},
		{"never ends its body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", dribble, readTimeout + writeStall},
		{"never reads its answer", hello, func(net.Conn) func() error {
			return func() error { time.Sleep(2 * writeStall); return io.EOF }
		}, 2 * writeStall},
		{"says nothing more", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", silent, idleTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := servePipes(t, 10, http.HandlerFunc(answerLong))
				defer s.close(t)
				conn := s.dial(t)
				if err := write(conn, tt.say); err != nil {
					t.Fatal(err)
				}
				took := untilCut(conn, tt.then(conn))
				if took > tt.within+time.Second {
					t.Errorf("it was cut off after %v, want %v at most", took, tt.within)
				}
			})
		})
	}
}

// A client that stopped reading is cut off by the server, and not only left.
func TestStalledAnswerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Duration, 1)
		s := servePipes(t, 10, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			began := time.Now()
			if _, err := w.Write(longAnswer); err == nil {
				t.Error("the answer was taken")
			}
			ended <- time.Since(began)
		}))
		defer s.close(t)
		conn := s.dial(t)
		defer conn.Close()
		if _, err := io.WriteString(conn, hello); err != nil {
			t.Fatal(err)
		}
		if took := <-ended; took != writeStall {
			t.Errorf("it ended after %v, want %v", took, writeStall)
		}
	})
}

// A long answer over a slow line is not cut off while it is being read.
func TestSlowReaderGetsItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := servePipes(t, 10, http.HandlerFunc(answerLong))
		defer s.close(t)
		conn := s.dial(t)
		defer conn.Close()
		if _, err := io.WriteString(conn, hello); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		slow := bufio.NewReader(readerFunc(func(b []byte) (int, error) {
			time.Sleep(time.Second)
			return conn.Read(b[:min(len(b), 4<<10)])
		}))
		answer, err := http.ReadResponse(slow, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || !bytes.Equal(body, longAnswer) {
			t.Errorf("got %d bytes of %d: %v", len(body), len(longAnswer), err)
		}
		if took := time.Since(began); took < 4*writeStall {
			t.Errorf("the line was not slow: it took %v", took)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// isOpen asks for something over a connection that is kept alive.
func isOpen(conn net.Conn) bool {
	if _, err := io.WriteString(conn, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	return err == nil && answer.StatusCode == http.StatusOK
}

func TestIdleConnectionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := servePipes(t, 3, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				<-release
			}
		}))
		defer s.close(t)
		busy := s.dial(t)
		if _, err := io.WriteString(busy, "POST / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var idle []net.Conn
		for range 4 {
			time.Sleep(time.Second)
			conn := s.dial(t)
			if !isOpen(conn) {
				t.Fatal("a new connection is not served")
			}
			idle = append(idle, conn)
		}
		// One of three is busy, and so two are left for the four.
		var open []bool
		for _, conn := range idle {
			open = append(open, isOpen(conn))
			conn.Close()
		}
		if want := []bool{false, false, true, true}; !slices.Equal(open, want) {
			t.Errorf("connections that are open, oldest first: %v, want %v", open, want)
		}
		close(release)
		if answer, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("the request that was being answered: %v", err)
		}
		busy.Close()
	})
}

// With nothing to close, a new connection waits until one is.
func TestBusyConnectionsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := servePipes(t, 2, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				<-release
			}
		}))
		defer s.close(t)
		var busy []net.Conn
		for range 2 {
			conn := s.dial(t)
			if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			busy = append(busy, conn)
		}
		var served bool
		var waits sync.WaitGroup
		waits.Go(func() {
			conn := s.dial(t)
			served = isOpen(conn)
			conn.Close()
		})
		synctest.Wait()
		if served {
			t.Error("there was a third connection")
		}
		release <- struct{}{}
		waits.Wait()
		if !served {
			t.Error("the third connection was not served in the end")
		}
		close(release)
		for _, conn := range busy {
			conn.Close()
		}
	})
}

// A client that never ends its bodies does not keep others out.
func TestUnreadBodiesMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := servePipes(t, 3, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // an error is that it was cut off
		}))
		defer s.close(t)
		for range 3 {
			conn := s.dial(t)
			defer conn.Close()
			if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		began := time.Now()
		conn := s.dial(t)
		defer conn.Close()
		if !isOpen(conn) {
			t.Fatal("a new connection is not served")
		}
		if took := time.Since(began); took > bodyGrace {
			t.Errorf("a new connection waited for %v, want %v at most", took, bodyGrace)
		}
	})
}

func TestFloodPushesOutItself(t *testing.T) {
	l := newConnLimit(100, nil, slog.New(slog.DiscardHandler))
	began := time.Now()
	for i := range 90 {
		l.conns[&limitedConn{from: "flood", since: began.Add(time.Duration(i))}] = struct{}{}
	}
	quiet := &limitedConn{from: "quiet", since: began.Add(-time.Hour)}
	busy := &limitedConn{from: "flood", since: began.Add(-time.Hour), serving: 1}
	l.conns[quiet], l.conns[busy] = struct{}{}, struct{}{}
	gone := l.victims(89, began)
	if len(gone) != 89 {
		t.Fatalf("%d are to go, want 89", len(gone))
	}
	for i, c := range gone {
		if c == quiet || c == busy {
			t.Errorf("number %d to go is of %s, serving %d", i, c.from, c.serving)
		}
		if i > 0 && c.since.Before(gone[i-1].since) {
			t.Errorf("number %d to go was idle for longer than the one before", i)
		}
	}
}

func TestWhatCountsAsOneClient(t *testing.T) {
	_, proxy, err := net.ParseCIDR("10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	l := newConnLimit(1, []*net.IPNet{proxy}, slog.New(slog.DiscardHandler))
	for _, tt := range []struct{ ip, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		{"10.1.2.3", "10.1.2.3:9"},
	} {
		if got := l.client(&net.TCPAddr{IP: net.ParseIP(tt.ip), Port: 9}); got != tt.want {
			t.Errorf("a connection from %s counts as of %s, want %s", tt.ip, got, tt.want)
		}
	}
}

// base is where a server of its own process is.
func (s *server) base(t *testing.T) string {
	t.Helper()
	run, ok := readRunFile(filepath.Join(s.data, runFileName))
	if !ok {
		t.Fatal("no server runs")
	}
	return run.HTTP
}

// stillServes fails unless new clients get answers. How soon is not what it is
// about: the machine is busy with the test too.
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
	if files.Cur < n {
		t.Fatalf("this test opens %d connections, and the process may open %d files: raise the hard limit (ulimit -Hn)", n, files.Cur)
	}
}

// openMany opens connections that each say something and then wait.
func openMany(t *testing.T, base string, n int, say func(i int) string) {
	t.Helper()
	var conns []net.Conn
	t.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	dialer := net.Dialer{Timeout: patience}
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
		// Half of them say nothing, half are idle after a request.
		return []string{"", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"}[i%2]
	})
	s.stillServes(t)
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if most := DefaultConfig().HTTP.MaxConnections + 200; len(fds) > most {
		t.Errorf("the server has %d files open, want %d at most", len(fds), most)
	}
	if n := strings.Count(s.log.String(), "are closed to make room"); n != 1 {
		t.Errorf("it was logged %d times that there are many:\n%s", n, s.log)
	}
}

// As slowloris does: connections that are always in the middle of a header.
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
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
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
