package httpd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/pipe"
)

// pipeServer is a server with limits over pipes, for use in a bubble.
type pipeServer struct {
	*http.Server
	pipes *pipe.Listener
	done  sync.WaitGroup
}

func servePipes(t *testing.T, most int, h http.Handler) *pipeServer {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	limit := NewConnLimit(most, nil, log)
	s := &pipeServer{Server: NewServer(limit.Count(h), log), pipes: pipe.New()}
	s.ConnContext = limit.Context
	s.done.Go(func() {
		if err := s.Serve(limit.Listen(s.pipes)); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func (s *pipeServer) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := s.pipes.Dial(context.Background(), "", "")
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

// The server closes the connection of a client that stopped reading.
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
	l := NewConnLimit(100, nil, slog.New(slog.DiscardHandler))
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
	l := NewConnLimit(1, []*net.IPNet{proxy}, slog.New(slog.DiscardHandler))
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

// net/http ends its side of a connection before it closes one whose client still sends, so that
// the client can read the answer.
func TestOneSideCanEnd(t *testing.T) {
	inner, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l := NewConnLimit(1, nil, slog.New(slog.DiscardHandler)).Listen(inner)
	defer l.Close()
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	half, ok := server.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("it cannot")
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || len(got) > 0 {
		t.Errorf("the client reads %q, %v", got, err)
	}
	if _, err := client.Write([]byte("more")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 4)); err != nil {
		t.Errorf("the server reads no more: %v", err)
	}
}
