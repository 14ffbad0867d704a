package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// probes tell those who watch the server how it is. /healthz is whether it
// should be restarted: the store does not answer. /readyz is whether it should
// be sent new pins. The log has why it is not ready, once, and when it is again.
type probes struct {
	healthy   func(context.Context) error // the store answers a read
	storable  func(context.Context) error // the store would take a new pin
	writable  func(context.Context) error // what is written comes to disk
	sound     func() error                // no table of the database is known to be damaged
	openable  func() error                // more files can be open
	blocked   func() bool                 // pins wait for room on the disk
	listening func() bool                 // other nodes can connect
	draining  *atomic.Bool
	told      *toldState
	log       *slog.Logger
}

func (p *Program) probes() probes {
	return probes{
		healthy:   p.core.healthy,
		storable:  func(ctx context.Context) error { return p.core.store.Room(ctx, 0) },
		writable:  p.core.store.Writable,
		sound:     p.core.store.Sound,
		openable:  func() error { return p.openable(openFilesDir) },
		blocked:   func() bool { return p.pins.Blocked() > 0 },
		listening: p.node.Listening, draining: &p.draining,
		told: &p.told, log: p.Log,
	}
}

// toldState is what the log had last of whether the server is ready.
type toldState struct {
	mu  sync.Mutex
	why string // "" is ready
}

// tell has the log say what changed.
func (t *toldState) tell(log *slog.Logger, why string, cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case why == t.why, why == stopping:
		return
	case why == "":
		log.Info("ready again")
	default:
		log.Warn("not ready", "why", why, "err", cause)
	}
	t.why = why
}

// is reports whether that is what the log had last.
func (t *toldState) is(why string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why == why
}

// Reasons not to be ready.
const (
	stopping      = "stopping" // the log has that anyway
	fewFiles      = "too few files may be open"
	damagedTables = "the database is damaged, and the next start refuses it: run holdfast store verify, and restore a backup"
)

// What the log has of why a server is not ready that nothing else gave an error for.
var (
	errBlocked      = errors.New("pins wait for more room than there is")
	errNotListening = errors.New("none of the addresses in node.listen is open")
)

// watchEvery is how often a server looks by itself at what costs nothing to look at: soon
// enough for those who look at the log because nobody is answered.
const watchEvery = 5 * time.Second

// watch has the log say, until ctx ends, why the server is not ready if nobody may ask or
// notice: too few files may be open, and a connection is one; or a table is damaged, which
// a compaction found. And it has the log say when that is over.
func (p probes) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if p.openable() != nil || p.sound() != nil || p.told.is(fewFiles) {
			p.ready(ctx)
		}
	}
}

// unready says in a few words why no new pins should come, "" if they may, and what
// that was found by.
func (p probes) unready(ctx context.Context) (why string, cause error) {
	if p.draining.Load() {
		return stopping, nil
	}
	if err := p.sound(); err != nil {
		return damagedTables, err
	}
	if err := p.storable(ctx); err != nil {
		if errors.Is(err, pin.ErrDiskFull) {
			return "the disk is too full", err
		}
		return "the store cannot be written", err
	}
	if err := p.healthy(ctx); err != nil {
		return "the store does not answer", err
	}
	if err := p.writable(ctx); err != nil {
		return "the disk cannot be written", err
	}
	if err := p.openable(); err != nil {
		return fewFiles, err
	}
	// A batch of blocks needs more than a request, so that some may wait above the
	// floor.
	if p.blocked() {
		return "the disk is too full", errBlocked
	}
	if !p.listening() {
		return "the node does not listen", errNotListening
	}
	return "", nil
}

// ready is unready for those who ask. gone reports that who asked has hung up, and
// that nothing is known therefore.
func (p probes) ready(ctx context.Context) (why string, gone bool) {
	why, cause := p.unready(ctx)
	if faults.HungUp(ctx, cause) {
		return "", true
	}
	p.told.tell(p.log, why, cause)
	return why, false
}

// serveHealth answers 200 while the store answers reads.
func (p probes) serveHealth(w http.ResponseWriter, r *http.Request) {
	err := p.healthy(r.Context())
	switch {
	case faults.HungUp(r.Context(), err):
		answerProbe(w, faults.StatusClientGone, "the client hung up")
	case err != nil:
		p.told.tell(p.log, "the store does not answer", err)
		answerProbe(w, http.StatusServiceUnavailable, "not healthy")
	default:
		answerProbe(w, http.StatusOK, "ok")
	}
}

// serveReady answers 200 while new pins may come.
func (p probes) serveReady(w http.ResponseWriter, r *http.Request) {
	switch why, gone := p.ready(r.Context()); {
	case gone:
		answerProbe(w, faults.StatusClientGone, "the client hung up")
	case why != "":
		answerProbe(w, http.StatusServiceUnavailable, "not ready: "+why)
	default:
		answerProbe(w, http.StatusOK, "ok")
	}
}

func answerProbe(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // it fails only if the client is gone
}

// spareFiles are what must be left of the files that may be open: the database makes
// a few at a time when it compacts, beside those that it replaces.
const spareFiles = 16

// openable is roomForFiles. Where the files cannot be counted nothing is known against
// the server, and the log has why, once.
func (p *Program) openable(dir string) error {
	err := roomForFiles(dir, p.filesLimit)
	if _, ok := errors.AsType[*uncountedError](err); ok {
		p.uncounted.Do(func() {
			p.Log.Warn("the open files cannot be counted: the server does not notice when too few may be open", "err", err)
		})
		return nil
	}
	return err
}

// openFilesDir has an entry for each open file.
const openFilesDir = "/proc/self/fd"

// uncountedError is why the open files could not be counted.
type uncountedError struct{ error }

func (e *uncountedError) Unwrap() error { return e.error }

// roomForFiles fails if hardly any more files can be open, of those that may be, and with
// an uncountedError if that is not known.
func roomForFiles(dir string, limit uint64) error {
	open, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // not on Linux, or in a place without /proc
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("not one more file can be open: %w", err)
	case err != nil:
		return &uncountedError{fmt.Errorf("count the open files: %w", err)}
	}
	if n := uint64(len(open)); n+spareFiles > limit {
		return fmt.Errorf("%d files are open, of %d that may be", n, limit)
	}
	return nil
}
