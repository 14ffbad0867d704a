package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many refusals are kept one by one. An attacker who tries passwords from a thousand
// addresses must not fill the disk: at one refusal a second, of about 200 bytes each, it
// takes 17 MB a day. Refusals above that rate are only counted.
const (
	refusalsEvery = time.Second
	refusalsBurst = 1000
)

// refusals are events that wait to be written. No request waits for that, because a
// refusal changes nothing.
type refusals struct {
	mu     sync.Mutex
	keep   *rate.Limiter
	events []Event
	merged map[EventKind]int
}

func newRefusals() *refusals {
	return &refusals{keep: rate.NewLimiter(rate.Every(refusalsEvery), refusalsBurst), merged: map[EventKind]int{}}
}

func (r *refusals) note(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) < 2*refusalsBurst && r.keep.AllowN(e.Time, 1) {
		r.events = append(r.events, e)
		return
	}
	r.merged[e.Kind]++
}

// refuse records a refusal, and counts it.
func (s *Service) refuse(e Event) {
	s.failed.event(e.Kind)
	s.refusals.note(e)
}

// take returns what is to be written, and forgets it.
func (r *refusals) take(now time.Time) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.events
	for kind, n := range r.merged {
		all = append(all, Event{Time: now, Kind: kind, Count: n, Detail: "more than are kept one by one"})
	}
	r.events = nil
	clear(r.merged)
	return all
}

// giveBack takes back what could not be written.
func (r *refusals) giveBack(all []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := max(0, 2*refusalsBurst-len(r.events))
	for _, e := range all[min(room, len(all)):] {
		r.merged[e.Kind] += e.Count
	}
	r.events = append(slices.Clone(all[:min(room, len(all))]), r.events...)
}

// flush writes what waits to be written: refusals, and the last uses of tokens.
func (s *Service) flush(ctx context.Context) error {
	left := s.refusals.take(s.cfg.Now().UTC())
	for len(left) > 0 { // in single commits, so that it is known what is written
		some := left[:min(len(left), EventsAtOnce)]
		err := s.accounts.AppendEvents(ctx, some)
		if err == nil || errors.Is(err, ErrInDoubt) { // in doubt they may be there already
			left = left[len(some):]
		}
		if err != nil {
			s.refusals.giveBack(left)
			return fmt.Errorf("write refusals: %w", err)
		}
	}
	if uses := s.uses.take(); len(uses) > 0 {
		if err := s.accounts.MarkUsed(ctx, uses); err != nil {
			s.uses.giveBack(uses)
			return fmt.Errorf("write last uses: %w", err)
		}
	}
	return nil
}

// MaxEvents is the maximum of events that one call reads.
const MaxEvents = 1000

// Events reads the audit record, newest first. Limit may be up to [MaxEvents]; 0 means
// 100. Events of accounts that still exist have the account's address.
// Errors: *InvalidError.
func (s *Service) Events(ctx context.Context, q EventQuery) ([]Event, error) {
	switch {
	case q.Limit < 0 || q.Limit > MaxEvents:
		return nil, invalid("limit", "must be from 1 to %d", MaxEvents)
	case q.Limit == 0:
		q.Limit = 100
	}
	var flushed error
	if q.Kind != EventsOfPins && !q.Kind.OfPins() { // events of pins do not wait
		flushed = s.flush(ctx)
	}
	page, err := s.accounts.Events(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	if flushed != nil { // such as on a full disk, when operators need the record most
		s.cfg.Log.Warn("the newest refused logins are not in the audit record yet", "err", flushed)
	}
	emails := map[string]string{}
	for i, e := range page {
		if e.Account == "" || e.Email != "" {
			continue
		}
		if _, looked := emails[e.Account]; !looked {
			a, _ := s.accounts.AccountByID(ctx, e.Account) // "" if it is gone
			emails[e.Account] = a.Email
		}
		page[i].Email = emails[e.Account]
	}
	return page, nil
}
