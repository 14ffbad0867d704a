package provide

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

// startUp starts the provider, and tries again until that succeeds or ctx ends: a disk that is
// full may have room later. It reports whether it succeeded.
func (p *Provider) startUp(ctx context.Context) bool {
	told := make(map[string]bool)
	for {
		err := p.start(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			break
		}
		// By what was being tried, since the rest of the text may differ each time.
		if what, _, _ := strings.Cut(err.Error(), ":"); !told[what] {
			told[what] = true
			p.cfg.Logger.Error("nothing is provided; it is tried again and again", "error", err)
		}
		select {
		case <-time.After(retellEvery):
		case <-ctx.Done():
			return false
		}
	}
	if len(told) > 0 {
		p.cfg.Logger.Info("what is pinned is provided again")
	}
	return true
}

// start opens everything, or nothing if it fails. If the strategy announces less than the one
// of the last run, the keys are chosen anew.
func (p *Provider) start(ctx context.Context) (err error) {
	if err := p.ownState(ctx); err != nil {
		return err
	}
	// Once: later the memory may have what a sweep announced that was closed since.
	if !p.loaded {
		if err := p.ledger.load(ctx, time.Now()); err != nil {
			return err
		}
		p.loaded = true
	}
	var filter func(context.Context, multihash.Multihash) (bool, error)
	if p.cfg.Strategy != Roots {
		filter = p.cfg.Holds
	}
	s, err := newSweep(p.cfg, p.ds, filter, p.told)
	if err != nil {
		return err
	}
	p.sweep = s
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
			p.sweep = nil
		}
	}()
	at := datastore.NewKey("/strategy")
	last, err := p.ds.Get(ctx, at)
	if err != nil && !errors.Is(err, datastore.ErrNotFound) {
		return fmt.Errorf("read the last provide.strategy: %w", err)
	}
	if Strategy(last) == p.cfg.Strategy {
		return nil
	}
	if err == nil && Strategy(last).rank() > p.cfg.Strategy.rank() {
		if err := p.narrow(ctx); err != nil {
			return err
		}
	}
	if err := p.ds.Put(ctx, at, []byte(p.cfg.Strategy)); err != nil {
		return fmt.Errorf("write provide.strategy: %w", err)
	}
	return nil
}

// ownState forgets what another peer announced, since that leads nobody to this one.
func (p *Provider) ownState(ctx context.Context) error {
	if len(p.cfg.Networks) == 0 {
		return nil
	}
	at, self := datastore.NewKey("/self"), p.cfg.Networks[0].Self
	last, err := p.ds.Get(ctx, at)
	if err != nil && !errors.Is(err, datastore.ErrNotFound) {
		return fmt.Errorf("read who provided: %w", err)
	}
	if peer.ID(last) == self {
		return nil
	}
	if err == nil {
		p.cfg.Logger.Info("another peer provided what is pinned; it is provided anew", "before", peer.ID(last), "now", self)
		if err := p.forget(ctx); err != nil {
			return err
		}
	}
	if err := p.ds.Put(ctx, at, []byte(self)); err != nil {
		return fmt.Errorf("write who provides: %w", err)
	}
	return nil
}

// forget deletes all state but the peer that provided. So it is done again if it is
// interrupted.
func (p *Provider) forget(ctx context.Context) (err error) {
	b, err := p.ds.Batch(ctx)
	n := 0
	for e, qerr := range datastore.QueryIter(ctx, p.ds, query.Query{KeysOnly: true}) {
		if err = errors.Join(err, qerr, ctx.Err()); err != nil {
			break
		}
		if e.Key == "/self" {
			continue
		}
		if err = b.Delete(ctx, datastore.RawKey(e.Key)); err != nil {
			break
		}
		if n++; n%applyBatch > 0 {
			continue
		}
		if err = b.Commit(ctx); err == nil {
			b, err = p.ds.Batch(ctx)
		}
	}
	if err == nil {
		err = b.Commit(ctx)
	}
	if err != nil {
		return fmt.Errorf("forget what another peer provided: %w", err)
	}
	return nil
}

// narrow removes all keys but the roots. The roots were announced before, and are again when
// their turn comes.
func (p *Provider) narrow(ctx context.Context) error {
	if err := p.sweep.keys.Empty(ctx); err != nil {
		return fmt.Errorf("choose the keys to provide anew: %w", err)
	}
	var batch []multihash.Multihash
	err := p.ledger.each(ctx, func(h multihash.Multihash, _ record) error {
		if batch = append(batch, h); len(batch) < applyBatch {
			return nil
		}
		_, err := p.sweep.add(ctx, batch)
		batch = nil
		return err
	})
	if err == nil {
		_, err = p.sweep.add(ctx, batch)
	}
	return err
}

// compare finds what was pinned or unpinned while no provider ran, or just before the last one
// was killed.
func (p *Provider) compare(ctx context.Context) error {
	if p.cfg.Roots == nil {
		return nil
	}
	rank := int8(p.cfg.Strategy.rank())
	p.ledger.unsee()
	for d, err := range p.cfg.Roots(ctx) {
		if err != nil {
			return fmt.Errorf("compare what is pinned with what is provided: %w", err)
		}
		for _, told := range Told(d) {
			if told != d {
				p.below.add(told, d)
			}
			if ln, ok := p.ledger.see(told.CID().Hash()); !ok || ln.by != rank {
				p.look(told)
				if err := p.applyFull(ctx); err != nil {
					return err
				}
			}
		}
	}
	err := p.ledger.each(ctx, func(h multihash.Multihash, r record) error {
		if ln, ok := p.ledger.line(h); ok && ln.seen != ln.codecs {
			p.look(r.dags(h)...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.apply(ctx)
}
