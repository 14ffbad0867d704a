package provide

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// How often it is written what was announced. After a crash what was not written is
	// announced again.
	flushEvery = 10 * time.Second
	// How many announcements and withdrawals go into one commit.
	applyBatch = 1024
	// How often to look for roots that were never announced and do not wait for their turn,
	// and how long that may last. Else a network that comes back after hours would get them
	// in its next sweep only. What failed before, such as for lack of disk space, is tried
	// again at the same time; so is the start.
	retellEvery = time.Minute
	retellAfter = 2 * time.Minute
	// How many DAGs may wait for the start. The comparison at the end of the start finds
	// those beyond that.
	maxEarly = 1 << 14
	// How many DAGs may wait in memory to be walked. After a change of the strategy all that
	// are pinned wait; a comparison finds the rest when these are done.
	maxWalks = 1 << 14
	// How many keys may wait to be announced before the walk of a DAG waits for them: about
	// 20 MB in memory.
	walkAhead = 100_000
	walkPause = time.Second
)

// Provider announces what is pinned. Its methods may be called concurrently.
type Provider struct {
	cfg    Config
	ds     datastore.Batching
	ledger *ledger
	sweep  *sweep // belongs to run before open is closed, and then stays
	loaded bool   // the ledger is in memory; belongs to run
	below  below  // of what is pinned, as far as it was come upon; belongs to run
	ahead  int64  // no fewer than the keys of walks that wait to be announced; belongs to walkAll

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	open      chan struct{} // closed when the ledger is in memory and the sweep runs
	closeOnce sync.Once
	closeErr  error

	mu     sync.Mutex
	due    []pin.DAG            // DAGs to look at: announced, withdrawn, or walked
	walks  []pin.DAG            // DAGs to walk
	wanted map[pin.DAG]struct{} // those of walks, and the one that is being walked
	most   int                  // how many those may be: maxWalks, except in tests
	more   bool                 // others have to be walked and are not among them
	walked []pin.DAG            // DAGs that were walked
	kick   chan struct{}        // wakes run; holds one
	step   chan struct{}        // wakes the walker; holds one
	again  chan struct{}        // has run compare; holds one
}

// New starts a provider. It goes on where the last one on the same datastore was. The caller
// closes it, and then the datastore and the networks.
func New(cfg Config) (*Provider, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Provider{
		cfg:    cfg,
		ds:     uncancelled{cfg.Datastore},
		open:   make(chan struct{}),
		wanted: make(map[pin.DAG]struct{}),
		most:   maxWalks,
		below:  make(below),
		ahead:  walkAhead, // how many the last run left is looked at first
		kick:   make(chan struct{}, 1),
		step:   make(chan struct{}, 1),

		again: make(chan struct{}, 1),
	}
	p.ledger = openLedger(p.ds)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.run)
	return p, nil
}

// Close stops announcing, and waits until that has ended. It may be called twice.
func (p *Provider) Close() error {
	p.closeOnce.Do(func() {
		p.cancel()
		p.wg.Wait()
		if p.sweep != nil {
			p.closeErr = p.sweep.close()
		}
		p.closeErr = errors.Join(p.closeErr, p.ledger.flush(context.Background()))
	})
	return p.closeErr
}

// Announce announces a DAG that is complete now. It does not wait until that has happened.
func (p *Provider) Announce(d pin.DAG) { p.look(d) }

// Withdraw stops announcing a DAG that is not pinned any more. It does not wait until that has
// happened.
func (p *Provider) Withdraw(d pin.DAG) { p.look(d) }

// Compare has all that is pinned compared with what is announced, as at the start. It is for
// when the results of Roots and Complete have changed at many places. It does not wait.
func (p *Provider) Compare() { wake(p.again) }

// Announced gives when a DAG's root, or all that is announced in its place, was last announced;
// the zero time if it was not yet. See [Told].
func (p *Provider) Announced(d pin.DAG) time.Time {
	standIn := p.standIn()
	var first uint32
	for i, d := range Told(d) {
		ln, _ := p.ledger.line(d.CID().Hash())
		if at := ln.at(standIn); i == 0 || at < first {
			first = at
		}
	}
	return moment(first)
}

// look puts a DAG among those to look at. Only then it is found out whether the DAG is pinned.
// So the order of Announce and Withdraw does not matter.
func (p *Provider) look(ds ...pin.DAG) {
	p.mu.Lock()
	if p.isOpen() || p.cfg.Roots == nil || len(p.due) < maxEarly {
		p.due = append(p.due, ds...)
	}
	p.mu.Unlock()
	wake(p.kick)
}

// isOpen reports whether the start succeeded.
func (p *Provider) isOpen() bool {
	select {
	case <-p.open:
		return true
	default:
		return false
	}
}

func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run owns what is on disk.
func (p *Provider) run() {
	if !p.startUp(p.ctx) {
		return
	}
	close(p.open)
	if p.cfg.Strategy != Roots {
		p.wg.Go(p.walkAll)
	}
	wake(p.again)
	flush, retell, watch := time.NewTicker(flushEvery), time.NewTicker(retellEvery), time.NewTicker(watchEvery)
	defer flush.Stop()
	defer retell.Stop()
	defer watch.Stop()
	var (
		w      watcher
		behind bool // the last comparison failed
	)
	for {
		var err error
		select {
		case <-p.ctx.Done():
			return
		case <-p.again:
			err = p.compare(p.ctx)
			behind = err != nil
		case <-p.kick:
			err = p.apply(p.ctx)
		case <-flush.C:
			err = p.ledger.flush(p.ctx)
		case now := <-retell.C:
			if behind || p.walkMore() {
				wake(p.again)
			}
			err = errors.Join(p.apply(p.ctx), p.retell(p.ctx, now))
		case now := <-watch.C:
			p.watch(&w, now)
		}
		if err != nil && p.ctx.Err() == nil {
			p.cfg.Logger.Warn("trouble with providing", "error", err)
		}
	}
}

// told is called by the sweep for every peer that took a key.
func (p *Provider) told(n int, h multihash.Multihash) {
	if network := p.cfg.Networks[n]; network.counts() {
		p.ledger.told(h, time.Now(), network.Counts != nil)
	}
}

// standIn reports whether some network stands in for another now.
func (p *Provider) standIn() bool {
	return slices.ContainsFunc(p.cfg.Networks, func(n Network) bool { return n.Counts != nil && n.Counts() })
}

// applyFull applies what is due if it fills a batch.
func (p *Provider) applyFull(ctx context.Context) error {
	p.mu.Lock()
	full := len(p.due) >= applyBatch
	p.mu.Unlock()
	if !full {
		return nil
	}
	return p.apply(ctx)
}

// apply goes through what is due: what is pinned is announced from now on, the rest is not.
func (p *Provider) apply(ctx context.Context) error {
	for {
		p.mu.Lock()
		batch := p.due[:min(len(p.due), applyBatch)]
		p.due = p.due[len(batch):]
		walked := p.walked
		p.walked = nil
		p.mu.Unlock()
		if len(batch)+len(walked) == 0 {
			return nil
		}
		if err := p.applyBatch(ctx, batch, walked); err != nil {
			p.mu.Lock() // retell tries again
			p.due = append(slices.Clone(batch), p.due...)
			p.walked = append(walked, p.walked...)
			p.mu.Unlock()
			return err
		}
	}
}

// applyBatch does that for some DAGs. It writes the keys first and the ledger last, so that
// compare finds what a crash leaves.
func (p *Provider) applyBatch(ctx context.Context, batch, walked []pin.DAG) error {
	var (
		changes = make(map[string]record)
		fresh   = make(map[string]bool)
		rank    = int8(p.cfg.Strategy.rank())
		walks   []pin.DAG
		first   []pin.DAG // of those, new ones, which are found by their parts soonest
	)
	batch, err := p.expand(ctx, batch)
	if err != nil {
		return err
	}
	read := func(d pin.DAG) (key string, r record, err error) {
		key = string(d.CID().Hash())
		r, ok := changes[key]
		if !ok {
			r, _, err = p.ledger.get(ctx, d.CID().Hash())
		}
		return key, r, err
	}
	for _, d := range batch {
		pinned, err := p.isTold(ctx, d)
		if errors.Is(err, pin.ErrUnreadable) {
			continue // it stays as it is; the store has logged it, and the others do not wait for it
		}
		if err != nil {
			return err
		}
		key, r, err := read(d)
		if err != nil {
			return err
		}
		had := len(r.codecs)
		r = r.with(d.CID().Type(), pinned)
		if pinned {
			if had == 0 {
				r.since, r.by = time.Now(), -1
				fresh[key] = true
			}
			if p.cfg.Strategy == Roots {
				r.by = rank
			} else if r.by < 0 {
				first = append(first, d)
			} else if r.by != rank {
				walks = append(walks, d)
			}
		}
		changes[key] = r
	}
	for _, d := range walked {
		key, r, err := read(d)
		if err != nil {
			return err
		}
		if r.by = rank; len(r.codecs) > 0 {
			changes[key] = r
		}
	}
	var keep, tell, stop []multihash.Multihash
	for h, r := range changes {
		switch h := multihash.Multihash(h); {
		case len(r.codecs) == 0:
			stop = append(stop, h)
		case fresh[string(h)]:
			tell = append(tell, h)
			fallthrough
		default:
			keep = append(keep, h)
		}
	}
	if p.cfg.Strategy != Roots {
		stop = nil // they may be blocks of other DAGs: held sees to them
	}
	if _, err := p.sweep.add(ctx, keep); err != nil {
		return err
	}
	if err := p.sweep.stop(ctx, stop...); err != nil {
		return err
	}
	if err := p.ledger.put(ctx, changes); err != nil {
		return err
	}
	// Now it is known what to take note of.
	if err := p.sweep.tell(tell...); err != nil {
		return err
	}
	if len(first)+len(walks) > 0 {
		p.mu.Lock()
		p.walks = slices.Insert(p.walks, 0, p.toWalk(first)...)
		p.walks = append(p.walks, p.toWalk(walks)...)
		p.mu.Unlock()
		wake(p.step)
	}
	return nil
}

// toWalk gives those of some DAGs that do not wait to be walked and have room to. p.mu is
// held.
func (p *Provider) toWalk(ds []pin.DAG) (fresh []pin.DAG) {
	for _, d := range ds {
		if _, ok := p.wanted[d]; ok {
			continue
		}
		if len(p.wanted) >= p.most {
			p.more = true
			break
		}
		p.wanted[d] = struct{}{}
		fresh = append(fresh, d)
	}
	return fresh
}

// walkMore reports whether all that waited was walked, and there is more.
func (p *Provider) walkMore() (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if more = p.more && len(p.wanted) == 0 && len(p.walked) == 0; more {
		p.more = false
	}
	return more
}

// complete reports whether a DAG is complete, and so pinned.
func (p *Provider) complete(ctx context.Context, d pin.DAG) (bool, error) {
	if p.cfg.Complete == nil {
		return true, nil
	}
	ok, err := p.cfg.Complete(ctx, d)
	if err != nil {
		return false, fmt.Errorf("look whether %s is pinned: %w", d, err)
	}
	return ok, nil
}

// retell announces roots that were never announced, if nothing waits to be announced, in the
// networks that count.
func (p *Provider) retell(ctx context.Context, now time.Time) error {
	p.ledger.clamp(now)
	s, err := p.Stats(ctx)
	if err != nil || len(s.reachable) == 0 || s.QueuedKeys+s.Telling > 0 ||
		s.Untold == 0 || now.Sub(s.OldestUntold) < retellAfter {
		return err
	}
	var keys []multihash.Multihash
	standIn := p.standIn()
	err = p.ledger.each(ctx, func(h multihash.Multihash, _ record) error {
		if ln, ok := p.ledger.line(h); ok && ln.at(standIn) == 0 && len(keys) < walkAhead {
			keys = append(keys, h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.sweep.tellTo(s.reachable, keys...)
}

// walkAll walks the DAGs that are to be walked, one after the other, until ctx ends.
func (p *Provider) walkAll() {
	for {
		p.mu.Lock()
		var d pin.DAG
		if len(p.walks) > 0 {
			d, p.walks = p.walks[0], p.walks[1:]
		}
		p.mu.Unlock()
		if d == "" {
			select {
			case <-p.step:
				continue
			case <-p.ctx.Done():
				return
			}
		}
		err := p.walk(p.ctx, d)
		if p.ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		delete(p.wanted, d)
		if err == nil {
			p.walked = append(p.walked, d)
		}
		p.mu.Unlock()
		if err != nil {
			p.cfg.Logger.Warn("cannot provide all of a DAG; the next start tries again", "cid", d, "error", err)
			continue
		}
		wake(p.kick)
	}
}

// walk adds the keys of a DAG. Keys of a DAG that was announced by another strategy are
// announced when their turn comes: after a change of the strategy all that is pinned is walked,
// and a sweep spreads it over the interval.
func (p *Provider) walk(ctx context.Context, d pin.DAG) error {
	ln, _ := p.ledger.line(d.CID().Hash())
	before := ln.by >= 0
	return walk(ctx, p.cfg.Strategy, p.cfg.Blocks, d, func(keys []multihash.Multihash) error {
		keys, _, err := split(ctx, keys, p.cfg.Holds)
		if err != nil {
			return err
		}
		if before {
			_, err := p.sweep.add(ctx, keys)
			return err
		}
		for {
			if p.ahead < walkAhead {
				p.ahead += int64(len(keys) * len(p.sweep.nets))
				return p.sweep.start(ctx, keys...)
			}
			s, err := p.Stats(ctx) // it goes through all roots
			if err != nil {
				return err
			}
			if p.ahead = s.QueuedKeys; p.ahead < walkAhead {
				continue
			}
			select {
			case <-time.After(walkPause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}
