package pin

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Config tunes a [Manager]. The zero value of a field means its default.
type Config struct {
	// Workers is how many DAGs are handled at the same time. More of them cost
	// memory (each has a few MiB of blocks in hand) and bring no speed.
	Workers int // default 16
	// Seekers is how many DAGs may have wants open at the same time, those with a
	// worker included. A Bitswap peer keeps 1,024 wants of another peer, and a busy
	// walk has some hundred open.
	Seekers int // default 512
	// Slice is how long a DAG that receives nothing keeps its place while new ones wait: long enough to
	// learn whether it will receive something, but no longer, since a new request may wait that long.
	Slice time.Duration // default 2s: enough to dial an origin and ask it
	// EvictedPause is the longest pause before a DAG that gave its place to others has another turn. It
	// doubles each time.
	EvictedPause time.Duration // default 5m
	// Yield is how often a turn begins while clients wait for their requests to become durable: so long
	// after the one before. Zero does not let turns wait for clients.
	Yield time.Duration
	// IdleTimeout is how long a fetch that receives nothing keeps its worker.
	IdleTimeout time.Duration // default 20s
	// StallTimeout is how long a DAG of which nothing came is looked for before it fails.
	// A DAG of which something came is parked after that at the latest, if others wait.
	StallTimeout time.Duration // default 30m
	// KeepPartial is how long a DAG of which something came waits for its source, and what
	// came is kept: from its last block on, through restarts. Then it fails. Less than
	// StallTimeout counts as that; negative is StallTimeout.
	KeepPartial time.Duration // default 7 days
	// TotalTimeout is how long a DAG may take in all, from when it was first tried,
	// whether it makes progress or not. Zero is no limit.
	TotalTimeout time.Duration
	// Window bounds how many DAGs are in memory while they wait. For their first try
	// there are the oldest of each account, as many as Window over all accounts
	// together, and as many of the newest. For another try there are as many as Window
	// of each account, and three times as many over all. Each account may have 64 in any
	// case. The others stay on disk until there is room.
	Window int // default 5,000: about 25 MB in all
	// Limits bound every DAG.
	Limits Limits
	// Quotas bound what accounts may pin: New gives them to the records, and the manager
	// ends fetches that exceed them. Nil bounds nothing.
	Quotas Quotas
	// Admit returns why a request cannot be made: an [*InvalidError], or nil. It is called
	// before anything is written. Nil admits all.
	Admit func(Spec) error
	// Denied returns why the operator does not want a DAG here: an error that is an
	// ErrDenied, or nil if the DAG may be here. It is called for each request, and for
	// what is pinned whenever that is shown. Nil denies nothing.
	Denied func(DAG) error
	// UnpinGrace is how long a DAG lingers after [Manager.Unpin]. Zero is not at all.
	UnpinGrace time.Duration
	// Reclaim gives back the space of what is not held any more, and returns when it has done
	// so. It is called while the disk is full and something lingers, or an upload is kept,
	// that may give way. Nil: nothing gives way to a full disk.
	Reclaim func(ctx context.Context) error
	// Logger logs what happens to pins; default slog.Default().
	Logger *slog.Logger
	// Now tells the time, for timeouts; default [time.Now].
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, 16)
	c.Seekers = cmp.Or(c.Seekers, 512)
	c.Slice = cmp.Or(c.Slice, 2*time.Second)
	c.EvictedPause = cmp.Or(c.EvictedPause, retryMax)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 20*time.Second)
	c.StallTimeout = cmp.Or(c.StallTimeout, 30*time.Minute)
	c.KeepPartial = cmp.Or(c.KeepPartial, 7*24*time.Hour)
	c.Window = cmp.Or(c.Window, 5_000)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Manager moves requests through their life. Clients call it; a scheduler in it runs the
// fetches. Its methods may be called concurrently.
type Manager struct {
	cfg      Config
	log      *slog.Logger
	requests Requests
	engine   Engine
	jobs     *scheduler
	drops    *drops
	full     *fullLog
	keeper   *keeper
	uploads  uploads
	graces   *graces
	once     onces

	ctx    context.Context // ends when the manager closes
	cancel context.CancelFunc
	tasks  tasks // every goroutine of the manager

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // calls of clients
}

// New starts a manager. It takes up what was unfinished when the last one ended, and what
// was released and not dropped. The caller closes it, before it closes records and
// engine.
func New(ctx context.Context, cfg Config, records Records, engine Engine) (*Manager, error) {
	cfg = cfg.withDefaults()
	m := &Manager{cfg: cfg, log: cfg.Logger, requests: records, engine: engine}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	m.jobs = newScheduler(m.ctx, cfg, records, engine, &m.tasks)
	m.drops = m.jobs.drops
	if cfg.Quotas != nil {
		records.SetQuotas(cfg.Quotas)
	}
	m.graces = newGraces(m.ctx, cfg, records, engine, m.drops, &m.tasks)
	m.jobs.starved = m.graces.wantRoom
	m.full = &fullLog{log: cfg.Logger, room: engine.Room, blocked: m.jobs.wantRoom, tasks: &m.tasks, ctx: m.ctx}
	if err := m.resume(ctx, records); err != nil {
		m.cancel()
		return nil, err
	}
	m.tasks.run(m.jobs.loop)
	m.tasks.run(func() { m.drops.loop(m.ctx) })
	m.keeper = &keeper{jobs: m.jobs, quotas: cfg.Quotas, engine: engine, log: cfg.Logger}
	m.tasks.run(func() { m.keeper.loop(m.ctx) })
	m.tasks.run(m.graces.loop)
	if cfg.Quotas != nil {
		watch := &quotaWatch{
			quotas: cfg.Quotas, requests: records, work: records, drops: m.drops, jobs: m.jobs, log: cfg.Logger,
		}
		m.tasks.run(func() { watch.loop(m.ctx) })
	}
	m.jobs.kick()
	return m, nil
}

// resume reads what the last manager left.
func (m *Manager) resume(ctx context.Context, r Releases) error {
	released, err := r.Released(ctx)
	if err != nil {
		return fmt.Errorf("read what was being unpinned: %w", err)
	}
	m.drops.add(released)
	if err := m.jobs.resume(ctx); err != nil {
		return fmt.Errorf("read unfinished pins: %w", err)
	}
	return nil
}

// Close stops every fetch, waits until nothing runs any more, and leaves unfinished
// requests to be taken up again. Calls under way are finished; later ones return
// [ErrClosed]. It may be called twice.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.calls.Wait()
	m.tasks.close()
	return nil
}

// enter registers a call, so that Close waits for it.
func (m *Manager) enter() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.calls.Add(1)
	return nil
}

// WaitUnpinned waits until the engine has let go of what was unpinned by now, so that a
// reclaim finds it. It also waits for what fails and is tried again, such as while the place is
// away. Errors: the context's; ErrDiskFull when only a reclaim can make room; ErrClosed.
func (m *Manager) WaitUnpinned(ctx context.Context) error { return m.drops.wait(ctx, m.ctx) }

// WarnFull logs that clients are refused because the disk is full, if err is an
// ErrDiskFull, and later that there is room again. It does so once in a while, however
// often it is called. The one who starts the server calls it with what Room returns then.
func (m *Manager) WarnFull(err error) { m.full.pinRefused(err) }

// PeerConnected says that a peer which may have blocks is connected now. Parked pins are
// tried again early: those that name the peer as an origin; and if the peer connected to
// us, some others too, the ones whose next try is nearest. That is how a client delivers
// what it asked us to pin, but a public node has such peers all the time.
func (m *Manager) PeerConnected(peer string, inbound bool) { m.jobs.peerConnected(peer, inbound) }
