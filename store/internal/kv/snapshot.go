package kv

import (
	"context"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// A Badger transaction begins by waiting for every commit that is under way. A walk asks for
// each block of a DAG whether it is here, so it would wait for its own batches to be synced,
// one after the other. With small blocks that was most of its time. So looks share a
// transaction that is a little old.

// lookAge is the age at which the shared transaction is replaced: some batches' worth, and
// short beside any wait for the network.
const lookAge = 100 * time.Millisecond

// lookout keeps the transaction that looks share. It ends the transaction soon after the last
// look: while it is open, what it may see cannot be reclaimed.
type lookout struct {
	mu       sync.Mutex
	now      *glimpse // nil if there was no look of late
	renewing bool
	expiry   *time.Timer // of now
	floor    time.Time   // no glimpse that began before it is given any more
}

// glimpse is a read transaction that ends when its last user is done.
type glimpse struct {
	txn   *badger.Txn
	began time.Time // before which all that was committed is in it
	taken time.Time
	users int // the lookout is one of them
}

// Glance runs fn, which reads the records as they were a moment ago.
func (d *DB) Glance(ctx context.Context, fn func(*Reader) error) error {
	if err := d.Enter(ctx); err != nil {
		return err
	}
	defer d.Leave()
	r, release := d.Glimpse()
	defer release()
	return fn(r)
}

// Glimpse gives the records as they were a moment ago, until release is called.
// The caller must have entered.
func (d *DB) Glimpse() (r *Reader, release func()) {
	g := d.looks.take(d)
	return &Reader{Txn: g.txn, began: g.began}, func() { d.looks.release(g) }
}

// LookAfresh makes the next glimpse see all that is committed now.
func (d *DB) LookAfresh() { d.looks.refresh() }

// take returns the shared glimpse. If that is too old, a new one is begun in the background.
// The caller waits for a new one only if there is none.
func (l *lookout) take(s *DB) *glimpse {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		began := time.Now()
		l.set(s.db.NewTransaction(false), began)
	} else if !l.renewing && time.Since(l.now.taken) >= lookAge {
		l.renewing = true
		s.users.Add(1) // the caller is one, so the store is open
		go func() {
			defer s.Leave()
			began := time.Now()
			l.renewed(s.db.NewTransaction(false), began)
		}()
	}
	l.now.users++
	return l.now
}

// renewed ends a renewal. To begin its transaction may have taken so long that a look was made afresh, or
// is to be.
func (l *lookout) renewed(txn *badger.Txn, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewing = false
	if began.Before(l.floor) {
		txn.Discard()
		return
	}
	l.set(txn, began)
}

// set replaces the shared glimpse, and ends the new one after a while.
func (l *lookout) set(txn *badger.Txn, began time.Time) {
	l.expire()
	l.floor = began
	g := &glimpse{txn: txn, began: began, taken: time.Now(), users: 1}
	l.now = g
	l.expiry = time.AfterFunc(2*lookAge, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.now == g {
			l.expire()
		}
	})
}

// expire ends the lookout's own use of the glimpse.
func (l *lookout) expire() {
	if l.now != nil {
		l.expiry.Stop()
		l.drop(l.now)
		l.now = nil
	}
}

// refresh makes the next look begin a new transaction.
func (l *lookout) refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
	l.floor = time.Now()
}

// close ends the last glimpse, when there are no more looks.
func (l *lookout) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire()
}

// drop ends one use of a glimpse, and the glimpse if that was the last.
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
