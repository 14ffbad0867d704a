package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
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

	unsynced *unsynced // what is in doubt in the value log; nil is nothing
	unsyncs  int       // how many syncs of it failed
	// collecting is whether Badger moves values from one file of it to another.
	collecting bool
}

// mayWrite fails with pin.ErrUnwritable while the disk does not take what is written.
func (s *Store) mayWrite() error {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.err != nil {
		// What was in doubt is no doubt of what comes after it, nor may it read so.
		return fmt.Errorf("%w: %s", pin.ErrUnwritable, strings.TrimPrefix(s.health.err.Error(), pin.ErrInDoubt.Error()+": "))
	}
	return nil
}

// mayUpkeep is for what is written down to the lower floor.
func (s *Store) mayUpkeep() error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	return s.roomForUpkeep()
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
	if errors.Is(err, pin.ErrInDoubt) { // whatever it is, memory and disk may differ
		return true
	}
	text := err.Error()
	return slices.ContainsFunc(diskErrors, func(e syscall.Errno) bool {
		return errors.Is(err, e) || strings.Contains(text, e.Error())
	})
}

// wrote takes note of how a write to Badger ended, and gives its error.
func (s *Store) wrote(err error) error {
	now := s.cfg.Now()
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	switch {
	case err == nil && s.health.unsynced != nil:
		return s.health.inDoubt()
	case !ofDisk(err):
		if err == nil {
			s.health.written = now
		}
		return err
	}
	s.fails(err)
	if errors.Is(err, pin.ErrInDoubt) {
		return err
	}
	return fmt.Errorf("%w: %w", pin.ErrUnwritable, err)
}

// fails takes note of why the disk does not take what is written, and begins to mend
// that. health.mu must be held.
func (s *Store) fails(err error) {
	if s.health.err != nil || s.ctx.Err() != nil {
		return
	}
	s.health.err, s.health.since = err, s.cfg.Now()
	s.log.Error("the disk does not take what is written: nothing is changed or stored until it does", "err", err)
	s.health.mending.Go(s.mend)
}

// mend tries until the disk takes writes again, and all that is in memory is written.
func (s *Store) mend() {
	for {
		if sleep(s.ctx, s.mendEvery) != nil {
			return
		}
		err := s.writeAllAgain(s.ctx)
		if errors.Is(err, errLostValues) {
			s.log.Error("what the disk did not take is lost, and nothing is changed or stored until the server is restarted", "err", err)
			s.health.mu.Lock()
			s.health.err = err
			s.health.mu.Unlock()
			return
		}
		if err != nil {
			if s.ctx.Err() == nil {
				s.log.Debug("the disk does not take writes yet", "err", err)
			}
			continue
		}
		s.health.mu.Lock()
		if s.health.unsynced != nil {
			s.health.mu.Unlock()
			continue
		}
		s.log.Info("the disk takes writes again", "after", s.cfg.Now().Sub(s.health.since).Round(time.Second))
		s.health.err, s.health.written = nil, s.cfg.Now()
		s.health.mu.Unlock()
		return
	}
}

// writeAllAgain brings to disk what may be in memory alone.
func (s *Store) writeAllAgain(ctx context.Context) error {
	if err := s.writeValuesAgain(ctx); err != nil {
		return err
	}
	if err := s.pushOutMemory(ctx); err != nil {
		return err
	}
	return s.setMeta(metaEnd, nil)
}

// Writable says whether what is written comes to disk. Unless a write proved that in
// the last seconds, it makes one. Errors: pin.ErrUnwritable, when writes fail or one
// does not end; pin.ErrDiskFull, when there is no room even for removals;
// pin.ErrClosed; the context's.
func (s *Store) Writable(ctx context.Context) error {
	if err := s.mayUpkeep(); err != nil {
		return err
	}
	s.health.mu.Lock()
	if s.cfg.Now().Sub(s.health.written).Abs() < provenFor {
		s.health.mu.Unlock()
		return nil
	}
	proof := s.health.proof
	if proof == nil {
		if err := s.enter(ctx); err != nil {
			s.health.mu.Unlock()
			return err
		}
		proof = make(chan struct{})
		s.health.proof = proof
		go func() {
			defer s.leave()
			_ = s.setMeta(metaProof, []byte{0}) // whoever waits for it asks mayWrite
			s.health.mu.Lock()
			s.health.proof = nil
			s.health.mu.Unlock()
			close(proof)
		}()
	}
	s.health.mu.Unlock()
	limit := time.NewTimer(proofWait)
	defer limit.Stop()
	select {
	case <-proof:
		return s.mayWrite()
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("%w: a write did not end within %v", pin.ErrUnwritable, proofWait)
	}
}
