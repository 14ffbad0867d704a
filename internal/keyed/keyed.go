// Package keyed has locks by key, which can be given up.
package keyed

import (
	"context"
	"hash/maphash"
)

// Locks have one lock for each key. Chance has some keys share one, so nobody may wait for a second
// lock while holding one. Its methods may be called concurrently.
type Locks struct {
	seed  maphash.Seed
	locks []chan struct{} // a lock that is held has an entry
}

// New makes locks of which n can be held at a time.
func New(n int) *Locks {
	l := &Locks{seed: maphash.MakeSeed(), locks: make([]chan struct{}, n)}
	for i := range l.locks {
		l.locks[i] = make(chan struct{}, 1)
	}
	return l
}

// Lock waits for the lock of a key. The caller calls unlock once. Errors: ctx's.
func (l *Locks) Lock(ctx context.Context, key string) (unlock func(), err error) {
	one := l.locks[maphash.String(l.seed, key)%uint64(len(l.locks))]
	select {
	case one <- struct{}{}:
		return func() { <-one }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
