package rpc

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// Headers of Kubo's RPC.
const (
	headerStream      = "X-Stream-Output"  // 1: the answer is bytes
	headerChunked     = "X-Chunked-Output" // 1: the answer is JSON objects, each on a line
	headerLength      = "X-Content-Length" // of what the bytes are, before they are packed
	headerStreamError = "X-Stream-Error"
	headerTrailer     = "Trailer"
)

const (
	// writePiece must be taken by a client within stallTimeout: 2 KiB a second, slower
	// than any modem.
	writePiece   = 64 << 10
	stallTimeout = 30 * time.Second
	// flushEvery is how long lines may wait for others, so that not each is a packet.
	flushEvery = 100 * time.Millisecond
	// buffer is what a stream of bytes takes in memory, beside the block it reads.
	buffer = 256 << 10
)

// writer sends an answer. It ends the connection of a client that stops reading.
type writer struct {
	c       echo.Context
	conn    *http.ResponseController
	trailer bool // an error of an answer that has begun is told there
	flushed time.Time
	pace    pace // of the client, which has to take the answer of an upload as well

	mu      sync.Mutex // held while the deadline is set
	sends   bool       // it waits for the client
	hurries bool       // the client has drainTime to take it
}

func newWriter(c echo.Context, trailer bool) *writer {
	return &writer{c: c, conn: http.NewResponseController(c.Response()), trailer: trailer}
}

// Write sends bytes, in pieces that each have their own time. The deadline that the server
// set for the whole answer ends here.
func (w *writer) Write(p []byte) (n int, err error) {
	defer w.pause()
	for n < len(p) {
		w.limit()
		m, err := w.c.Response().Write(p[n:min(len(p), n+writePiece)])
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (w *writer) flush() {
	defer w.pause()
	w.limit()
	w.flushed = time.Now()
	_ = w.conn.Flush() // an error is the connection's, and the next write has it too
}

// limit begins the time in which the client must take something.
func (w *writer) limit() {
	w.pace.wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sends = true
	w.setDeadline()
}

// setDeadline sets the deadline of what is sent. w.mu is held.
func (w *writer) setDeadline() {
	timeout := stallTimeout
	if w.hurries {
		timeout = drainTime
	}
	_ = w.conn.SetWriteDeadline(time.Now().Add(timeout)) // there is none in a test without a connection
}

// hurry leaves the client little time to take what is sent, now and later. It may be called at any time.
func (w *writer) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hurries = true; w.sends {
		w.setDeadline()
	}
}

// pause ends it, as nothing is sent for now: a deadline that passes ends a stream of HTTP/2, whatever
// the client does.
func (w *writer) pause() {
	w.pace.got(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sends = false
	_ = w.conn.SetWriteDeadline(time.Time{})
}

// begin sends the header of a stream. form is headerStream or headerChunked.
func (w *writer) begin(form, contentType string) {
	h := w.c.Response().Header()
	if w.trailer {
		h.Set(headerTrailer, headerStreamError)
	}
	h.Set(form, "1")
	h.Set(echo.HeaderContentType, contentType)
	h.Add(echo.HeaderAccessControlExposeHeaders, strings.Join([]string{headerStream, headerChunked, headerLength}, ", "))
	w.c.Response().WriteHeader(http.StatusOK)
}

// raw gives where the bytes of an answer go. Nothing is sent before the first of them, so
// that an error before that can be an answer of its own. length is headerLength's, if it is
// not negative.
func (w *writer) raw(contentType string, length int64) *rawWriter {
	return &rawWriter{w: w, contentType: contentType, length: length}
}

type rawWriter struct {
	w           *writer
	contentType string
	length      int64
}

func (r *rawWriter) Write(p []byte) (int, error) {
	r.begin()
	return r.w.Write(p)
}

func (r *rawWriter) begin() {
	h := r.w.c.Response()
	if h.Committed {
		return
	}
	if r.length >= 0 {
		h.Header().Set(headerLength, strconv.FormatInt(r.length, 10))
	}
	r.w.begin(headerStream, r.contentType)
}

// end ends the bytes, of which there may have been none.
func (r *rawWriter) end() {
	r.begin()
	r.w.flush()
}

// emit sends an object of a stream of objects, on a line of its own.
func (w *writer) emit(v any) error {
	w.beginLines()
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return err
	}
	if time.Since(w.flushed) > flushEvery {
		w.flush()
	}
	return nil
}

// emitLast sends the last objects of a stream, each on a line of its own. They leave with the end of the
// answer: one packet, where hundreds of calls end at the same time.
func (w *writer) emitLast(all ...any) error {
	w.beginLines()
	to := json.NewEncoder(w)
	for _, v := range all {
		if err := to.Encode(v); err != nil {
			return err
		}
	}
	return nil
}

// beginLines begins a stream of objects, unless it has begun.
func (w *writer) beginLines() {
	if !w.c.Response().Committed {
		w.begin(headerChunked, echo.MIMEApplicationJSON)
	}
}

// end ends a stream of objects, which may have had none.
func (w *writer) end() {
	w.beginLines()
	w.flush()
}

// one answers with one object.
func (w *writer) one(v any) error {
	w.c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	return json.NewEncoder(w).Encode(v)
}

// tellBehind tells an error of an answer that has begun: in the trailer, where Kubo's
// clients look. HTTP/1.0 has none, and there the connection is cut, so that nobody takes
// what came for the whole.
func tellBehind(c echo.Context, message string) {
	if !c.Request().ProtoAtLeast(1, 1) {
		panic(http.ErrAbortHandler)
	}
	c.Response().Header().Set(headerStreamError, strings.Map(oneLine, message))
}

// oneLine keeps what a header may have.
func oneLine(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}
