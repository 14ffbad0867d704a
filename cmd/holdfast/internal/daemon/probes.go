package daemon

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// probes tell those who watch the server how it is. /healthz is whether it
// should be restarted: the store does not answer. /readyz is whether it should
// be sent new pins.
type probes struct {
	healthy   func(context.Context) error // the store answers a read
	storable  func(context.Context) error // the store would take a new pin
	blocked   func() bool                 // pins wait for room on the disk
	listening func() bool                 // other nodes can connect
	draining  *atomic.Bool
}

func (p *Program) probes() probes {
	return probes{
		healthy:   p.core.healthy,
		storable:  func(ctx context.Context) error { return p.core.store.Room(ctx, 0) },
		blocked:   func() bool { return p.pins.Blocked() > 0 },
		listening: p.node.Listening, draining: &p.draining,
	}
}

// unready says in a few words why no new pins should come; "" if they may.
func (p probes) unready(ctx context.Context) string {
	if p.draining.Load() {
		return "stopping"
	}
	if err := p.storable(ctx); err != nil {
		if errors.Is(err, pin.ErrDiskFull) {
			return "the disk is too full"
		}
		return "the store cannot be written"
	}
	if p.healthy(ctx) != nil {
		return "the store does not answer"
	}
	// A batch of blocks needs more than a request, so that some may wait above the
	// floor.
	if p.blocked() {
		return "the disk is too full"
	}
	if !p.listening() {
		return "the node does not listen"
	}
	return ""
}

// serveHealth answers 200 while the store answers reads.
func (p probes) serveHealth(w http.ResponseWriter, r *http.Request) {
	if p.healthy(r.Context()) != nil {
		answerProbe(w, http.StatusServiceUnavailable, "not healthy")
		return
	}
	answerProbe(w, http.StatusOK, "ok")
}

// serveReady answers 200 while new pins may come.
func (p probes) serveReady(w http.ResponseWriter, r *http.Request) {
	if why := p.unready(r.Context()); why != "" {
		answerProbe(w, http.StatusServiceUnavailable, "not ready: "+why)
		return
	}
	answerProbe(w, http.StatusOK, "ok")
}

func answerProbe(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // it fails only if the client is gone
}
