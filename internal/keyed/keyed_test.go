package keyed

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(64)
		unlock, err := l.Lock(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan func())
		go func() {
			unlock, err := l.Lock(t.Context(), "one")
			if err != nil {
				t.Error(err)
			}
			got <- unlock
		}()
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := l.Lock(ctx, "one")
			gaveUp <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v", err)
		}
		select {
		case <-got:
			t.Fatal("a lock was given to two")
		default:
		}
		unlock()
		(<-got)()
	})
}

// While one key is locked, nearly all others are not.
func TestKeysAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(64)
		unlock, err := l.Lock(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		var passed atomic.Int32
		for i := range 100 {
			go func() {
				unlock, err := l.Lock(t.Context(), strconv.Itoa(i))
				if err != nil {
					t.Error(err)
					return
				}
				passed.Add(1)
				unlock()
			}()
		}
		synctest.Wait()
		if n := passed.Load(); n < 80 {
			t.Errorf("%d of 100 keys are not locked", n)
		}
		unlock()
		synctest.Wait()
		if n := passed.Load(); n != 100 {
			t.Errorf("in the end %d of 100 keys were locked", n)
		}
	})
}
