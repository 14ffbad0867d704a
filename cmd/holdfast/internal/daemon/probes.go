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

// probes say how the server is. /healthz fails if the server should be restarted, since the
// store does not answer. /readyz fails if the server should get no new pins. When the server
// stops being ready, the log has why, once. The log also has when it is ready again.
type probes struct {
	healthy   func(context.Context) error // the store answers a read
	storable  func(context.Context) error // the store would take a new pin
	writable  func(context.Context) error // writes reach the disk
	sound     func() error                // no table of the database is known to be damaged
	openable  func() error                // more files can be opened
	blocked   func() bool                 // pins wait for room on the disk
	reachable func() error                // other nodes can connect to this one, or this server to the cluster
	backups   func(time.Time) string      // what is wrong with the backups, "" if nothing is; nil is nothing
	draining  *atomic.Bool
	logged    *loggedState
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
		reachable: p.listening, draining: &p.draining,
		backups: p.backups.warning,
		logged:  &p.logged, log: p.Log,
	}
}

// loggedState is what the log last said about whether the server is ready.
type loggedState struct {
	mu  sync.Mutex
	why string // why it is not ready; "" is ready
}

// update logs the state if it has changed.
func (s *loggedState) update(log *slog.Logger, why string, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case why == s.why, why == stopping:
		return
	case why == "":
		log.Info("ready again")
	default:
		log.Warn("not ready", "why", why, "err", cause)
	}
	s.why = why
}

// is reports whether why is what the log last said.
func (s *loggedState) is(why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why == why
}

// Reasons not to be ready.
const (
	stopping      = "stopping" // which the log has anyway
	fewFiles      = "too few files may be open"
	damagedTables = "the database is damaged, and the next start refuses it: run holdfast store verify, and restore a backup"
)

// Causes for the log where no other part of the server gives an error.
var (
	errBlocked      = errors.New("pins wait for more room than there is")
	errNotListening = errors.New("none of the addresses in node.listen is open")
)

// watchEvery is how often a server makes the checks that cost nothing. So the log has the
// cause soon after clients get no answer.
const watchEvery = 5 * time.Second

// watch logs, until ctx ends, two causes for which a server is not ready and that nobody may
// notice otherwise. If too few files can be opened, nobody can connect to ask. If a table is
// damaged, a compaction may have found that. It also logs when the first is over, and when
// the newest backup becomes old: a backup may hang.
func (p probes) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for warned := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if p.openable() != nil || p.sound() != nil || p.logged.is(fewFiles) {
			p.ready(ctx)
		}
		if p.backups == nil {
			continue
		}
		switch why := p.backups(time.Now()); {
		case why == "":
			warned = false
		case !warned:
			warned = true
			p.log.Warn("there is no new backup", "why", why)
		}
	}
}

// unready says in a few words why the server should get no new pins, and gives the error
// that shows it. "" says that the server is ready.
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
	switch err := p.reachable(); {
	case errors.Is(err, errNotListening):
		return "the node does not listen", err
	case err != nil:
		return "no peer of the cluster answers", err
	}
	// A batch of blocks needs more room than a request. So pins may wait for room although
	// there is room for a request.
	if p.blocked() {
		return "the disk is too full", errBlocked
	}
	return "", nil
}

// ready is unready, and logs a change. gone reports that the client has hung up: then nothing
// is known.
func (p probes) ready(ctx context.Context) (why string, gone bool) {
	why, cause := p.unready(ctx)
	if faults.HungUp(ctx, cause) {
		return "", true
	}
	p.logged.update(p.log, why, cause)
	return why, false
}

// serveHealth answers 200 while the store answers reads.
func (p probes) serveHealth(w http.ResponseWriter, r *http.Request) {
	err := p.healthy(r.Context())
	switch {
	case faults.HungUp(r.Context(), err):
		answerProbe(w, faults.StatusClientGone, "the client hung up")
	case err != nil:
		p.logged.update(p.log, "the store does not answer", err)
		answerProbe(w, http.StatusServiceUnavailable, "not healthy")
	default:
		answerProbe(w, http.StatusOK, "ok")
	}
}

// serveReady answers 200 while the server is ready for new pins. A second line warns of what
// does not keep it from taking them.
func (p probes) serveReady(w http.ResponseWriter, r *http.Request) {
	switch why, gone := p.ready(r.Context()); {
	case gone:
		answerProbe(w, faults.StatusClientGone, "the client hung up")
	case why != "":
		answerProbe(w, http.StatusServiceUnavailable, "not ready: "+why)
	default:
		text := "ok"
		if p.backups != nil {
			if why := p.backups(time.Now()); why != "" {
				text += "\nwarning: " + why
			}
		}
		answerProbe(w, http.StatusOK, text)
	}
}

func answerProbe(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // it fails only if the client is gone
}

// spareFiles is how many more files the process must be able to open. When the database
// compacts, it makes a few files before it removes the old ones.
const spareFiles = 16

// openable is roomForFiles, but it gives no error if the open files cannot be counted. It
// logs that once.
func (p *Program) openable(dir string) error {
	err := roomForFiles(dir, p.filesLimit)
	if _, ok := errors.AsType[*uncountedError](err); ok {
		p.uncounted.Do(func() {
			p.Log.Warn("the open files cannot be counted, so the server will not notice when too few can be opened", "err", err)
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

// roomForFiles fails if fewer than spareFiles more files can be opened. An uncountedError says
// that it is not known.
func roomForFiles(dir string, limit uint64) error {
	open, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // there is no /proc
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Errorf("no more files can be opened: %w", err)
	case err != nil:
		return &uncountedError{fmt.Errorf("count the open files: %w", err)}
	}
	if n := uint64(len(open)); n+spareFiles > limit {
		return fmt.Errorf("%d files are open, and the limit is %d", n, limit)
	}
	return nil
}
