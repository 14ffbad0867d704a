package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// What a disk does not take is an error of a sync, mostly. Badger has made the write
// by then: it is read from memory, and may be on disk, or not. A second sync that works
// says nothing of it, as Linux forgets what it could not write; and what follows it in
// Badger's log is lost with it in a crash. So after such an error nothing is written any
// more until the disk takes writes again and all that is in memory has been written
// anew: values to where they are in the value log, the rest to a table. Then memory and
// disk agree.

const (
	// mendEvery is how often it is tried whether the disk takes writes again.
	mendEvery = 2 * time.Second
	// provenFor is for how long a write that worked proves that writes work.
	provenFor = 5 * time.Second
	// proofWait is how long a write may take that proves it: a sync takes a second
	// where others write much.
	proofWait = 10 * time.Second
)

// health is whether the disk takes what is written.
type health struct {
	mu      sync.Mutex
	err     error         // why it does not; nil while it does
	since   time.Time     // when that began
	written time.Time     // when a write last worked
	proof   chan struct{} // closed when the write ends that is to prove it; nil is none
	mending sync.WaitGroup
}

// MayWrite fails with diskerr.ErrUnwritable while the disk does not take what is written. It
// does so for good, with an error that is a diskerr.ErrDamaged too, once a table was found
// damaged: the next start refuses the database, and what was written since would be lost.
func (d *DB) MayWrite() error {
	if err := d.sound(); err != nil {
		return fmt.Errorf("%w: %w", diskerr.ErrUnwritable, err)
	}
	d.health.mu.Lock()
	defer d.health.mu.Unlock()
	if d.health.err != nil {
		// What was in doubt is no doubt of what comes after it, nor may it read so.
		return fmt.Errorf("%w: %s", diskerr.ErrUnwritable, strings.TrimPrefix(d.health.err.Error(), diskerr.ErrInDoubt.Error()+": "))
	}
	return nil
}

// MayUpkeep is for what is written down to the lower floor.
func (d *DB) MayUpkeep() error {
	if err := d.MayWrite(); err != nil {
		return err
	}
	return d.room()
}

// diskErrors are those by which a system says that it cannot write.
var diskErrors = []syscall.Errno{
	syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENXIO, syscall.ESTALE,
}

// ofDisk reports whether an error is the disk's, and not the caller's or Badger's.
// Badger makes text of some of the errors that it wraps.
func ofDisk(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, diskerr.ErrInDoubt) { // whatever it is, memory and disk may differ
		return true
	}
	text := err.Error()
	return slices.ContainsFunc(diskErrors, func(e syscall.Errno) bool {
		return errors.Is(err, e) || strings.Contains(text, e.Error())
	})
}

// Wrote takes note of how a write to Badger ended, and gives its error.
func (d *DB) Wrote(err error) error {
	now := d.now()
	d.health.mu.Lock()
	defer d.health.mu.Unlock()
	switch {
	case err == nil:
		if err := d.doubt(); err != nil {
			return err
		}
		d.health.written = now
		return nil
	case !ofDisk(err):
		return err
	}
	d.fails(err)
	if errors.Is(err, diskerr.ErrInDoubt) {
		return err
	}
	return fmt.Errorf("%w: %w", diskerr.ErrUnwritable, err)
}

// Fails takes note of why the disk does not take what is written, if that was not known,
// and begins to mend that.
func (d *DB) Fails(err error) {
	d.health.mu.Lock()
	defer d.health.mu.Unlock()
	d.fails(err)
}

// fails is Fails; health.mu must be held.
func (d *DB) fails(err error) {
	if d.health.err != nil || d.ctx.Err() != nil {
		return
	}
	d.health.err, d.health.since = err, d.now()
	d.log.Error("the disk does not take what is written: nothing is changed or stored until it does", "err", err)
	d.health.mending.Go(d.mend)
}

// ErrLost: of what was written and is in doubt not all can be read any more, so that it
// cannot be written again.
var ErrLost = errors.New("values that the disk did not take are lost: restart the server, which then looks through all that it had not finished")

// mend tries until the disk takes writes again, and all that is in memory is written.
func (d *DB) mend() {
	for {
		if Sleep(d.ctx, d.MendEvery) != nil {
			return
		}
		err := d.writeAgain(d.ctx)
		if errors.Is(err, ErrLost) {
			d.log.Error("what the disk did not take is lost, and nothing is changed or stored until the server is restarted", "err", err)
			d.health.mu.Lock()
			d.health.err = err
			d.health.mu.Unlock()
			return
		}
		if err != nil {
			if d.ctx.Err() == nil {
				d.log.Debug("the disk does not take writes yet", "err", err)
			}
			continue
		}
		d.health.mu.Lock()
		if d.doubt() != nil { // begun since
			d.health.mu.Unlock()
			continue
		}
		d.log.Info("the disk takes writes again", "after", d.now().Sub(d.health.since).Round(time.Second))
		d.health.err, d.health.written = nil, d.now()
		d.health.mu.Unlock()
		return
	}
}

// Writable says whether what is written comes to disk. Unless a write proved that in
// the last seconds, it makes one. Errors: diskerr.ErrUnwritable, when writes fail or one
// does not end; diskerr.ErrDiskFull, when there is no room even for removals;
// diskerr.ErrClosed; the context's.
func (d *DB) Writable(ctx context.Context) error {
	if err := d.MayUpkeep(); err != nil {
		return err
	}
	d.health.mu.Lock()
	if d.now().Sub(d.health.written).Abs() < provenFor {
		d.health.mu.Unlock()
		return nil
	}
	proof := d.health.proof
	if proof == nil {
		if err := d.Enter(ctx); err != nil {
			d.health.mu.Unlock()
			return err
		}
		proof = make(chan struct{})
		d.health.proof = proof
		go func() {
			defer d.Leave()
			_ = d.SetMeta(metaProof, []byte{0}) // whoever waits for it asks mayWrite
			d.health.mu.Lock()
			d.health.proof = nil
			d.health.mu.Unlock()
			close(proof)
		}()
	}
	d.health.mu.Unlock()
	limit := time.NewTimer(proofWait)
	defer limit.Stop()
	select {
	case <-proof:
		return d.MayWrite()
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("%w: a write did not end within %v", diskerr.ErrUnwritable, proofWait)
	}
}
