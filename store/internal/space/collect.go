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

// ratios are those of dead bytes from which on a file is collected, one after
// the other: first where much comes back for little writing.
var ratios = [...]float64{0.5, 0.3, 0.2, 0.1}

// deferredWait is how long is waited for a file that is collected, and kept by those
// who read through many keys. It goes when they are done, whether waited for or not.
const deferredWait = 2 * time.Second

// collector has Badger collect files of the value log, those that it chooses.
type collector struct {
	s *Space
	w GiveBackWork
	// passed is files that are collected no more: those that Badger did not collect, and
	// those that are empty and are still read.
	passed    map[uint32]bool
	impatient bool // the last wait was in vain
}

// newCollector begins to collect.
func (s *Space) newCollector(w GiveBackWork) *collector {
	return &collector{s: s, w: w, passed: map[uint32]bool{}}
}

// collect rewrites what is alive in files of which much is dead, file by file.
func (c *collector) collect(ctx context.Context) error {
	for _, ratio := range ratios {
		for {
			began := time.Now()
			if err := c.tell(); err != nil {
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

// next gives the file that has the most dead bytes, and how many; none if there is no
// file of which that part is dead.
func (c *collector) next(ratio float64) (next logFile, most uint64, err error) {
	all, err := logFiles(c.s.dbDir)
	if err != nil || len(all) == 0 {
		return next, 0, err
	}
	dead := c.s.inside.discards.dead()
	for _, f := range all[:len(all)-1] { // the newest is being written
		n := min(dead[f.id], uint64(f.size))
		if c.passed[f.id] || n <= most || float64(n) < ratio*float64(f.size) {
			continue
		}
		if !marked(filepath.Join(c.s.dbDir, f.name), damagedLog) { // see rescueDamaged
			next, most = f, n
		}
	}
	return next, most, nil
}

// one collects a file, if all of it can be read; else it is known to be damaged then.
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
	// It is empty now, and goes once nobody reads through keys.
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

func (c *collector) tell() error {
	now, err := DiskUse(c.s.dbDir)
	if err != nil {
		return err
	}
	c.w.Collecting(c.w.Before - min(now, c.w.Before))
	return nil
}
