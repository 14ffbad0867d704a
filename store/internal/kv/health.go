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

// When a disk fails, mostly a sync fails. By then Badger has made the write in memory, so
// readers see it, and it may or may not be on disk. A later sync that works proves nothing:
// Linux forgets what it could not write. What follows the lost write in Badger's log is lost
// with it in a crash. So after such an error nothing more is written until writes work again
// and all that is in memory was written once more: values to their places in the value log,
// the rest to a table. Then memory and disk agree.

const (
	// mendEvery is how often the database tries whether writes work again.
	mendEvery = 2 * time.Second
	// provenFor is how long a write that worked counts as proof that writes work.
	provenFor = 5 * time.Second
	// proofWait is how long a write that is made as proof may take: on a busy disk a sync
	// takes a second.
	proofWait = 10 * time.Second
)

// health is whether writes work.
type health struct {
	mu      sync.Mutex
	err     error         // why they do not; nil while they do
	since   time.Time     // when that began
	written time.Time     // when a write last worked
	proof   chan struct{} // closed when the write ends that is made as proof; nil is none
	mending sync.WaitGroup
}

// MayWrite fails with diskerr.ErrUnwritable while writes do not work. Once a table was found damaged
// it always fails, and the error is a diskerr.ErrDamaged, too: the next start refuses the database,
// and what was written since would be lost.
func (d *DB) MayWrite() error {
	if err := d.sound(); err != nil {
		return fmt.Errorf("%w: %w", diskerr.ErrUnwritable, err)
	}
	d.health.mu.Lock()
	defer d.health.mu.Unlock()
	if d.health.err != nil {
		// Another write was in doubt. This one is not, and its error must not say so.
		return fmt.Errorf("%w: %s", diskerr.ErrUnwritable, strings.TrimPrefix(d.health.err.Error(), diskerr.ErrInDoubt.Error()+": "))
	}
	return nil
}

// MayUpkeep is MayWrite for all that is written while more than the lower floor is free.
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

// ofDisk reports whether an error comes from the disk, and not from the caller or from Badger.
// Badger turns some of the errors that it wraps into text.
func ofDisk(err error) bool {
	if err == nil {
		return false
	}
	if errors.Is(err, diskerr.ErrInDoubt) { // whatever the cause, memory and disk may differ
		return true
	}
	text := err.Error()
	return slices.ContainsFunc(diskErrors, func(e syscall.Errno) bool {
		return errors.Is(err, e) || strings.Contains(text, e.Error())
	})
}

// wrote records how a write to Badger ended, and returns the error to report.
func (d *DB) wrote(err error) error {
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

// Fails records why writes do not work, unless that is known already, and starts the mending.
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
	d.log.Error("writes to the disk fail: nothing is changed or stored until they work again", "err", err)
	d.health.mending.Go(d.mend)
}

// ErrLost: a part of what is in doubt cannot be read any more, so it cannot be written again.
var ErrLost = errors.New("values that could not be written to the disk are lost: restart the server, which then checks all that it had not finished")

// mend tries until writes work again and all that is in memory was written.
func (d *DB) mend() {
	for {
		if Sleep(d.ctx, d.MendEvery) != nil {
			return
		}
		err := d.writeAgain(d.ctx)
		if errors.Is(err, ErrLost) {
			d.log.Error("what could not be written to the disk is lost; nothing is changed or stored until the server is restarted", "err", err)
			d.health.mu.Lock()
			d.health.err = err
			d.health.mu.Unlock()
			return
		}
		if err != nil {
			if d.ctx.Err() == nil {
				d.log.Debug("writes to the disk do not work yet", "err", err)
			}
			continue
		}
		d.health.mu.Lock()
		if d.doubt() != nil { // another sync failed meanwhile
			d.health.mu.Unlock()
			continue
		}
		d.log.Info("the disk takes writes again", "after", d.now().Sub(d.health.since).Round(time.Second))
		d.health.err, d.health.written = nil, d.now()
		d.health.mu.Unlock()
		return
	}
}

// Writable fails if writes do not work. Unless a write worked in the last seconds, it makes
// one. Errors: diskerr.ErrUnwritable, when writes fail or one does not end;
// diskerr.ErrDiskFull, when there is no room even for removals;
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
			_ = d.SetMeta(metaProof, []byte{0}) // those who wait for it call MayWrite
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
