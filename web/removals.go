package web

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// undoTime is how long a removal can be undone. Until then nothing is removed: so an undo
// brings everything back as it was, with its ID and its place in lists, and whatever happens
// in between loses nothing. The server does it when the time has come, also if the page is
// closed by then.
const undoTime = 10 * time.Second

// maxLeaving bounds the pins of an account that wait to be removed: a few pages.
const maxLeaving = 5000

// removals are the pins that are removed in a moment.
type removals struct {
	ui     *UI
	ctx    context.Context // ends when the dashboard is closed
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	all []*removal
}

// removal is what one click removes.
type removal struct {
	by          context.Context // whose values say who asked for it; it never ends
	id, account string
	pins        []string // request IDs
	name        string   // of the pin, if it is one
	at          time.Time
	undone      chan struct{} // closed when it is not to happen
}

// leaving is a removal as pages show it.
type leaving struct {
	ID   string
	Pins int
	Name string
	In   int // seconds
}

func (r *removals) init(u *UI) {
	r.ui = u
	r.ctx, r.cancel = context.WithCancel(context.Background())
}

func (r *removals) close() {
	r.cancel()
	r.wg.Wait()
}

// add removes pins of an account after undoTime. The values of ctx say who asks for it. Pins that are leaving already stay with their first
// removal: to undo that one is enough to keep them.
func (r *removals) add(ctx context.Context, account, name string, pins []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return pin.ErrClosed
	}
	waiting := 0
	for _, l := range r.all {
		if l.account == account {
			waiting += len(l.pins)
			pins = slices.DeleteFunc(slices.Clone(pins), func(id string) bool { return slices.Contains(l.pins, id) })
		}
	}
	if len(pins) == 0 {
		return nil
	}
	waiting += len(pins)
	if waiting > maxLeaving {
		return &auth.LimitError{RetryAfter: undoTime}
	}
	one := &removal{
		by: context.WithoutCancel(ctx), id: rand.Text(), account: account, pins: pins, name: name,
		at: r.ui.now().Add(undoTime), undone: make(chan struct{}),
	}
	r.all = append(r.all, one)
	r.wg.Go(func() { r.run(one) })
	return nil
}

// run waits, and then removes. What cannot be removed stays, and the log says why.
func (r *removals) run(one *removal) {
	defer r.forget(one)
	select {
	case <-one.undone:
		return
	case <-r.ctx.Done():
		r.ui.Logger.Warn("pins that were to be removed stay, as the server stops", "account", one.account, "requests", len(one.pins))
		return
	case <-time.After(undoTime):
	}
	r.mu.Lock()
	if !slices.Contains(r.all, one) { // undone at this very moment
		r.mu.Unlock()
		return
	}
	one.at = time.Time{} // too late
	r.mu.Unlock()
	ctx, cancel := context.WithCancel(one.by)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	for i, id := range one.pins {
		err := r.ui.Pins.Remove(ctx, one.account, id)
		if err == nil || errors.Is(err, pin.ErrNotFound) {
			continue
		}
		r.ui.Logger.Error("pins were not removed", "account", one.account, "requestid", id, "left", len(one.pins)-i, "err", err)
		if r.ctx.Err() != nil {
			return
		}
	}
}

func (r *removals) forget(one *removal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(r.all, func(o *removal) bool { return o == one })
}

// undo keeps what a removal was to remove. It reports false if it is too late.
func (r *removals) undo(account, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, one := range r.all {
		if one.account == account && one.id == id && !one.at.IsZero() {
			r.all = slices.Delete(r.all, i, i+1)
			close(one.undone)
			return true
		}
	}
	return false
}

// of lists the removals of an account that can be undone.
func (r *removals) of(account string) (list []leaving) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.ui.now()
	for _, one := range r.all {
		if one.account == account && !one.at.IsZero() {
			list = append(list, leaving{
				ID: one.id, Pins: len(one.pins), Name: one.name,
				In: int(max(0, one.at.Sub(now)+time.Second-1) / time.Second),
			})
		}
	}
	return list
}

// going reports which pins of an account are about to be removed.
func (r *removals) going(account string) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var set map[string]bool
	for _, one := range r.all {
		if one.account != account {
			continue
		}
		if set == nil {
			set = map[string]bool{}
		}
		for _, id := range one.pins {
			set[id] = true
		}
	}
	return set
}
