package kv

import (
	"context"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Enter begins a call that uses the database. The caller ends it with [DB.Leave], and does not
// wait for others of its callers before.
func (d *DB) Enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.gate.RLock()
	defer d.gate.RUnlock()
	if d.closed {
		return diskerr.ErrClosed
	}
	d.users.Add(1)
	return nil
}

// Leave ends a call that Enter began.
func (d *DB) Leave() { d.users.Done() }

// Update runs fn as one change to the records: either all that fn sets and deletes is
// committed, or, if fn returns an error, nothing. Update returns that error. When Update
// returns nil the change is durable. No other change runs at the same time, so what fn reads
// stays true until its writes are committed. All other changes wait for fn, so it should only
// read, decide and write. A change may write about 10,000 keys and 1 MiB of values; a value
// longer than 1 KiB does not count. Larger changes must be split.
//
// If ctx ends before fn was started, fn does not run and Update returns the context's error.
// Once fn was started, Update waits for the outcome. Errors of its own: diskerr.ErrClosed;
// diskerr.ErrDiskFull below the reserve; diskerr.ErrUnwritable; diskerr.ErrInDoubt, after
// which readers see fn's writes.
func (d *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return d.commit.do(ctx, fn)
}

// Post is [DB.Update] that does not wait. The change is made before those that are asked for after it,
// or in one commit with them. Nobody is told of an error, after which it may not be made.
func (d *DB) Post(fn func(*Tx) error) { d.commit.post(fn) }

// View runs fn, which reads the records as they are at one instant. Changes go on meanwhile.
// fn should be quick: while it runs, the space of what it may see cannot be given back. Errors
// of its own: diskerr.ErrClosed and the context's.
func (d *DB) View(ctx context.Context, fn func(*Reader) error) error {
	if err := d.Enter(ctx); err != nil {
		return err
	}
	defer d.Leave()
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	return fn(&Reader{Txn: txn})
}

// Shut refuses the changes that wait, finishes the commit that is under way, ends the mending,
// and waits for every call that is in the database.
func (d *DB) Shut() {
	d.gate.Lock()
	d.closed = true
	d.gate.Unlock()
	d.health.mu.Lock() // no mending begins after this
	d.cancel()
	d.health.mu.Unlock()
	d.commit.close()
	d.users.Wait()
	d.health.mending.Wait()
	d.looks.close()
}

// Batch is writes past the committer: many blocks and what holds them, which have locks of
// their own, and need not wait for records. Like a batch of Badger's it may be written in several pieces, in order.
type Batch struct {
	d  *DB
	wb *badger.WriteBatch
}

// NewBatch begins a batch. The caller ends it with Cancel, also after Flush.
func (d *DB) NewBatch() *Batch { return &Batch{d, d.db.NewWriteBatch()} }

// Set writes a key.
func (b *Batch) Set(key, value []byte) error { return b.filled(b.wb.Set(key, value)) }

// Delete deletes a key, which need not be there.
func (b *Batch) Delete(key []byte) error { return b.filled(b.wb.Delete(key)) }

// filled records an error of filling a batch: a full batch writes a part of itself.
func (b *Batch) filled(err error) error {
	if err == nil {
		return nil
	}
	return b.d.wrote(err)
}

// Cancel ends the batch.
func (b *Batch) Cancel() { b.wb.Cancel() }

// Flush makes the batch durable, and records in the database's health how that ended.
func (b *Batch) Flush() error { return b.d.wrote(b.wb.Flush()) }

// Snapshot gives the records as they are now, until done is called. The caller must have
// entered.
func (d *DB) Snapshot() (r *Reader, done func()) {
	txn := d.db.NewTransaction(false)
	return &Reader{Txn: txn}, txn.Discard
}
