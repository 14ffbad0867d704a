package kv

import (
	"context"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Enter begins a call that uses the database. It must be ended with [DB.Leave],
// and must not wait for anything of the caller's meanwhile.
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

// Update runs fn as one change to the records: all that it sets and deletes is
// committed at once, or nothing if it returns an error, which Update returns.
// When Update returns nil the change is durable. No other change runs at the
// same time, so what fn reads stays true until its writes are committed. fn
// should only read, decide and write: everybody's changes wait for it. A
// change may write about 10,000 keys and 1 MiB of values of up to 1 KiB (of a
// longer value only the key counts); what may be more takes several.
//
// If ctx ends before fn was taken up, fn does not run and Update returns the
// context's error; later than that, Update waits for the outcome. Errors of its
// own: diskerr.ErrClosed; diskerr.ErrDiskFull under the reserve; diskerr.ErrUnwritable; and
// diskerr.ErrInDoubt, after which fn's writes are read as made.
func (d *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	return d.commit.do(ctx, fn)
}

// View runs fn to read the records as they are at one instant, beside all that
// changes them. fn should be quick: what it may read cannot be given back
// while it runs. Errors of its own: diskerr.ErrClosed and the context's.
func (d *DB) View(ctx context.Context, fn func(*Reader) error) error {
	if err := d.Enter(ctx); err != nil {
		return err
	}
	defer d.Leave()
	txn := d.db.NewTransaction(false)
	defer txn.Discard()
	return fn(&Reader{Txn: txn})
}

// Shut refuses changes that wait, finishes the one commit that may be under way, ends what
// mends, and waits for every call that is in the database.
func (d *DB) Shut() {
	d.gate.Lock()
	d.closed = true
	d.gate.Unlock()
	d.health.mu.Lock() // nobody begins to mend after it
	d.cancel()
	d.health.mu.Unlock()
	d.commit.close()
	d.users.Wait()
	d.health.mending.Wait()
	d.looks.close()
}

// Batch is writes that are not made by the committer: of blocks and what holds them, which
// have locks of their own. Like Badger's, it may be written in several pieces, in order.
type Batch struct {
	d  *DB
	wb *badger.WriteBatch
}

// NewBatch begins a batch. It must be ended with Cancel, after a flush too.
func (d *DB) NewBatch() *Batch { return &Batch{d, d.db.NewWriteBatch()} }

// Set writes a key.
func (b *Batch) Set(key, value []byte) error { return b.filled(b.wb.Set(key, value)) }

// Delete deletes a key, which need not be there.
func (b *Batch) Delete(key []byte) error { return b.filled(b.wb.Delete(key)) }

// filled takes note of an error with which something was put into a batch: a part of it
// may have been written, as it was full.
func (b *Batch) filled(err error) error {
	if err == nil {
		return nil
	}
	return b.d.wrote(err)
}

// Cancel ends the batch.
func (b *Batch) Cancel() { b.wb.Cancel() }

// Flush makes durable what was written, and takes note of how that ended.
func (b *Batch) Flush() error { return b.d.wrote(b.wb.Flush()) }

// Snapshot reads the records as they are now, until done is called. It is for who has
// entered.
func (d *DB) Snapshot() (r *Reader, done func()) {
	txn := d.db.NewTransaction(false)
	return &Reader{Txn: txn}, txn.Discard
}
