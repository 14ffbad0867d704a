package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// liveEvery is how often a stream looks at what its page shows while something moves there,
	// and calmEvery while nothing does.
	liveEvery = time.Second
	calmEvery = 5 * time.Second
	// aliveEvery is how often a stream says something, so that proxies keep it.
	aliveEvery = 25 * time.Second
	// liveStall is how long a browser may take nothing.
	liveStall = 30 * time.Second
	// maxStreams is how many pages of an account may be live at once. Browsers close the streams of
	// pages that nobody sees.
	maxStreams = 100
)

// streams counts the open streams of accounts.
type streams struct {
	mu   *sync.Mutex
	open map[string]int
}

func newStreams() streams { return streams{new(sync.Mutex), map[string]int{}} }

// enter counts a stream. The caller calls leave when it ends.
func (s streams) enter(account string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[account] >= maxStreams {
		return nil, &auth.LimitError{RetryAfter: aliveEvery}
	}
	s.open[account]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[account]--; s.open[account] == 0 {
			delete(s.open, account)
		}
	}, nil
}

// livePins streams what changes on a page of the list.
func (u *UI) livePins(c *call) error {
	f := readFilter(c.QueryParams())
	q, err := f.query()
	if err != nil {
		return err
	}
	before, below := cursorTime(f.before)
	if below && (q.Before.IsZero() || before.Before(q.Before)) {
		q.Before = before
	}
	top, _ := cursorTime(c.QueryParam("top")) // of the newest pin when the page was made
	return u.stream(c, func(s *stream) (moving bool, err error) {
		page, err := u.Pins.List(c.ctx, c.me.Account, q)
		if err != nil {
			return false, err
		}
		going, newer, here := u.removed.going(c.me.Account), 0, map[string]bool{}
		for _, v := range page.Views {
			r := rowOf(v, going)
			moving = moving || r.Moving() || r.Going
			if v.Created.After(top) {
				newer++
			}
			here[v.ID] = true
			if err := s.element(v.ID, "pins.html", "state", r); err != nil {
				return false, err
			}
		}
		if err := u.tellGone(c, s, here); err != nil {
			return false, err
		}
		if below {
			return moving, nil
		}
		if newer > 0 && newer == len(page.Views) { // there may be more
			if newer, err = u.newer(c, q, top); err != nil {
				return false, err
			}
		}
		return moving, s.changed(newerKey, "newer", strconv.Itoa(newer))
	})
}

// newer counts the pins of a list that were made after a time.
func (u *UI) newer(c *call, q pin.Query, than time.Time) (int, error) {
	q.Limit = 0
	if than.After(q.After) {
		q.After = than
	}
	page, err := u.Pins.List(c.ctx, c.me.Account, q)
	return page.Count, err
}

// newerKey is not the ID of a pin.
const newerKey = "newer"

// tellGone says which pins of the page are not there any more, and forgets those that are on
// another page now.
func (u *UI) tellGone(c *call, s *stream, here map[string]bool) error {
	for id := range s.sent {
		if here[id] || id == newerKey {
			continue
		}
		if _, err := u.Pins.Get(c.ctx, c.me.Account, id); errors.Is(err, pin.ErrNotFound) {
			if err := s.element(id, "pins.html", "state", row{ID: id, Gone: true}); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
		delete(s.sent, id)
	}
	return nil
}

// livePin streams what changes on the page of one pin.
func (u *UI) livePin(c *call) error {
	id := c.Param("id")
	if !isID(id) {
		return pin.ErrNotFound
	}
	return u.stream(c, func(s *stream) (moving bool, err error) {
		v, err := u.Pins.Get(c.ctx, c.me.Account, id)
		if err != nil {
			return false, err
		}
		r := rowOf(v, u.removed.going(c.me.Account))
		if err := s.element("by-"+id, "pin.html", "delivered", deliveredOf(v)); err != nil {
			return false, err
		}
		return r.Moving() || r.Going, s.element(id, "pin.html", "state", r)
	})
}

// stream is an open stream of server-sent events. It remembers of what it sent only a hash.
type stream struct {
	c     *call
	conn  *http.ResponseController
	seed  maphash.Seed
	sent  map[string]uint64
	wrote time.Time
}

// stream serves server-sent events until the browser, the session or the server ends it. look
// sends what changed, and reports whether more is about to.
func (u *UI) stream(c *call, look func(*stream) (moving bool, err error)) error {
	leave, err := u.streams.enter(c.me.Account)
	if err != nil {
		return err
	}
	defer leave()
	s := &stream{c: c, conn: http.NewResponseController(c.Response()), seed: maphash.MakeSeed(), sent: map[string]uint64{}}
	moving, err := look(s)
	if err != nil {
		return err
	}
	tick := time.NewTimer(liveEvery)
	defer tick.Stop()
	looked := u.now()
	for {
		if err := s.flush(); err != nil {
			return nil // the browser is gone
		}
		tick.Reset(liveEvery)
		select {
		case <-c.ctx.Done():
			if cause := context.Cause(c.ctx); errors.Is(cause, auth.ErrUnauthorized) {
				return s.over(cause)
			}
			return nil
		case <-tick.C:
		}
		if u.Stopping() {
			return nil
		}
		if now := u.now(); moving || now.Sub(looked) >= calmEvery {
			looked = now
			if moving, err = look(s); err != nil {
				return s.over(err)
			}
		}
		if u.now().Sub(s.wrote) >= aliveEvery {
			if _, err := u.Auth.Verify(c.conn, c.token); err != nil { // it may have expired
				_ = s.send("over", errSessionOver.Error())
				_ = s.flush()
				return nil
			}
			if err := s.write(": alive\n\n"); err != nil {
				return nil
			}
		}
	}
}

// over says why the stream ends. A browser that hears it does not open the stream again.
func (s *stream) over(err error) error {
	_ = s.send("over", failureOfStream(s.c, err)) // the last thing that it says
	_ = s.flush()
	return nil
}

// failureOfStream says why a stream ended, and logs what is a fault.
func failureOfStream(c *call, err error) string {
	if f := failureOf(c.conn, c.ctx, err); f != nil {
		return f.text
	}
	c.ui.Logger.Error("a live page ended", "account", c.me.Account, "path", c.Request().URL.Path, "err", err)
	return "the server could not read this; reload the page"
}

// element sends a part of the template of a page, if it is not as it was sent before. The script puts it in
// place of the element with the same id.
func (s *stream) element(key, file, define string, data any) error {
	var buf bytes.Buffer
	if err := s.c.ui.pages.execute(&buf, file, define, data); err != nil {
		return err
	}
	return s.changed(key, "element", buf.String())
}

// changed sends an event, if it says something else than the last one under the key.
func (s *stream) changed(key, event, data string) error {
	hash := maphash.String(s.seed, data)
	if was, ok := s.sent[key]; ok && was == hash {
		return nil
	}
	s.sent[key] = hash
	return s.send(event, data)
}

// send writes an event.
func (s *stream) send(event, data string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", event)
	// To a browser a carriage return alone ends a line, too.
	for line := range strings.Lines(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data)) {
		b.WriteString("data: " + strings.TrimSuffix(line, "\n") + "\n")
	}
	b.WriteByte('\n')
	return s.write(b.String())
}

func (s *stream) write(text string) error {
	r := s.c.Response()
	if !r.Committed {
		h := r.Header()
		h.Set(echo.HeaderContentType, "text/event-stream")
		h.Set("X-Accel-Buffering", "no") // nginx would keep events back
		r.WriteHeader(http.StatusOK)
	}
	_ = s.conn.SetWriteDeadline(s.c.now().Add(liveStall)) // there is none in a test without a connection
	s.wrote = s.c.now()
	_, err := r.Write([]byte(text))
	return err
}

func (s *stream) flush() error {
	if !s.c.Response().Committed {
		if err := s.write(": begins\n\n"); err != nil {
			return err
		}
	}
	return s.conn.Flush()
}
