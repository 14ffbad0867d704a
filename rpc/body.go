package rpc

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/labstack/echo/v4"
)

const (
	// readStall is how long a client may send nothing of a body, and readCheck how often the
	// deadline is moved on while it sends something.
	readStall  = time.Minute
	readCheck  = time.Second
	bodyBuffer = 256 << 10
	// What a client still sends when its command has failed is thrown away for drainTime, up
	// to drainBytes: many clients read the answer only then.
	drainTime  = 2 * time.Second
	drainBytes = 64 << 20
)

// body is what a client sends. It may be of any size, if something of it comes every readStall.
type body struct {
	r     io.ReadCloser
	conn  *http.ResponseController
	moved time.Time // when the deadline was last moved on
}

func (b *body) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.moved) >= readCheck {
		b.moved = now
		_ = b.conn.SetReadDeadline(now.Add(readStall)) // there is none in a test without a connection
	}
	n, err := b.r.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fail(http.StatusRequestTimeout, codeClient, "nothing of the body came for %v", readStall)
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
	r.Body = &body{r: r.Body, conn: q.out.conn}
	media, given, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || media != echo.MIMEMultipartForm {
		return nil, refuse("file argument '%s' is required: as multipart/form-data", arg)
	}
	if given["boundary"] == "" {
		return nil, refuse("the body cannot be read: %v", http.ErrMissingBoundary)
	}
	// The parser reads 4 KiB at a time.
	parts := multipart.NewReader(bufio.NewReaderSize(newPartHeaders(r.Body, given["boundary"]), bodyBuffer), given["boundary"])
	d, err := files.NewFileFromPartReader(parts, media)
	if err != nil {
		return nil, refuse("the body cannot be read: %v", err)
	}
	return d, nil
}

// drained throws away what is left of a body when the answer is written, which is sent first.
func drained(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		// What a command reads moves the deadline on. This is below it.
		in := &ended{ReadCloser: c.Request().Body}
		c.Request().Body = in
		c.Response().Before(func() {
			if !in.all && c.Response().Status >= http.StatusBadRequest { // the rest may never come
				c.Response().Header().Set(echo.HeaderConnection, "close")
			}
		})
		err := next(c)
		if in.all {
			return err
		}
		conn := http.NewResponseController(c.Response())
		// Before the answer: without full duplex some of the body is read before it is sent.
		_ = conn.EnableFullDuplex()
		_ = conn.SetReadDeadline(time.Now().Add(drainTime))
		_ = conn.Flush()
		_, _ = io.CopyN(io.Discard, in, drainBytes)
		return err
	}
}

// ended is a body that knows whether all of it was read, or nothing more can be.
type ended struct {
	io.ReadCloser
	all bool
}

func (e *ended) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if err != nil {
		e.all = true
	}
	return n, err
}
