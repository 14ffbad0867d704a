package kv

import (
	"context"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/store/internal/space/reading"
)

// maxChangesPerCommit is how many changes may share a commit, so that the first of them does
// not wait for too many others.
const maxChangesPerCommit = 512

// committer runs all changes to the records in one goroutine, one after the other. Changes that
// wait at the same time are written in one Badger transaction, and share its sync. Nobody else
// writes records, so changes never conflict, and what a change reads stays true until it is
// committed.
type committer struct {
	db    *badger.DB
	admit func() error // fails if nothing may be written now
	// wrote is called with the outcome of a commit, and returns the error to report.
	wrote func(error) error
	// mended is called with what was written.
	mended func(map[string]Write)

	mu      sync.Mutex
	waiting []*change
	closed  bool
	wake    chan struct{} // holds one token when there is something to do
	done    chan struct{} // closed when the goroutine has ended
}

// change is a function that waits or runs.
type change struct {
	fn     func(*Tx) error
	answer chan error // buffered
}

func newCommitter(db *badger.DB, admit func() error, wrote func(error) error, mended func(map[string]Write)) *committer {
	c := &committer{db: db, admit: admit, wrote: wrote, mended: mended, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go c.run()
	return c
}

// do runs fn in the next commit, and returns once that is durable. After an error fn changed
// nothing, unless the error is diskerr.ErrInDoubt: then readers see what fn wrote, and a crash
// may undo it. If ctx ends while fn waits for its turn, fn is not run, and do returns the
// context's error. Once fn was started, do waits for the outcome.
func (c *committer) do(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ch := &change{fn: fn, answer: make(chan error, 1)}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return diskerr.ErrClosed
	}
	c.waiting = append(c.waiting, ch)
	c.mu.Unlock()
	c.poke()

	select {
	case err := <-ch.answer:
		return err
	case <-ctx.Done():
		if c.withdraw(ch) {
			return ctx.Err()
		}
		return <-ch.answer
	}
}

// post runs fn in the next commit, and does not wait. What is asked for after it runs after it. Nobody
// is told whether it was committed.
func (c *committer) post(fn func(*Tx) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.waiting = append(c.waiting, &change{fn: fn, answer: make(chan error, 1)})
		c.poke()
	}
}

func (c *committer) poke() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// withdraw takes a change back. It returns false if the change was started already.
func (c *committer) withdraw(ch *change) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.waiting {
		if w == ch {
			c.waiting = append(c.waiting[:i:i], c.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// close refuses further changes, fails those that wait, and returns when the commit that is
// under way is done.
func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.poke()
	<-c.done
}

func (c *committer) run() {
	defer close(c.done)
	for range c.wake {
		for {
			batch, closed := c.take()
			if closed {
				for _, ch := range batch {
					ch.answer <- diskerr.ErrClosed
				}
				return
			}
			if len(batch) == 0 {
				break
			}
			c.commit(batch)
		}
	}
}

// take returns the changes to run next: all that wait, once the committer is closed.
func (c *committer) take() (batch []*change, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.waiting)
	if !c.closed {
		n = min(n, maxChangesPerCommit)
	}
	batch, c.waiting = c.waiting[:n:n], c.waiting[n:]
	return batch, c.closed
}

// commit runs a batch of changes, in as few transactions as hold them.
func (c *committer) commit(batch []*change) {
	if err := c.admit(); err != nil {
		for _, ch := range batch {
			ch.answer <- err
		}
		return
	}
	g := c.newGroup()
	var failed error // why no more of the batch is written
	for _, ch := range batch {
		if failed != nil {
			ch.answer <- failed
			continue
		}
		t := &Tx{Own: map[string]Write{}}
		t.Reader = Reader{Txn: g.base, over: []map[string]Write{g.writes, t.Own}, alike: g.alike}
		if err := ch.fn(t); err != nil {
			ch.answer <- err
			continue
		}
		count, size := g.cost(t.Own)
		if !g.fits(0, 0, count, size) {
			ch.answer <- fmt.Errorf("a change of %d keys and %d bytes is more than one commit holds", count, size)
			continue
		}
		if !g.fits(g.count, g.size, count, size) {
			// What it read stays true, since only this goroutine writes records. But
			// if the group's commit fails, what it read of the group was never true.
			err := g.flush()
			g = c.newGroup()
			if err != nil {
				// This change was not tried, so it is not in doubt.
				if failed = c.admit(); failed != nil {
					ch.answer <- failed
				} else {
					ch.answer <- fmt.Errorf("a change before it failed: %v", err)
				}
				continue
			}
		}
		g.add(t.Own)
		g.count += count
		g.size += size
		g.changes = append(g.changes, ch)
	}
	_ = g.flush() // it answered the changes
}

// group is the part of a batch that is committed together.
type group struct {
	db          *badger.DB
	wrote       func(error) error
	mended      func(map[string]Write)
	base        *badger.Txn // reads what was committed before
	writes      map[string]Write
	alike       map[string][]string // see [Reader]
	count, size int64               // of writes; never less than Badger counts
	changes     []*change
}

func (c *committer) newGroup() *group {
	return &group{db: c.db, wrote: c.wrote, mended: c.mended, base: c.db.NewTransaction(false), writes: map[string]Write{}, alike: map[string][]string{}}
}

// add adds what a change writes.
func (g *group) add(writes map[string]Write) {
	for k, w := range writes {
		if _, known := g.writes[k]; !known && len(k) >= alikeBytes {
			g.alike[k[:alikeBytes]] = append(g.alike[k[:alikeBytes]], k)
		}
		g.writes[k] = w
	}
}

// cost returns how much of a Badger transaction the writes take, by Badger's rules.
func (g *group) cost(writes map[string]Write) (count, size int64) {
	threshold := int64(g.db.Opts().ValueThreshold)
	for k, w := range writes {
		size += int64(len(k)) + min(int64(len(w.Value)), threshold) + EntryOverhead
	}
	return int64(len(writes)), size
}

// EntryOverhead is the maximum that Badger adds to the key and value of an entry when it counts
// what a transaction holds: a value pointer, two bytes, a version.
const EntryOverhead = 12 + 2 + 10

// fits reports whether a transaction of count keys and size bytes has room for more.
func (g *group) fits(count, size, moreCount, moreSize int64) bool {
	return count+moreCount < g.db.MaxBatchCount()-1 && size+moreSize < g.db.MaxBatchSize()-EntryOverhead
}

// flush commits and answers. The group cannot be used afterwards.
func (g *group) flush() error {
	before := g.base.ReadTs()
	g.base.Discard()
	var err error
	if len(g.writes) > 0 { // what writes nothing does not show that writes work
		if err = g.commit(); err != nil && g.isRead(before) {
			err = fmt.Errorf("%w: %v", diskerr.ErrInDoubt, err)
		}
		if err = g.wrote(err); err == nil {
			g.mended(g.writes)
		}
	}
	for _, ch := range g.changes {
		ch.answer <- err
	}
	return err
}

// isRead reports whether readers see the group's writes although its commit failed: Badger
// makes a write in memory before it syncs it. Nobody else writes records, so what is newer
// than the group's base is the group's.
func (g *group) isRead(base uint64) (is bool) {
	txn := g.db.NewTransaction(false)
	defer txn.Discard()
	for k := range g.writes {
		version, err := reading.NewestVersion(txn, []byte(k))
		if err != nil || version > base { // what cannot be read is in doubt
			return true
		}
	}
	return false
}

func (g *group) commit() error {
	txn := g.db.NewTransaction(true)
	defer txn.Discard()
	for k, w := range g.writes {
		var err error
		if w.Deleted {
			err = txn.Delete([]byte(k))
		} else {
			err = txn.Set([]byte(k), w.Value)
		}
		if err != nil {
			return fmt.Errorf("write key %x: %w", k, err)
		}
	}
	if err := txn.Commit(); err != nil {
		return fmt.Errorf("commit %d keys: %w", len(g.writes), err)
	}
	return nil
}
