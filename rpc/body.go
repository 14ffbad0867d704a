package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/labstack/echo/v4"
)

const (
	// readLeast must come of a body within readStall of waiting for it: 1 KiB a second, slower
	// than any modem.
	readLeast  = 64 << 10
	readStall  = time.Minute
	bodyBuffer = 256 << 10
	// What a client still sends when its command has failed is thrown away for drainTime, up
	// to drainBytes: many clients read the answer only then.
	drainTime  = 2 * time.Second
	drainBytes = 64 << 20
)

// body is what a client sends. It may be of any size, if readLeast of it comes every readStall.
// What the server does meanwhile does not count. It ends with the call, whatever its client sends.
type body struct {
	r      io.ReadCloser
	conn   *http.ResponseController
	call   context.Context
	pace   *pace
	mu     sync.Mutex    // held while the deadline is set
	over   bool          // the end of the call is none of the body any more
	came   int           // bytes, since waited is counted
	waited time.Duration // for the client
}

// endWith makes reads end when the call does, until stop is called or all was read.
func (b *body) endWith(call context.Context) (stop func()) {
	b.call = call
	ignore := context.AfterFunc(call, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.over {
			_ = b.conn.SetReadDeadline(time.Now())
		}
	})
	return func() {
		ignore()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.over = true
	}
}

// wait sets the deadline of the next read, unless the call is over. The zero time is that there is none:
// in HTTP/2 one that passes ends the body, also while nobody reads it.
func (b *body) wait(until time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.call.Err(); err != nil {
		return err
	}
	_ = b.conn.SetReadDeadline(until) // there is none in a test without a connection
	return nil
}

// all says that all was read. From now on the server reads ahead, to notice a client that hangs up. If
// that read timed out, a command that waits for its pin would be ended.
func (b *body) all() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	_ = b.conn.SetReadDeadline(time.Time{})
}

func (b *body) Read(p []byte) (int, error) {
	start := time.Now()
	if err := b.wait(start.Add(readStall - b.waited)); err != nil {
		return 0, err
	}
	b.pace.wait()
	n, err := b.r.Read(p)
	b.pace.got(n)
	_ = b.wait(time.Time{}) // it fails if the call is over, which the next read tells
	b.waited += time.Since(start)
	if b.came += n; b.came >= readLeast {
		b.came, b.waited = 0, 0
	}
	switch {
	case errors.Is(err, io.EOF):
		b.all()
	case err != nil && b.call.Err() != nil:
		return n, b.call.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fail(http.StatusRequestTimeout, codeClient, "less than %d KiB of the body came in %v", readLeast>>10, readStall)
	}
	return n, err
}

func (b *body) Close() error { return b.r.Close() }

// files takes the body apart: files and directories as Kubo's clients send them. Errors name
// the argument.
func (q *call) files(arg string) (files.Directory, error) {
	r := q.out.c.Request()
	// The answer begins while the body is still being read.
	_ = q.out.conn.EnableFullDuplex() // it fails only for what can do that anyway, or in a test
	sent := &body{r: r.Body, conn: q.out.conn, pace: &q.out.pace}
	q.stop = sent.endWith(q.ctx)
	// The time that the server gives a whole request ends here: it may be long until the first read.
	if err := sent.wait(time.Time{}); err != nil {
		return nil, err
	}
	r.Body = sent
	media, given, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || media != echo.MIMEMultipartForm {
		return nil, refuse("file argument '%s' is required: as multipart/form-data", arg)
	}
	if given["boundary"] == "" {
		return nil, refuse("the body cannot be read: %v", http.ErrMissingBoundary)
	}
	// The parser reads 4 KiB at a time.
	between := &betweenFiles{r: bufio.NewReaderSize(newPartHeaders(r.Body, given["boundary"]), bodyBuffer)}
	d, err := files.NewFileFromPartReader(multipart.NewReader(between, given["boundary"]), media)
	if err != nil {
		return nil, refuse("the body cannot be read: %v", err)
	}
	return between.of(d), nil
}

// drained throws away what is left of a body when the answer is written, which is sent first.
func drained(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// What a command reads moves the deadline on. This is below it.
		r := c.Request()
		in := &ended{ReadCloser: r.Body}
		// The server looks at its own body when the answer ends: what was not read of it is not
		// the next request.
		defer func(own io.ReadCloser) { r.Body = own }(r.Body)
		r.Body = in
		c.Response().Before(func() {
			if !in.whole && c.Response().Status >= http.StatusBadRequest { // the rest may never come, or late
				c.Response().Header().Set(echo.HeaderConnection, "close")
			}
		})
		err := next(c)
		if in.whole {
			return err
		}
		conn := http.NewResponseController(c.Response())
		// Before the answer: without full duplex some of the body is read before it is sent.
		_ = conn.EnableFullDuplex()
		if endBehind(c, conn) || in.all {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(drainTime))
		_ = conn.Flush()
		_, _ = io.CopyN(io.Discard, in, drainBytes)
		if !in.whole {
			endEarly(c, conn)
		}
		return err
	}
}

// endEarly ends an answer that has begun as a good one, and with it the connection: net/http would
// read what the client still sends of the body as its next request.
func endEarly(c echo.Context, conn *http.ResponseController) {
	if !c.Response().Committed || c.Response().Status >= http.StatusBadRequest || c.Request().ProtoMajor != 1 {
		return // it says that the connection is closed, or need not
	}
	over, rw, err := conn.Hijack()
	if err != nil {
		return
	}
	defer over.Close() // nobody is left to tell of an error
	if over.SetDeadline(time.Now().Add(drainTime)) != nil {
		return
	}
	if c.Request().ProtoAtLeast(1, 1) && c.Response().Header().Get(echo.HeaderContentLength) == "" {
		fmt.Fprint(rw, "0\r\n\r\n")
	}
	_ = rw.Flush()
}

// endBehind ends an answer that has begun and whose error is in the trailer. It sends that at
// once, and then throws away what the client still sends. net/http would reset the connection
// soon after a trailer, and a client that goes on sending would lose it. ended is false for other
// answers, and in HTTP/2, where what a client sends is no matter.
func endBehind(c echo.Context, conn *http.ResponseController) (ended bool) {
	behind := c.Response().Header().Get(headerStreamError)
	if behind == "" || !c.Response().Committed || c.Request().ProtoMajor != 1 || conn.Flush() != nil {
		return false
	}
	over, rw, err := conn.Hijack()
	if err != nil {
		return false
	}
	defer over.Close() // nobody is left to tell of an error
	if over.SetDeadline(time.Now().Add(drainTime)) != nil {
		return true
	}
	fmt.Fprintf(rw, "0\r\n%s: %s\r\n\r\n", headerStreamError, behind)
	if rw.Flush() != nil {
		return true
	}
	if half, ok := over.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return true
	}
	_, _ = io.CopyN(io.Discard, rw, drainBytes)
	return true
}

// ended is a body that knows whether all of it was read, or nothing more can be.
type ended struct {
	io.ReadCloser
	all   bool
	whole bool // all of it was read
}

func (e *ended) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err != nil {
		e.all, e.whole = true, errors.Is(err, io.EOF)
	}
	return n, err
}
