package pin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/awake"
	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// Config tunes a [Manager]. The zero value of a field means its default.
type Config struct {
	// Workers is how many DAGs are handled at the same time. More waste
	// memory (each has a few MiB of blocks in hand) rather than gain speed.
	Workers int // default 16
	// Seekers is how many DAGs may have wants open at the same time, those
	// with a worker included. A Bitswap peer keeps 1,024 wants of another, and
	// a busy walk has some hundred open.
	Seekers int // default 512
	// IdleTimeout is how long a fetch that receives nothing keeps its worker.
	IdleTimeout time.Duration // default 20s
	// StallTimeout is how long a DAG may get no further before it fails.
	StallTimeout time.Duration // default 30m
	// TotalTimeout is how long a DAG may take in all, from when it was first
	// tried, while it gets further or not. Zero is no limit.
	TotalTimeout time.Duration
	// Window is how many DAGs of all accounts together are in memory that wait for their
	// first try, the oldest of each account, and as many of the newest; and how many of
	// an account that wait for another try; of these three times as many over all. 64 of
	// each account there may be in any case. Others stay on disk until there is room.
	Window int // default 10,000: about 50 MB in all
	// Limits bound every DAG.
	Limits Limits
	// Quotas bound what accounts may pin. Nil: nothing does.
	Quotas Quotas
	// Denied says why the operator does not want a DAG here, by an error that is
	// an ErrDenied; nil if it may be here. It is asked of each request, and of
	// what is pinned whenever that is shown. Nil denies nothing.
	Denied func(DAG) error
	// Logger is told what happens to pins; default slog.Default().
	Logger *slog.Logger
	// Now tells the time, for timeouts; default [time.Now].
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.Workers = cmp.Or(c.Workers, 16)
	c.Seekers = cmp.Or(c.Seekers, 512)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 20*time.Second)
	c.StallTimeout = cmp.Or(c.StallTimeout, 30*time.Minute)
	c.Window = cmp.Or(c.Window, 10_000)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Manager moves requests through their life. Its methods may be called
// concurrently.
type Manager struct {
	cfg     Config
	log     *slog.Logger
	records Records
	fetcher Fetcher
	workers *turns.Workers
	clock   *awake.Clock // of all timeouts; it is looked at once a tick
	counts  counts

	ctx    context.Context // ends when the manager closes
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the manager
	calls  sync.WaitGroup // calls of clients
	kicked chan struct{}  // wakes the loop; holds one

	// doubt: a change of a run's own failed and may have been made, which may have
	// released something.
	doubt atomic.Bool

	// beginning is held for reading while an attempt is asked for and noted.
	beginning sync.RWMutex

	mu       sync.Mutex
	closed   bool
	jobs     map[DAG]*job
	attempts map[Attempt]*job // that a run may be writing under
	turns    *turns.Turns
	refilled time.Time // when it was last looked whether more is to be read
	full     fullness
	heldUp   map[DAG]*holdUp
	stuck    map[DAG]*stuck // repairs that the log has
	drops    []Attempt      // to be dropped
	dropKick chan struct{}
	// Released, and not dropped yet: in drops, or held up by a run, or being dropped.
	undropped map[Attempt]struct{}
	dropWaits map[*dropWait]struct{}
}

// New starts a manager, which takes up whatever was unfinished when the last
// one ended. The caller closes it, before it closes records and fetcher.
func New(ctx context.Context, cfg Config, records Records, fetcher Fetcher) (*Manager, error) {
	cfg = cfg.withDefaults()
	m := &Manager{
		cfg: cfg, log: cfg.Logger, records: records, fetcher: fetcher,
		clock:  awake.New(cfg.Now),
		kicked: make(chan struct{}, 1), dropKick: make(chan struct{}, 1),
		jobs: make(map[DAG]*job), attempts: make(map[Attempt]*job),
		heldUp: make(map[DAG]*holdUp), stuck: make(map[DAG]*stuck),
		undropped: make(map[Attempt]struct{}), dropWaits: make(map[*dropWait]struct{}),
	}
	m.workers = turns.NewWorkers(cfg.Workers, m.clock.Now)
	m.turns = turns.New(turns.Config{Places: cfg.Seekers, Window: cfg.Window, Slice: slice, IdleSlice: cfg.IdleTimeout})
	if cfg.Quotas != nil {
		records.SetQuotas(cfg.Quotas)
	}
	released, err := records.Released(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what was being unpinned: %w", err)
	}
	m.queueDrops(released)
	if err := m.resume(ctx); err != nil {
		return nil, fmt.Errorf("read unfinished pins: %w", err)
	}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	m.wg.Go(m.loop)
	m.wg.Go(m.dropLoop)
	if cfg.Quotas != nil {
		m.wg.Go(m.quotaLoop)
	}
	m.kick()
	return m, nil
}

// Close stops every fetch, waits until nothing runs any more, and leaves
// unfinished requests to be taken up again. Calls under way are finished;
// later ones return [ErrClosed]. It may be called twice.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.calls.Wait()
	m.wg.Wait()
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

// Add makes a request. It returns once the request is durable.
// Errors: those of [Records].Add, and ErrDenied. After ErrInDoubt the request goes
// on as if there were none; so it is with all that changes something.
func (m *Manager) Add(ctx context.Context, account string, s Spec) (View, error) {
	if err := m.enter(); err != nil {
		return View{}, err
	}
	defer m.calls.Done()
	if err := m.denied(s.DAG()); err != nil {
		return View{}, err
	}
	var r Request
	err := m.unhurried(ctx, func() (err error) {
		r, err = m.records.Add(ctx, account, s)
		return err
	})
	m.WarnFull(err)
	if err != nil && !errors.Is(err, ErrInDoubt) {
		return View{}, err
	}
	m.joined(r)
	return m.view(r), err
}

// Replace removes a request and makes another in its stead, in one step. What
// the old one held is kept until the new one is done.
// Errors: those of [Records].Replace, and ErrDenied.
func (m *Manager) Replace(ctx context.Context, account, id string, s Spec) (View, error) {
	if err := m.enter(); err != nil {
		return View{}, err
	}
	defer m.calls.Done()
	if err := m.denied(s.DAG()); err != nil {
		return View{}, err
	}
	var (
		r, old   Request
		released []Attempt
	)
	err := m.unhurried(ctx, func() (err error) {
		r, old, released, err = m.records.Replace(ctx, account, id, s)
		return err
	})
	m.WarnFull(err)
	if err != nil && !errors.Is(err, ErrInDoubt) {
		return View{}, err
	}
	m.log.Info("pin replaced", "cid", r.DAG(), "requestid", r.ID, "account", account,
		"was_cid", old.DAG(), "was_requestid", old.ID)
	m.joined(r)
	m.left(old)
	m.drop(released)
	return m.view(r), err
}

const (
	// An account that makes requests faster than milliseconds is slowed down to that,
	// for so long, before it is refused.
	tooFastWait  = 2 * time.Second
	tooFastPause = 20 * time.Millisecond
)

// unhurried makes a request, and again while the account makes them too fast.
func (m *Manager) unhurried(ctx context.Context, try func() error) error {
	for deadline := time.Now().Add(tooFastWait); ; {
		err := try()
		if !errors.Is(err, ErrTooFast) || !time.Now().Before(deadline) {
			return err
		}
		select {
		case <-time.After(tooFastPause):
		case <-ctx.Done():
			return ctx.Err()
		case <-m.ctx.Done():
			return err
		}
	}
}

// Remove deletes a request. A fetch that only it wanted is stopped.
// Errors: ErrNotFound.
func (m *Manager) Remove(ctx context.Context, account, id string) error {
	if err := m.enter(); err != nil {
		return err
	}
	defer m.calls.Done()
	old, err := m.remove(ctx, account, id)
	if err == nil {
		m.log.Info("pin removed", "cid", old.DAG(), "requestid", old.ID, "account", account)
	}
	return err
}

func (m *Manager) remove(ctx context.Context, account, id string) (Request, error) {
	old, released, err := m.records.Remove(ctx, account, id)
	m.warnNoRemoval(err)
	if err != nil && !errors.Is(err, ErrInDoubt) {
		return Request{}, err
	}
	m.left(old)
	m.drop(released)
	return old, err
}

// RemoveAll deletes every request of an account, and says how many those were; the log
// has that in one line. Requests that are made meanwhile may stay.
func (m *Manager) RemoveAll(ctx context.Context, account string) (removed int, err error) {
	if err := m.enter(); err != nil {
		return 0, err
	}
	defer m.calls.Done()
	defer func() {
		if removed > 0 {
			m.log.Info("all pins of an account removed", "account", account, "requests", removed)
		}
	}()
	return removeAll(ctx, m.records, account, func(ctx context.Context, account, id string) error {
		_, err := m.remove(ctx, account, id)
		return err
	})
}

// removeAll is RemoveAll of all who have records. Each request goes by remove.
func removeAll(ctx context.Context, records Records, account string, remove func(ctx context.Context, account, id string) error) (removed int, err error) {
	q := Query{Statuses: Statuses(), Limit: 1000}
	for {
		page, err := records.List(ctx, account, q)
		if err != nil {
			return removed, fmt.Errorf("list pins to remove: %w", err)
		}
		if len(page.Requests) == 0 {
			return removed, nil
		}
		// Together, they share syncs.
		errs := make(chan error, len(page.Requests))
		for _, r := range page.Requests {
			go func() { errs <- remove(ctx, account, r.ID) }()
		}
		var failed error
		for range page.Requests {
			switch err := <-errs; {
			case err == nil:
				removed++
			case !errors.Is(err, ErrNotFound):
				failed = err
			}
		}
		if failed != nil {
			return removed, fmt.Errorf("remove pins: %w", failed)
		}
	}
}

// Retry tries a failed request again. Errors: ErrNotFound, ErrNotFailed,
// ErrQuota, ErrDenied.
func (m *Manager) Retry(ctx context.Context, account, id string) (View, error) {
	if err := m.enter(); err != nil {
		return View{}, err
	}
	defer m.calls.Done()
	r, err := m.records.Get(ctx, account, id)
	if err != nil {
		return View{}, err
	}
	if err := m.denied(r.DAG()); err != nil {
		return View{}, err
	}
	r, err = m.records.Retry(ctx, account, id)
	m.WarnFull(err)
	if err != nil && !errors.Is(err, ErrInDoubt) {
		return View{}, err
	}
	m.joined(r)
	return m.view(r), err
}

// Get reads a request. Errors: ErrNotFound.
func (m *Manager) Get(ctx context.Context, account, id string) (View, error) {
	if err := m.enter(); err != nil {
		return View{}, err
	}
	defer m.calls.Done()
	r, err := m.records.Get(ctx, account, id)
	if err != nil {
		return View{}, err
	}
	return m.view(r), nil
}

// List reads a page of an account's requests, newest first.
func (m *Manager) List(ctx context.Context, account string, q Query) (ViewPage, error) {
	if err := m.enter(); err != nil {
		return ViewPage{}, err
	}
	defer m.calls.Done()
	page, err := m.records.List(ctx, account, q)
	if err != nil {
		return ViewPage{}, err
	}
	views := make([]View, len(page.Requests))
	for i, r := range page.Requests {
		views[i] = m.view(r)
	}
	return ViewPage{Count: page.Count, Views: views}, nil
}

// joined takes up a request that was just committed.
func (m *Manager) joined(r Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attach(r)
	m.kick()
}

// attach adds a request that was just made, or tried again, to the job for its DAG.
func (m *Manager) attach(r Request) {
	if r.Status.Done() {
		return
	}
	m.enqueue(r, false)
}

// enqueue adds a request to the job for its DAG, which it makes if need be. old is
// whether it was read from disk, and is behind the oldest of its account.
func (m *Manager) enqueue(r Request, old bool) {
	d, who := r.DAG(), member{r.Account, r.ID}
	j := m.jobs[d]
	if j == nil {
		j = m.newJob(r)
	}
	if _, ok := j.members.get(who); ok {
		return
	}
	fresh := j.addOrigins(r.Origins)
	j.moved = m.clock.Now() // nobody is told of a stall that began before they asked
	w := waiter{created: r.Created, status: r.Status}
	j.members.set(who, w)
	switch j.State() {
	case turns.Waiting:
		var spilled []*turns.Job
		if old || r.Status != Queued { // a repair does not go to disk before its first try
			w.place = m.turns.PushOld(&j.Job, r.Account)
		} else {
			w.place, spilled = m.turns.Push(&j.Job, r.Account)
		}
		j.members.set(who, w)
		for _, t := range spilled {
			m.leaveOnDisk(m.of(t))
		}
	case turns.Running:
		j.dirty = true
		if fresh && (j.progress == nil || j.progress.Received.Load() == 0) {
			j.cancel(errRecheck) // so that the new origins are tried
		} else if r.Status == Queued {
			m.begin(j)
		}
	case turns.Parked:
		m.setParked(j, j.NextTry())
		m.turns.Wake(&j.Job)
	}
}

// newJob makes the job that a request is for.
func (m *Manager) newJob(r Request) *job {
	j := &job{dag: r.DAG()}
	j.Key, j.Account = string(j.dag), r.Account
	m.jobs[j.dag] = j
	return j
}

// begin moves a request that joined a running job on to Pinning.
func (m *Manager) begin(j *job) {
	m.wg.Go(func() {
		m.beginning.RLock()
		defer m.beginning.RUnlock()
		_, _, err := m.records.Begin(m.ctx, j.dag)
		// The job's own run meets, and reports, what lasts of an error.
		if err != nil && !errors.Is(err, ErrNotFound) && m.ctx.Err() == nil {
			m.log.Debug("begin for a request that joined", "cid", j.dag, "err", err)
		}
	})
}

// left notes that a request is gone, and stops the fetch if nobody here wants
// it any more. Requests that are only on disk may: the next Begin tells.
func (m *Manager) left(r Request) {
	if r.Status.Done() && !r.Damaged {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[r.DAG()]; j != nil {
		m.leave(j, member{r.Account, r.ID})
	}
}

// leave takes a request from a job.
func (m *Manager) leave(j *job, who member) {
	j.members.remove(who)
	if j.members.len() > 0 {
		return
	}
	switch j.State() {
	case turns.Running:
		j.dirty = true // the next run forgets it, if it should be
		j.cancel(errRecheck)
	case turns.Parked:
		m.turns.Wake(&j.Job)
	}
	m.kick()
}
