package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// settling is how long a pin that was just asked for may take to appear in the pinset: until it
// is there it cannot be removed. What appears later is found by [Engine.Check].
const settling = 10 * time.Second

// Drop implements [pin.Engine]. The records remember the attempt until this returned nil, so that
// a removal is never lost: not with this server, and not with the peer that is told.
func (e *Engine) Drop(ctx context.Context, a pin.Attempt, d pin.DAG) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !d.CID().Defined() { // it is an upload's, or not known: Check finds what the pinset has and no record
		if e.cfg.Staging == nil {
			return nil
		}
		return e.cfg.Staging.Drop(ctx, a)
	}
	unlock, err := e.lock(ctx, d)
	if err != nil {
		return err
	}
	defer unlock()
	e.known.forget(d)
	// While no peer answers, each new attempt would only have the disk sync the same note again.
	if err := e.Reachable(); err != nil {
		return fmt.Errorf("unpin %s: %w", d, errAllAway(err))
	}
	if err := e.journal.note(ctx, d); err != nil {
		return err
	}
	for began := time.Now(); ; {
		if now, _, held, err := e.records.Held(ctx, d); err != nil {
			return err
		} else if held && now != 0 && now != a {
			return nil // another attempt has it, or asks for it next
		}
		gone, err := e.letGo(ctx, d, a)
		if err != nil {
			return fmt.Errorf("unpin %s: %w", d, err)
		}
		if gone || time.Since(began) > settling {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(e.cfg.PollMin):
		}
	}
}

// letGo takes what this server asked for under an attempt out of the pinset. gone is false if the
// pin was asked for and has not appeared there yet.
func (e *Engine) letGo(ctx context.Context, d pin.DAG, a pin.Attempt) (gone bool, err error) {
	err = e.each(ctx, d, func(p *peer) error {
		gone, err = e.letGoAt(ctx, p, d, a)
		return err
	})
	if err == nil && gone {
		e.posts.forget(d)
	}
	return gone, err
}

// letGoAt is letGo by one peer.
func (e *Engine) letGoAt(ctx context.Context, p *peer, d pin.DAG, a pin.Attempt) (gone bool, err error) {
	is, err := p.allocation(ctx, d.CID())
	if err != nil {
		return false, err
	}
	if is == nil {
		return !e.settles(d, a, is), nil
	}
	switch at := e.attemptIn(is.Metadata); {
	case at == 0: // others made it
		return !e.settles(d, a, is), nil
	case at > a: // it is a later attempt's
		return true, nil
	}
	q, remove := e.optionsWithout(is)
	if remove {
		return true, p.remove(ctx, d.CID())
	}
	_, err = p.post(ctx, d.CID(), q)
	return true, err
}
