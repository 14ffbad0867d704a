package pin

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/awake"
	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

// scheduler has a job for each DAG that requests in memory wait for, gives the jobs
// places by the rules of package turns, and runs those that have one.
type scheduler struct {
	cfg      Config
	log      *slog.Logger
	requests Requests
	work     Work
	engine   Engine
	drops    *drops
	gates    *gates
	tasks    *tasks
	workers  *turns.Workers
	clock    *awake.Clock // all timeouts use it; it is looked at once a tick
	yielding yielding
	counts   counts
	changes  changes
	starved  func(error) // is told the error of a run that a full disk ended; does not wait

	ctx    context.Context // ends when the manager closes
	kicked chan struct{}   // wakes the loop; holds one
	spare  chan func()     // to goroutines that wait for a turn
	spares atomic.Int64    // how many those are

	// beginning is held for reading from before Begin until the attempt that it gave is
	// in attempts.
	beginning sync.RWMutex

	mu       sync.Mutex // guards all below, and the jobs
	jobs     map[DAG]*job
	attempts map[Attempt]*job // those that a run may be writing under
	turns    *turns.Turns
	refilled time.Time // when it was last checked whether more is to be read from disk
	readAt   time.Time // after an error, when more is read again
	unread   seldom    // such errors
	adrift   bool      // see findAdrift
	sought   time.Time // when findAdrift last looked
	repairs  repairLog
}

func newScheduler(ctx context.Context, cfg Config, records Records, engine Engine, t *tasks) *scheduler {
	s := &scheduler{
		cfg: cfg, log: cfg.Logger, requests: records, work: records, engine: engine, tasks: t,
		gates: newGates(), clock: awake.New(cfg.Now),
		ctx: ctx, kicked: make(chan struct{}, 1), spare: make(chan func()),
		jobs: make(map[DAG]*job), attempts: make(map[Attempt]*job),
		turns: turns.New(turns.Config{
			Places: cfg.Seekers, Window: cfg.Window, Slice: cfg.Slice, IdleSlice: cfg.IdleTimeout,
		}),
		repairs: repairLog{first: cfg.StallTimeout, stuck: make(map[DAG]*stuckRepair)},
	}
	s.yielding.every = cfg.Yield
	s.workers = turns.NewWorkers(cfg.Workers, s.clock.Now)
	s.drops = newDrops(records, engine, cfg.Logger, s.mayDrop)
	return s
}

// closed reports whether the manager closes.
func (s *scheduler) closed() bool { return s.ctx.Err() != nil }

// kick makes the loop look at once.
func (s *scheduler) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// of returns the job that turns are kept for.
func (s *scheduler) of(t *turns.Job) *job { return s.jobs[DAG(t.Key)] }

// asked runs a client's call for a new request, to which turns give way.
func (s *scheduler) asked(call func() error) error {
	s.yielding.asking()
	defer func() { s.yielding.left(s.clock.Now()) }()
	return call()
}

// joined adds a request that was just committed to the job for its DAG.
func (s *scheduler) joined(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.Status.Done() {
		s.enqueue(r, false)
	}
	s.kick()
}

// enqueue adds a request to the job for its DAG, which it makes if there is none. old
// says that the request was read from disk, and is behind the oldest of its account.
func (s *scheduler) enqueue(r Request, old bool) {
	who := member{r.Account, r.ID}
	j := s.jobs[r.DAG()]
	if j == nil {
		j = s.newJob(r)
	}
	if _, ok := j.members.get(who); ok {
		return
	}
	freshOrigins := j.hints.add(r)
	if !old || r.Status == Queued { // a client is not blamed for a stall that began before it asked
		j.moved = s.clock.Now()
		j.restored = false
	}
	w := waiter{created: r.Created, status: r.Status}
	j.members.set(who, w)
	switch j.State() {
	case turns.Waiting:
		var spilled []*turns.Job
		if old || r.Status != Queued { // a repair stays in memory until its first try
			w.place = s.turns.PushOld(&j.Job, r.Account)
		} else {
			w.place, spilled = s.turns.Push(&j.Job, r.Account)
		}
		j.members.set(who, w)
		for _, t := range spilled {
			s.spillUntried(s.of(t))
		}
	case turns.Running:
		j.dirty = true
		j.fresh = j.fresh || freshOrigins
		if !s.renew(j, s.clock.Now()) && r.Status == Queued {
			s.beginJoined(j.dag)
		}
	case turns.Parked:
		s.setParked(j, j.NextTry())
		s.turns.Wake(&j.Job)
	}
}

// renew has a run that receives nothing begin anew if there are new origins, so that these are tried. The
// ones before them have had Slice for an answer then, however often others ask for the DAG.
func (s *scheduler) renew(j *job, now time.Time) bool {
	if !j.fresh || j.seeking.IsZero() || now.Sub(j.renewed) < s.cfg.Slice || j.handles() {
		return false
	}
	j.fresh, j.renewed = false, now
	j.cancel(errRecheck)
	return true
}

// newJob makes the job for a request's DAG.
func (s *scheduler) newJob(r Request) *job {
	j := &job{dag: r.DAG()}
	j.Key, j.Account = string(j.dag), r.Account
	s.jobs[j.dag] = j
	return j
}

// beginJoined makes a request that joined a running job Pinning.
func (s *scheduler) beginJoined(d DAG) {
	s.tasks.run(func() {
		s.beginning.RLock()
		defer s.beginning.RUnlock()
		_, _, err := s.work.Begin(s.ctx, d)
		s.drops.suspect(err)
		// If the error lasts, the job's own run meets and reports it.
		if err != nil && !errors.Is(err, ErrNotFound) && s.ctx.Err() == nil {
			s.log.Debug("begin for a request that joined", "cid", d, "err", err)
		}
	})
}

// left notes that a request is gone. It stops the fetch if no request in memory waits for
// it any more. Requests on disk may: the next Begin finds out.
func (s *scheduler) left(r Request) {
	s.changes.tell(r.DAG(), Change{})
	if r.Status.Done() && !r.Damaged {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[r.DAG()]; j != nil {
		s.leave(j, member{r.Account, r.ID})
	} else {
		s.adrift = true
	}
}

// leaveAll takes requests from a job.
func (s *scheduler) leaveAll(j *job, all []member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range all {
		s.leave(j, m)
	}
}

// leave takes a request from a job.
func (s *scheduler) leave(j *job, m member) {
	j.members.remove(m)
	j.hints.remove(m)
	if j.members.len() > 0 {
		return
	}
	switch j.State() {
	case turns.Running:
		j.dirty = true // the next run forgets the job if no request is left
		j.cancel(errRecheck)
	case turns.Parked:
		s.turns.Wake(&j.Job)
	}
	s.kick()
}

// forget removes a job that is over, or whose requests are on disk alone from now on.
func (s *scheduler) forget(j *job) {
	delete(s.jobs, j.dag)
	s.turns.Forget(&j.Job)
}

// mayDrop reports whether nothing writes under a released attempt. If a run does, it is
// stopped, and the attempt is added to the drops when the run has ended.
func (s *scheduler) mayDrop(a Attempt) bool {
	// A Begin that could still have been given the attempt holds this lock until it has
	// noted that; a later Begin cannot be given it.
	s.beginning.Lock()
	//lint:ignore SA2001 a barrier: there is nothing to guard
	s.beginning.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.attempts[a]
	if j == nil {
		return true
	}
	j.released = append(j.released, a)
	j.cancel(errReleased)
	return false
}

// peerConnected wakes parked jobs, as [Manager.PeerConnected] says.
func (s *scheduler) peerConnected(peer string, inbound bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns.PeerCame(peer, inbound, s.clock.Now())
	s.kick()
}
