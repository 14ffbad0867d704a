package store

import (
	"context"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

const (
	// yield is how many times as long as a read took a backup waits after it, while pins are
	// written. What else the backup does with the block takes twice as long as the read, so it
	// takes about a quarter of a core.
	yield = 10
	// A wait is made once it is worth a timer.
	shortestWait = 5 * time.Millisecond
)

// pace keeps a backup from slowing pins down. One read waits at a time, and others wait for it.
type pace struct {
	turn chan struct{} // holds a token while nobody has it
	owes time.Duration
}

func newPace() *pace {
	p := &pace{turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	return p
}

// wait waits for a read that took so long. Errors: the context's.
func (p *pace) wait(ctx context.Context, took time.Duration) error {
	select {
	case <-p.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.turn <- struct{}{} }()
	if p.owes += yield * took; p.owes < shortestWait {
		return ctx.Err()
	}
	d := min(p.owes, kv.MaxPause)
	p.owes = 0
	return kv.Sleep(ctx, d)
}
