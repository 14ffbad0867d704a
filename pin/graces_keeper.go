package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// LooseGrace is how long what an upload put is kept without a request ([Upload.Keep]). Who
	// puts blocks pins them within minutes, or tries again after an outage: a day is longer than
	// a night, and so short that what is never pinned does not fill the disk.
	LooseGrace = 24 * time.Hour

	// FullGrace is for how long what was unpinned or put does not give way to a full disk either. A
	// cluster unpins a pin that moves before it is pinned elsewhere, and puts blocks before it pins
	// them: until then this may be the only copy. Who tries to pin it elsewhere and fails tries again
	// after 12 minutes (ipfs-cluster) or 10 (a front's check), and a quarter of an hour leaves room for
	// one such try. Whoever pins something else meanwhile is refused, and may try again or ask another
	// node.
	FullGrace = 15 * time.Minute

	// Graces that are over are looked for once in graceLook, or ten times in a grace that is
	// shorter, but not more often than once in graceLookMin.
	graceLook    = time.Minute
	graceLookMin = time.Second

	// roomWait is how long a client waits for something to give way to a full disk: some
	// reclaims, and less than clients wait for an answer to what takes long.
	roomWait = time.Minute
	// dropsWait is how long a reclaim waits for drops, which may fail again and again: a client that
	// waits still has the room that the reclaim makes.
	dropsWait = roomWait / 2
	// nothingFor is how long it is remembered that there is nothing to give way, so that many
	// clients on a full disk cost little.
	nothingFor = time.Second
)

// graces ends what lingers, and uploads that are kept, once their time is over or the disk needs
// the room.
type graces struct {
	records Graces
	engine  Engine
	drops   *drops
	unpin   time.Duration
	reclaim func(context.Context) error
	log     *slog.Logger
	tasks   *tasks
	ctx     context.Context // the manager's

	mu      sync.Mutex
	making  *making   // nil: no room is being made
	nothing time.Time // until when there is nothing to give way
}

// making is room that is being made.
type making struct {
	needs uint64 // bytes; more than the floor
	done  chan struct{}
}

func newGraces(ctx context.Context, cfg Config, r Graces, e Engine, d *drops, t *tasks) *graces {
	return &graces{
		records: r, engine: e, drops: d, unpin: cfg.UnpinGrace, reclaim: cfg.Reclaim, log: cfg.Logger, tasks: t, ctx: ctx,
	}
}

// loop ends graces that are over, until ctx ends.
func (g *graces) loop() {
	pause := graceLook
	if g.unpin > 0 {
		pause = min(pause, max(g.unpin/10, graceLookMin))
	}
	for {
		if err := g.endOver(g.ctx); err != nil && g.ctx.Err() == nil && !errors.Is(err, ErrDiskFull) {
			g.log.Error("let go of what was kept for a while", "err", err)
		}
		select {
		case <-g.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// endOver ends all graces that are over, or that nothing needs any more.
func (g *graces) endOver(ctx context.Context) error {
	if _, err := g.endAll(ctx, "what was unpinned does not linger any more", func() (Ended, bool, error) {
		return g.records.EndLingering(ctx, "", g.unpin)
	}); err != nil {
		return err
	}
	if _, err := g.endAll(ctx, "what was put and never pinned is not kept any more", func() (Ended, bool, error) {
		return g.records.EndUploads(ctx, "", LooseGrace)
	}); err != nil {
		return err
	}
	_, err := g.endAll(ctx, "what was put and is pinned by now does not count twice any more", func() (Ended, bool, error) {
		e, err := g.records.EndPinnedUploads(ctx)
		return e, e.Graces == EndsAtOnce, err
	})
	return err
}

// endAll calls end until nothing is left, and logs what it ended.
func (g *graces) endAll(ctx context.Context, what string, end func() (Ended, bool, error)) (all Ended, err error) {
	for more := true; more && err == nil; {
		var e Ended
		e, more, err = end()
		g.drops.suspect(err)
		g.drops.add(e.Released)
		all.Graces += e.Graces
		all.Blocks += e.Blocks
		all.Bytes += e.Bytes
	}
	if all.Graces > 0 {
		g.log.InfoContext(ctx, what, "count", all.Graces, "blocks", all.Blocks, "bytes", all.Bytes)
	}
	return all, err
}

// wantRoom has something give way, as err is an ErrDiskFull. It does not wait for that.
func (g *graces) wantRoom(err error) {
	if g.reclaim == nil {
		return
	}
	g.tasks.run(func() { g.giveWay(g.ctx, err) })
}

// giveWay makes room on a full disk, which err says: of what is dead already, then of what
// lingers, then of uploads that are kept; of each what is oldest first, and nothing that is younger
// than FullGrace. It reports whether there is room then. It waits for that, but for roomWait at most.
// If nothing lingers and no upload is kept it does nothing.
func (g *graces) giveWay(ctx context.Context, err error) bool {
	if !g.mayGive(ctx) {
		return false
	}
	var needs uint64
	if full, ok := errors.AsType[*DiskFullError](err); ok {
		needs = full.More
	}
	ctx, cancel := context.WithTimeout(ctx, roomWait)
	defer cancel()
	for {
		m, mine := g.make(needs)
		select {
		case <-m.done:
		case <-ctx.Done():
			return false
		}
		if g.engine.Room(ctx, needs) == nil {
			return true
		}
		if mine || !g.mayGive(ctx) { // another may have needed less
			return false
		}
	}
}

// mayGive reports whether there is anything that may give way.
func (g *graces) mayGive(ctx context.Context) bool {
	if g.reclaim == nil || ctx.Err() != nil {
		return false
	}
	g.mu.Lock()
	known := time.Now().Before(g.nothing)
	g.mu.Unlock()
	if known {
		return false
	}
	l, err := g.records.Lingering(ctx)
	if err != nil || l.DAGs > 0 {
		return err == nil
	}
	u, err := g.records.KeptUploads(ctx, "")
	if err != nil || u.Blocks > 0 {
		return err == nil
	}
	g.noneFor(nothingFor)
	return false
}

// noneFor notes that there is nothing to give way for some time.
func (g *graces) noneFor(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nothing = time.Now().Add(d)
}

// make begins to make room, or joins those who wait for that: then it is not mine.
func (g *graces) make(needs uint64) (m *making, mine bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.making != nil {
		return g.making, false
	}
	m = &making{needs, make(chan struct{})}
	g.making = m
	end := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.making = nil
		close(m.done)
	}
	ran := g.tasks.run(func() {
		defer end()
		if err := g.clear(m.needs); err != nil && g.ctx.Err() == nil && !errors.Is(err, ErrDiskFull) {
			g.log.Error("make room on the disk", "err", err)
		}
	})
	if !ran { // the manager closes
		g.making = nil
		close(m.done)
	}
	return m, true
}

// clear makes room for so many bytes, as far as there is something to give way. The first
// reclaim gives back only what is dead already. After that each round ends twice as much, since
// what has blocks in common with others gives back less than it has. If what was ended cannot be
// dropped, nothing more is ended.
func (g *graces) clear(needs uint64) error {
	for round := 0; ; round++ {
		err := g.engine.Room(g.ctx, needs)
		if !errors.Is(err, ErrDiskFull) {
			return err
		}
		if round > 0 {
			if ended, err := g.endOldest(missingRoom(err) << min(round-1, 10)); err != nil {
				return err
			} else if !ended { // all of it is too young
				g.noneFor(graceLook)
				return nil
			}
		}
		ctx, cancel := context.WithTimeout(g.ctx, dropsWait)
		undropped := g.drops.wait(ctx, g.ctx)
		cancel()
		stuck := errors.Is(undropped, context.DeadlineExceeded)
		if undropped != nil && !stuck && !errors.Is(undropped, ErrDiskFull) {
			return undropped
		}
		if err := g.reclaim(g.ctx); err != nil {
			return err
		}
		if stuck {
			return fmt.Errorf("wait %v until what was unpinned is dropped: %w", dropsWait, undropped)
		}
	}
}

// endOldest ends what lingers longest, of so many bytes; if nothing lingers, uploads that are
// kept.
func (g *graces) endOldest(bytes uint64) (ended bool, err error) {
	left := bytes
	once := func(end func(context.Context, time.Duration, uint64) (Ended, error)) func() (Ended, bool, error) {
		return func() (Ended, bool, error) {
			e, err := end(g.ctx, FullGrace, left)
			left -= min(left, e.Bytes)
			return e, e.Graces == EndsAtOnce && left > 0, err
		}
	}
	e, err := g.endAll(g.ctx, "what was unpinned does not linger any more, as the disk is full", once(g.records.EndOldest))
	if err != nil || e.Graces > 0 {
		return e.Graces > 0, err
	}
	e, err = g.endAll(g.ctx, "what was put and not pinned is not kept any more, as the disk is full", once(g.records.EndOldestUploads))
	return e.Graces > 0, err
}
