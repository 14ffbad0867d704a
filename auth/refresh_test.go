package auth_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

func TestRefresh(t *testing.T) {
	f := newFixture(t)
	first := f.login()
	f.clock.add(time.Hour)
	second, err := f.Refresh(t.Context(), first.Refresh)
	f.ok(err)
	f.counts(first.Access) // a refresh ends no access token
	f.counts(second.Access)
	if first.Access == second.Access || first.Refresh == second.Refresh {
		t.Error("a refresh gave the same tokens")
	}
	_, err = f.Refresh(t.Context(), second.Refresh)
	f.ok(err)
	list, err := f.ListTokens(t.Context(), f.ann.ID)
	f.ok(err)
	if len(list) != 1 || list[0].Kind != auth.Session {
		t.Errorf("one login is %+v", list)
	}
}

// TestLostReply: a client that soon asks again gets the same successor, also if the keys were
// rotated in between. The chain never forks.
func TestLostReply(t *testing.T) {
	f := newFixture(t)
	first := f.login()
	second, err := f.Refresh(t.Context(), first.Refresh)
	f.ok(err)
	f.clock.add(29 * time.Second)
	again, err := f.Refresh(t.Context(), first.Refresh)
	f.ok(err)
	if again.Refresh != second.Refresh {
		t.Error("asked again, another successor was given")
	}
	f.counts(again.Access)
	_, err = f.RotateKeys(t.Context(), false)
	f.ok(err)
	rotated, err := f.Refresh(t.Context(), first.Refresh)
	f.ok(err)
	third, err := f.Refresh(t.Context(), rotated.Refresh)
	f.ok(err)
	f.counts(second.Access)
	f.counts(third.Access)
	same, err := f.Refresh(t.Context(), second.Refresh) // the same link as rotated
	f.ok(err)
	if same.Refresh != third.Refresh {
		t.Error("one link has two successors")
	}
}

// TestRefreshReused: a refresh token that comes again after the grace time ends its session at
// once, and nothing else.
func TestRefreshReused(t *testing.T) {
	for name, reuse := range map[string]func(*fixture, auth.Pair) (reused string){
		"after the grace": func(f *fixture, p auth.Pair) string {
			_, err := f.Refresh(f.Context(), p.Refresh)
			f.ok(err)
			f.clock.add(31 * time.Second)
			return p.Refresh
		},
		"two links back": func(f *fixture, p auth.Pair) string {
			second, err := f.Refresh(f.Context(), p.Refresh)
			f.ok(err)
			_, err = f.Refresh(f.Context(), second.Refresh)
			f.ok(err)
			return p.Refresh
		},
		"the clock stepped back": func(f *fixture, p auth.Pair) string {
			f.clock.add(time.Hour)
			_, err := f.Refresh(f.Context(), p.Refresh)
			f.ok(err)
			f.clock.add(-40 * time.Second)
			return p.Refresh
		},
	} {
		f := newFixture(t)
		_, device := f.device()
		other, pair := f.login(), f.login()
		reused := reuse(f, pair)
		last, err := f.Verify(t.Context(), pair.Access)
		f.ok(err)
		_, err = f.Refresh(t.Context(), reused)
		if !errors.Is(err, auth.ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
		f.dead(pair.Access)
		f.counts(other.Access)
		f.counts(device)
		list, err := f.ListTokens(t.Context(), f.ann.ID)
		f.ok(err)
		if len(list) != 2 {
			t.Errorf("%s: listed %+v", name, list)
		}
		if e := f.events(auth.EventRefreshReused); len(e) != 1 || e[0].Token != last.TokenID || e[0].Account != f.ann.ID {
			t.Errorf("%s: recorded %+v", name, e)
		}
		_, err = f.Refresh(t.Context(), reused)
		f.is(err, auth.ErrUnauthorized)
	}
}

// TestRefreshAtOnce: two windows of a program refresh at the same time. Both continue, on the same
// chain.
func TestRefreshAtOnce(t *testing.T) {
	f := newFixture(t)
	pair := f.login()
	var mu sync.Mutex
	successors := map[string]bool{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := f.Refresh(context.Background(), pair.Refresh)
			if err != nil {
				t.Error(err)
				return
			}
			f.counts(got.Access)
			mu.Lock()
			defer mu.Unlock()
			successors[got.Refresh] = true
		})
	}
	wg.Wait()
	if len(successors) != 1 {
		t.Errorf("one refresh token has %d successors", len(successors))
	}
}
