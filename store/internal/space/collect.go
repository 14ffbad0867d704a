package space

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// ratios are the parts of dead bytes from which on files are collected, one after the other: first
// the files that give back much space for little writing.
var ratios = [...]float64{0.5, 0.3, 0.2, 0.1}

// deferredWait is how long a collection waits until a collected file is gone: those that read
// through many keys keep it. It goes when they are done, also if nothing waits for that.
const deferredWait = 2 * time.Second

// collector makes Badger collect the files of the value log that the collector chooses.
type collector struct {
	s *Space
	w GiveBackWork
	// passed is files not to collect again: those that Badger refused, and those that are
	// empty and still being read.
	passed    map[uint32]bool
	impatient bool // the last wait was in vain, so the next one is left out
}

// newCollector begins to collect.
func (s *Space) newCollector(w GiveBackWork) *collector {
	return &collector{s: s, w: w, passed: map[uint32]bool{}}
}

// collect collects all files of which much is dead, one by one.
func (c *collector) collect(ctx context.Context) error {
	for _, ratio := range ratios {
		for {
			began := time.Now()
			if err := c.report(); err != nil {
				return err
			}
			f, dead, err := c.next(ratio)
			if err != nil {
				return err
			}
			if dead == 0 {
				break
			}
			if err := c.one(ctx, f, dead); err != nil {
				return err
			}
			if err := c.w.Pause(ctx, time.Since(began)); err != nil {
				return err
			}
		}
	}
	return nil
}

// next gives the file with the most dead bytes, of those in which the dead part is at least ratio,
// and how many bytes are dead in it; 0 if there is no such file.
func (c *collector) next(ratio float64) (next logFile, dead uint64, err error) {
	all, err := logFiles(c.s.dbDir)
	if err != nil || len(all) == 0 {
		return next, 0, err
	}
	deadIn := c.s.inside.discards.dead()
	for _, f := range all[:len(all)-1] { // the newest is being written
		n := min(deadIn[f.id], uint64(f.size))
		if c.passed[f.id] || n <= dead || float64(n) < ratio*float64(f.size) {
			continue
		}
		if !marked(filepath.Join(c.s.dbDir, f.name), damagedLog) { // see RescueDamaged
			next, dead = f, n
		}
	}
	return next, dead, nil
}

// one collects a file. If a part of the file cannot be read, it marks the file as damaged instead.
func (c *collector) one(ctx context.Context, f logFile, dead uint64) error {
	s := c.s
	if err := s.roomToMove(uint64(f.size) - dead); err != nil {
		return err
	}
	path := filepath.Join(s.dbDir, f.name)
	if err := checkLog(ctx, path); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.noteDamagedLog(f.name, err)
	}
	undo := c.s.inside.discards.prefer(f.id)
	err := s.collect(ratios[len(ratios)-1])
	if err != nil {
		undo()
	}
	if errors.Is(err, badger.ErrNoRewrite) {
		c.passed[f.id] = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("collect %s: %w", f.name, err)
	}
	// The file is empty now. Badger deletes it once nothing reads through keys.
	for waited := time.Duration(0); ; waited += pollInterval {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			c.impatient = false
			return nil
		}
		c.passed[f.id] = true
		if c.impatient || waited >= deferredWait {
			c.impatient = true
			return nil
		}
		if err := kv.Sleep(ctx, pollInterval); err != nil {
			return err
		}
	}
}

// report reports by how much less the files take on disk.
func (c *collector) report() error {
	now, err := DiskUse(c.s.dbDir)
	if err != nil {
		return err
	}
	c.w.Collecting(c.w.Before - min(now, c.w.Before))
	return nil
}
