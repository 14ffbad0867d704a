package kv

import (
	"context"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// A Badger transaction begins by waiting for every commit that is under way. A
// walk that asks for each block of a DAG whether it is here would so wait for
// its own batches to be synced, one after the other: with small blocks that
// was most of its time. So looks share a transaction that is a little old.

// lookAge is how old what a look sees may be before a new transaction is begun:
// several batches' worth, and short beside any wait for the network.
const lookAge = 100 * time.Millisecond

// lookout is the transaction that looks share. It is given back soon after the
// last look, since what it may see cannot be reclaimed.
type lookout struct {
	mu       sync.Mutex
	now      *glimpse // nil if nobody looked of late
	renewing bool
	expiry   *time.Timer // of now
}

// glimpse is a read transaction that ends with its last user.
type glimpse struct {
	txn   *badger.Txn
	taken time.Time
	users int // the lookout's own among them
}

// Glance runs fn to read the records as they were within the last moments.
func (d *DB) Glance(ctx context.Context, fn func(*Reader) error) error {
	if err := d.Enter(ctx); err != nil {
		return err
	}
	defer d.Leave()
	r, release := d.Glimpse()
	defer release()
	return fn(r)
}

// Glimpse gives the records as they were within the last moments, until release is called.
// The caller must have entered.
func (d *DB) Glimpse() (r *Reader, release func()) {
	g := d.looks.take(d)
	return &Reader{Txn: g.txn}, func() { d.looks.release(g) }
}

// LookAfresh has the next glimpse see all that is committed now.
func (d *DB) LookAfresh() { d.looks.refresh() }

// take gives the glimpse there is. One that is too old is renewed behind the
// caller's back; one is begun before its eyes only if there is none.
func (l *lookout) take(s *DB) *glimpse {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		l.set(s, s.db.NewTransaction(false))
	} else if !l.renewing && time.Since(l.now.taken) >= lookAge {
		l.renewing = true
		s.users.Add(1) // the caller is one, so the store is open
		go func() {
			defer s.Leave()
			txn := s.db.NewTransaction(false)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.renewing = false
			l.set(s, txn)
		}()
	}
	l.now.users++
	return l.now
}

// set puts a new glimpse in the place of the old one, for a while.
func (l *lookout) set(s *DB, txn *badger.Txn) {
	l.expire()
	g := &glimpse{txn: txn, taken: time.Now(), users: 1}
	l.now = g
	l.expiry = time.AfterFunc(2*lookAge, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.now == g {
			l.expire()
		}
	})
}

// expire takes the lookout itself from the users of the glimpse there is.
func (l *lookout) expire() {
	if l.now != nil {
		l.expiry.Stop()
		l.drop(l.now)
		l.now = nil
	}
}

// refresh has the next look begin a new transaction.
func (l *lookout) refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
}

// close ends the last glimpse. Nobody looks any more.
func (l *lookout) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
}

// drop takes a user from a glimpse, which ends with the last.
func (l *lookout) drop(g *glimpse) {
	if g.users--; g.users == 0 {
		g.txn.Discard()
	}
}

func (l *lookout) release(g *glimpse) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(g)
}
