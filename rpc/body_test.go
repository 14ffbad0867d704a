package rpc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/internal/pipe"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// A client that sends nothing of its body is answered all the same, if the command needs
// nothing of it.
func TestAnswerDoesNotWaitForTheBody(t *testing.T) {
	w := newWorld(t)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /api/v0/add?pin=false HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"+
		"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n")
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil { // so that the test ends
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(got), "an account keeps what it has pinned") {
		t.Errorf("the answer is %d %s, %v", res.StatusCode, got, err)
	}
	// Its end must not come after what the client still sends, which may be cut off.
	if res.ContentLength != int64(len(got)) {
		t.Errorf("the length that it says is %d", res.ContentLength)
	}
	// The connection is closed: what would come next is unknown.
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the answer comes %q, %v", rest, err)
	}
}

// A call that ends while its client sends nothing, as when its token is revoked, is answered at
// once. What comes of the body after that is not read as a request.
func TestCallEndsInTheMiddleOfItsBody(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{"add?timeout=200ms", "add?only-hash=true&timeout=200ms", "dag/import?timeout=200ms"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST /api/v0/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"+
			"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"+
			"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: application/octet-stream\r\n\r\nsome of it", query)
		if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil { // so that the test ends
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusBadRequest || !strings.Contains(string(got), "deadline exceeded") {
			t.Errorf("%s is answered %d %s, %v", query, res.StatusCode, got, err)
		}
		fmt.Fprint(conn, "POST /api/v0/id HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bob\r\n\r\n")
		if rest, _ := io.ReadAll(in); len(rest) > 0 { // the connection may be reset
			t.Errorf("after %s comes %q", query, rest)
		}
	}
}

// What is left of a body after the answer is not read as a request.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	e := echo.New()
	e.POST("/", func(c echo.Context) error {
		c.Response().WriteHeader(http.StatusOK) // and an error would come as a trailer
		return nil
	}, drained)
	server := httptest.NewServer(e)
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // until the connection is closed
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		line := strings.Repeat("x", 1<<10-2)
		for range drainBytes>>10 + 1<<10 {
			if _, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(line), line); err != nil {
				return
			}
		}
	}()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // so that the test ends
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if _, isNet := errors.AsType[net.Error](err); err != nil && (!isNet || errors.Is(err, os.ErrDeadlineExceeded)) {
		t.Error(err)
	}
	if n := strings.Count(string(got), "HTTP/1.1 "); n != 1 {
		t.Errorf("%d answers come: %s", n, got)
	}
}

// Nor is what comes of it late.
func TestLateRestOfABodyIsNoRequest(t *testing.T) {
	w := newWorld(t)
	w.onGet = becomes(pin.Pinned, "")
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil { // so that the test ends
		t.Fatal(err)
	}
	// The form ends, and the body does not.
	fmt.Fprint(conn, "POST /api/v0/add HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"+
		"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"+
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nContent-Type: application/octet-stream\r\n\r\nall of it\r\n--b--\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(got), "Hash") {
		t.Errorf("it is answered %d %s, %v", res.StatusCode, got, err)
	}
	fmt.Fprint(conn, "POST /api/v0/id HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bob\r\n\r\n")
	if rest, _ := io.ReadAll(in); len(rest) > 0 { // the connection may be reset
		t.Errorf("after the answer comes %q", rest)
	}
}

// A client that trickles is let go of in time.
func TestDrainingHasOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &trickle{t: t, ResponseWriter: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
		r.Body = b
		c := echo.New().NewContext(r, b)
		start := time.Now()
		err := drained(func(c echo.Context) error {
			r := c.Request()
			r.Body = &body{r: r.Body, conn: http.NewResponseController(c.Response()), call: r.Context(), pace: new(pace)}
			if _, err := r.Body.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			b.answered = true
			return c.NoContent(http.StatusBadRequest)
		})(c)
		if err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 2*drainTime {
			t.Errorf("it took %v", took)
		}
	})
}

// trickle is a connection on which something of a body comes every 300 milliseconds.
type trickle struct {
	t *testing.T
	http.ResponseWriter
	answered bool
	flushed  bool
	deadline time.Time
	reads    int
}

func (b *trickle) SetReadDeadline(d time.Time) error {
	b.deadline = d
	return nil
}

func (b *trickle) FlushError() error {
	b.flushed = true
	return nil
}

func (b *trickle) Read(p []byte) (int, error) {
	if b.answered && !b.flushed {
		b.t.Error("it waits for the body before it sends the answer")
	}
	if b.reads++; b.reads > 2000 {
		b.t.Fatal("it is read without an end")
	}
	time.Sleep(300 * time.Millisecond)
	if time.Now().After(b.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

func (b *trickle) Close() error { return nil }

// A body that comes too slowly ends; what the server does between reads does not count, and
// neither does how long the whole body takes.
func TestLeastRateOfABody(t *testing.T) {
	for _, test := range []struct {
		piece       int           // of each 300 ms
		pause       time.Duration // of the server, before each read
		reads, want int           // want is how many are good
	}{
		{piece: 1, reads: 500, want: 200},
		{piece: 1, pause: time.Hour, reads: 150, want: 150},
		{piece: 1 << 10, reads: 1000, want: 1000},
		{piece: 1 << 10, pause: 2 * readStall, reads: 1000, want: 1000},
	} {
		synctest.Test(t, func(t *testing.T) {
			in := &trickle{t: t, ResponseWriter: httptest.NewRecorder()}
			b := &body{r: in, conn: http.NewResponseController(in), call: t.Context(), pace: new(pace)}
			good := 0
			for ; good < test.reads; good++ {
				time.Sleep(test.pause)
				if _, err := b.Read(make([]byte, test.piece)); err != nil {
					break
				}
			}
			if good > test.want || good < test.want-1 {
				t.Errorf("%+v: %d reads are good", test, good)
			}
		})
	}
}

// lastDeadline notes the deadline that was set.
type lastDeadline struct {
	http.ResponseWriter
	last time.Time
	set  bool
}

func (d *lastDeadline) SetReadDeadline(t time.Time) error {
	d.last, d.set = t, true
	return nil
}

// A read leaves no deadline: the command may take long until the next one, and after the end.
func TestBodyLeavesNoDeadline(t *testing.T) {
	var d lastDeadline
	b := &body{r: underDeadline{strings.NewReader("all of it"), &d}, conn: http.NewResponseController(&d), call: t.Context(), pace: new(pace)}
	if _, err := b.Read(make([]byte, 3)); err != nil || !d.set || !d.last.IsZero() {
		t.Fatalf("between two reads the deadline is %v, %v", d.last, err)
	}
	if _, err := io.Copy(io.Discard, b); err != nil || !d.last.IsZero() {
		t.Errorf("after its end the deadline is %v, %v", d.last, err)
	}
}

// underDeadline is a body that fails if it is read without a deadline.
type underDeadline struct {
	io.Reader
	d *lastDeadline
}

func (u underDeadline) Read(p []byte) (int, error) {
	if u.d.last.IsZero() {
		return 0, errors.New("it is read without a deadline")
	}
	return u.Reader.Read(p)
}

func (underDeadline) Close() error { return nil }

// An error behind an answer that has begun reaches a client that goes on sending: it comes before
// the rest of the body is waited for, and the connection stays open for that.
func TestTrailerDoesNotWaitForTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := echo.New()
		e.POST("/", func(c echo.Context) error {
			if _, err := c.Request().Body.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			if _, err := io.WriteString(newWriter(c, true).raw("text/plain", -1), "begun"); err != nil {
				t.Error(err)
			}
			tellBehind(c, "it broke")
			return nil
		}, drained)
		l := pipe.New()
		server := &http.Server{Handler: e}
		go server.Serve(l)
		defer server.Close()
		conn, err := l.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		const size = 10 << 20
		start := time.Now()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n1", size)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		if err != nil || string(got) != "begun" || res.Trailer.Get(headerStreamError) != "it broke" {
			t.Errorf("%q came, with the trailer %v, %v", got, res.Trailer, err)
		}
		if took := time.Since(start); took >= drainTime {
			t.Errorf("it took %v", took)
		}
		if _, err := conn.Write(make([]byte, size-1)); err != nil {
			t.Errorf("the rest cannot be sent: %v", err)
		}
		time.Sleep(2 * drainTime)
		if _, err := conn.Write([]byte("x")); err == nil {
			t.Error("the connection stays open")
		}
	})
}
