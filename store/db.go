package store

import (
	"context"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/fault"
)

// enter begins a call that uses the database. It must be ended with s.leave,
// and must not wait for anything of the caller's meanwhile.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return fault.ErrClosed
	}
	s.users.Add(1)
	return nil
}

func (s *Store) leave() { s.users.Done() }

// update runs fn as one change to the records: all that it sets and deletes is
// committed at once, or nothing if it returns an error, which update returns.
// When update returns nil the change is durable. No other change runs at the
// same time, so what fn reads stays true until its writes are committed. fn
// should only read, decide and write: everybody's changes wait for it. A
// change may write about 10,000 keys and 1 MiB of values of up to 1 KiB (of a
// longer value only the key counts); what may be more takes several.
//
// If ctx ends before fn was taken up, fn does not run and update returns the
// context's error; later than that, update waits for the outcome. Errors of its
// own: fault.ErrClosed; fault.ErrDiskFull under the reserve; fault.ErrUnwritable; and
// fault.ErrInDoubt, after which fn's writes are read as made.
func (s *Store) update(ctx context.Context, fn func(*tx) error) error {
	return s.commit.do(ctx, fn)
}

// view runs fn to read the records as they are at one instant, beside all that
// changes them. fn should be quick: what it may read cannot be given back
// while it runs. Errors of its own: fault.ErrClosed and the context's.
func (s *Store) view(ctx context.Context, fn func(*reader) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	return fn(&reader{txn: txn})
}

// shut refuses changes that wait, finishes the one commit that may be under way, ends what
// mends, and waits for every call that is in the database.
func (s *Store) shut() {
	s.gate.Lock()
	s.closed = true
	s.gate.Unlock()
	s.health.mu.Lock() // nobody begins to mend after it
	s.cancel()
	s.health.mu.Unlock()
	s.commit.close()
	s.users.Wait()
	s.health.mending.Wait()
	s.looks.close()
}

// batch is writes that are not made by the committer: of blocks and what holds them, which
// have locks of their own. Like Badger's, it may be written in several pieces, in order.
type batch struct {
	s  *Store
	wb *badger.WriteBatch
}

// newBatch begins a batch. It must be ended with cancel, after a flush too.
func (s *Store) newBatch() *batch { return &batch{s, s.db.NewWriteBatch()} }

func (b *batch) Set(key, value []byte) error { return b.wb.Set(key, value) }

func (b *batch) Delete(key []byte) error { return b.wb.Delete(key) }

func (b *batch) Cancel() { b.wb.Cancel() }

// Flush makes durable what was written, and takes note of how that ended.
func (b *batch) Flush() error { return b.s.wrote(b.wb.Flush()) }

// snapshot reads the records as they are now, until done is called. It is for who has
// entered.
func (s *Store) snapshot() (r *reader, done func()) {
	txn := s.db.NewTransaction(false)
	return &reader{txn: txn}, txn.Discard
}

func (s *Store) initKV(room func() error, pushOut func(context.Context) error, kindOf func([]byte) string) {
	s.room, s.pushOut, s.kindOf, s.mendEvery = room, pushOut, kindOf, mendEvery
	s.commit = newCommitter(s.db, s.mayUpkeep, s.wrote)
}
