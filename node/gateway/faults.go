package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	requestIDHeader = "X-Request-ID"
	// maxCause is how many bytes of boxo's own text go to the log.
	maxCause = 1 << 10
)

// fault is what went wrong while one request was served: the first error of the
// block store's that is not about the request, and whether any block could not be had.
type fault struct {
	mu     sync.Mutex
	err    error
	missed bool  // some block could not be had, for whatever reason
	full   error // the first refusal for want of memory

	share *room.Share // of the request
	held  *room.Nodes // that it has
}

type faultKey struct{}

// noteMissed notes that a block could not be had, for the request that ctx belongs to.
func noteMissed(ctx context.Context) {
	if f, ok := ctx.Value(faultKey{}).(*fault); ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.missed = true
	}
}

// note notes a fault of the request that ctx belongs to.
func note(ctx context.Context, err error) {
	f, ok := ctx.Value(faultKey{}).(*fault)
	if !ok {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *fault) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fault) isMissed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.missed
}

// noted is a block store that notes its faults. It makes errors of panics, since boxo reads
// blocks in goroutines of its own.
type noted struct{ blockstore.Blockstore }

func (n noted) Has(ctx context.Context, c cid.Cid) (has bool, err error) {
	defer noteFault(ctx, &err)
	return n.Blockstore.Has(ctx, c)
}

func (n noted) Get(ctx context.Context, c cid.Cid) (b blocks.Block, err error) {
	defer noteFault(ctx, &err)
	return n.Blockstore.Get(ctx, c)
}

func (n noted) GetSize(ctx context.Context, c cid.Cid) (size int, err error) {
	defer noteFault(ctx, &err)
	return n.Blockstore.GetSize(ctx, c)
}

// noteFault notes the error or panic of a method. It is called by defer.
func noteFault(ctx context.Context, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
	noteError(ctx, *err)
}

// noteError notes an error if it is a fault of the server's.
func noteError(ctx context.Context, err error) {
	switch {
	case isTooMuch(err):
		if f, ok := ctx.Value(faultKey{}).(*fault); ok {
			f.noteFull(err)
		}
	case err == nil, ipld.IsNotFound(err), errors.Is(err, pin.ErrDenied), errors.Is(err, context.Canceled):
	default:
		note(ctx, err)
	}
}

// tellFaults answers the server's own faults with 500 and a request id, and logs the cause
// once under that id. If the client hung up, the status is 499. An answer that has begun and
// lacks a block is cut off, so that nobody takes it for whole.
func (c Config) tellFaults(next http.Handler) http.Handler {
	log := c.Logger
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		share := c.Room.Share(client)
		defer share.Close()
		f := &fault{share: share, held: room.NewNodes(share, room.MaxOpen)}
		a := &answer{ResponseWriter: w, conn: r.Context(), fault: f}
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // net/http's own way to end a connection
				panic(p)
			default:
				note(context.WithValue(r.Context(), faultKey{}, f), fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
				a.WriteHeader(http.StatusInternalServerError) // unless one is on its way
			}
			if cause := a.cause(); cause != nil {
				log.Error("gateway request failed", "request", a.requestID(), "method", r.Method, "path", r.URL.Path, "err", cause)
			}
			if full := f.refusal(); full != nil {
				log.Warn("gateway request needs more memory than there is for it", "method", r.Method, "host", r.Host, "path", r.URL.Path, "err", full)
			}
			if f.isMissed() && !a.isRefused() {
				a.cutOff()
			}
		}()
		next.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), faultKey{}, f)))
	})
}

// answer has a text of ours where boxo answers 500. Boxo may still keep it after it was sent.
type answer struct {
	http.ResponseWriter
	conn  context.Context // of the client's connection
	fault *fault

	mu      sync.Mutex
	sent    bool   // the header was sent
	refused bool   // the status is that of an error
	ours    bool   // our text is sent, and boxo's is not
	their   string // the beginning of boxo's text
	id      string
}

// requestID gives the id of the request. It is made when it is first needed.
func (a *answer) requestID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requestIDLocked()
}

func (a *answer) requestIDLocked() string {
	if a.id == "" {
		a.id = uuid.NewString()
	}
	return a.id
}

// cause is what should be logged; nil is nothing.
func (a *answer) cause() error {
	if err := a.fault.get(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ours && a.id != "" {
		return errors.New(strings.TrimSpace(a.their))
	}
	return nil
}

func (a *answer) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sent {
		return
	}
	a.sent = true
	h := a.Header()
	full := a.fault.refusal()
	if status == http.StatusInternalServerError && full != nil { // boxo does not always pass errors on
		status = statusOf(full)
	}
	if status >= http.StatusBadRequest { // boxo lets caches keep errors for ever
		a.refused = true
		h.Del("Cache-Control")
		h.Del("Etag")
	}
	if status != http.StatusInternalServerError && full == nil {
		a.ResponseWriter.WriteHeader(status)
		return
	}
	a.ours = true
	for _, name := range []string{"Content-Length", "Content-Disposition", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if full != nil {
		if status == http.StatusServiceUnavailable {
			h.Set("Retry-After", "1")
		}
		a.ResponseWriter.WriteHeader(status)
		fmt.Fprintln(a.ResponseWriter, full)
		return
	}
	if a.fault.get() == nil && a.conn.Err() != nil {
		a.ResponseWriter.WriteHeader(faults.StatusClientGone)
		return
	}
	h.Set(requestIDHeader, a.requestIDLocked())
	a.ResponseWriter.WriteHeader(status)
	text := "something went wrong on the server; its log says what, under request id"
	if errors.Is(a.fault.get(), pin.ErrUnreadable) { // not each of them is logged
		text = "the server cannot read what it has on disk of this: tell its operator; request id"
	}
	fmt.Fprintln(a.ResponseWriter, text, a.id)
}

func (a *answer) Write(p []byte) (int, error) {
	a.mu.Lock()
	if a.ours {
		if room := maxCause - len(a.their); room > 0 {
			a.their += string(p[:min(room, len(p))])
		}
		a.mu.Unlock()
		return len(p), nil
	}
	a.sent = true
	a.mu.Unlock()
	return a.ResponseWriter.Write(p)
}

func (a *answer) isRefused() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused
}

// cutOff breaks the answer off, so that nobody takes it for whole. Boxo writes a text at the
// end of a CAR that is not whole; few clients look for that, and no cache does.
func (a *answer) cutOff() {
	a.Flush() // so that the client sees the status of what breaks off
	panic(http.ErrAbortHandler)
}

// Flush and Hijack are there since boxo asks for them by type.

func (a *answer) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
