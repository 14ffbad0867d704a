package moving

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// AnswerError is an answer that is no success.
type AnswerError struct {
	Status     int
	Reason     string        // for machines; "" if there is none
	Details    string        // for people
	RetryAfter time.Duration // 0 if the answer does not say
}

func (e *AnswerError) Error() string {
	switch {
	case e.Details != "":
		return e.Details
	case e.Reason != "":
		return e.Reason
	}
	return fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status))
}

// brokenError is an answer that is not what it should be. To ask again does not help.
type brokenError struct{ error }

// passing reports whether the same may succeed later.
func passing(err error) bool {
	if _, broken := errors.AsType[*brokenError](err); broken {
		return false
	}
	a, ok := errors.AsType[*AnswerError](err)
	if !ok {
		return true // the connection
	}
	switch a.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

const (
	firstPause = time.Second
	maxPause   = time.Minute
	// maxAsked bounds what an answer may ask to wait: services count their limits by the
	// minute or the hour.
	maxAsked = time.Hour
	// giveUp is for how long something that worked before may fail. A service is restarted
	// within that.
	giveUp = 10 * time.Minute
	// giveUpFirst is the same for what never answered: the address may be wrong.
	giveUpFirst = 2 * time.Second
	// slowest is the rate, in requests a second, below which 429 does not slow us further:
	// the strictest service that is known allows 30 a minute.
	slowest = 0.25
	// fastest is the rate at which slowing begins.
	fastest = 64
)

// pace asks one side no faster than that side wants. Several goroutines may use it.
type pace struct {
	name string // of the side, for notes
	note func(string)

	limit *rate.Limiter

	mu     sync.Mutex
	worked bool
	until  time.Time // nobody asks before this
}

// newPace makes a pace of perSecond requests; 0 is as fast as the side answers.
func newPace(name string, perSecond float64, note func(string)) *pace {
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	if note == nil {
		note = func(string) {}
	}
	return &pace{name: name, note: note, limit: rate.NewLimiter(limit, 1)}
}

// do calls ask until it succeeds, fails for good, or has failed for too long.
func (p *pace) do(ctx context.Context, ask func() error) error {
	var failing time.Time // since when
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		if err := p.wait(ctx); err != nil {
			return err
		}
		err := ask()
		if err == nil {
			p.mu.Lock()
			p.worked = true
			p.mu.Unlock()
			return nil
		}
		if ctx.Err() != nil || !passing(err) {
			return err
		}
		now := time.Now()
		if failing.IsZero() {
			failing = now
		}
		if now.Sub(failing) > p.patience(err) {
			return err
		}
		p.slowDown(now, pause, err)
	}
}

// patience is how long an error is borne.
func (p *pace) patience(err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, answered := errors.AsType[*AnswerError](err)
	switch {
	case answered:
		return max(giveUp, 2*min(a.RetryAfter, maxAsked)) // it is there, and may say when to come back
	case p.worked:
		return giveUp
	}
	return giveUpFirst
}

// slowDown makes everybody wait, as long as the answer asks for.
func (p *pace) slowDown(now time.Time, pause time.Duration, err error) {
	a, answered := errors.AsType[*AnswerError](err)
	if answered && a.RetryAfter > 0 {
		pause = min(a.RetryAfter, maxAsked)
	}
	p.mu.Lock()
	first := now.After(p.until)
	if until := now.Add(pause); until.After(p.until) {
		p.until = until
	}
	if answered && a.Status == http.StatusTooManyRequests && first {
		p.limit.SetLimit(max(min(p.limit.Limit(), fastest)/2, slowest))
	}
	p.mu.Unlock()
	if first && pause >= 5*time.Second { // shorter ones are of no interest to people
		p.note(fmt.Sprintf("%s: %v; asking again in %v", p.name, err, pause.Round(time.Second)))
	}
}

func (p *pace) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		left := time.Until(p.until)
		p.mu.Unlock()
		if left <= 0 {
			return p.limit.Wait(ctx)
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads the header Retry-After: seconds, or a time. A time counts from the Date of
// the answer, since the two clocks need not agree. 0 is that it says nothing.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	from, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(until.Sub(from), 0)
}
