package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
)

// RunKind says what a run does.
type RunKind string

const (
	RunReclaim RunKind = "reclaim"
	RunVerify  RunKind = "verify"
	RunRepair  RunKind = "repair" // a check, after which the DAGs of damaged blocks are fetched again
)

// Run is work on the whole store that goes on for long. It is kept until maxRuns others have
// begun or the server stops.
type Run struct {
	ID    string    `json:"id"`
	Kind  RunKind   `json:"kind"`
	By    string    `json:"by,omitempty"` // ID of an account; left out: the host's operator
	Began time.Time `json:"began"`        // both times are UTC
	Ended time.Time `json:"ended,omitzero"`

	Progress   StoreProgress `json:"progress"`
	Damage     []Damage      `json:"damage"`      // the first maxRunDamage blocks
	MoreDamage uint64        `json:"more_damage"` // how many blocks are not in Damage
	Repairing  []string      `json:"repairing"`   // CIDs of DAGs, the first maxRunDamage

	// One of them is set once it has ended.
	Reclaimed *Reclaimed    `json:"reclaimed,omitempty"`
	Verified  *VerifyReport `json:"verified,omitempty"`
	Failure   *Failure      `json:"failure,omitempty"`
}

// Running reports whether it has not ended.
func (r Run) Running() bool { return r.Ended.IsZero() }

const (
	// maxRuns is how many runs are kept, and shown to admins.
	maxRuns = 10
	// maxRunDamage bounds what a run keeps of what it found: the log of a command has all.
	maxRunDamage = 100
)

// Runs are the runs of a server, those by the socket and those by admins over TCP. Nil keeps
// none.
type Runs struct {
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu  sync.Mutex
	all []*running // the newest first
}

// NewRuns makes one that has no runs. The caller closes it.
func NewRuns() *Runs {
	r := &Runs{}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// Close ends what runs in the background, and waits for it.
func (r *Runs) Close() {
	r.stop()
	r.work.Wait()
}

// running is a run that a server knows.
type running struct {
	mu     sync.Mutex
	run    Run
	cancel context.CancelFunc
}

// begin notes that a run begins, and gives its context. The caller calls end. If alone is set, ok is
// false while another run of the store does the like: it reclaims, or it checks.
func (r *Runs) begin(ctx context.Context, kind RunKind, by string, alone bool) (_ context.Context, one *running, ok bool) {
	ctx, cancel := context.WithCancel(ctx)
	one = &running{cancel: cancel, run: Run{
		ID: uuid.NewString(), Kind: kind, By: by, Began: time.Now().UTC(), Damage: []Damage{}, Repairing: []string{},
	}}
	if r == nil {
		return ctx, one, true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := -1
	for i, o := range r.all {
		now := o.snapshot()
		if !now.Running() {
			ended = i
		} else if alone && (now.Kind == RunReclaim) == (kind == RunReclaim) {
			cancel()
			return nil, nil, false
		}
	}
	if len(r.all) >= maxRuns && ended >= 0 {
		r.all = slices.Delete(r.all, ended, ended+1)
	}
	r.all = slices.Insert(r.all, 0, one)
	return ctx, one, true
}

// list gives all that are kept, the newest first.
func (r *Runs) list() []Run {
	out := []Run{}
	if r == nil {
		return out
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		out = append(out, one.snapshot())
	}
	return out
}

// find gives the run with an ID; nil if there is none.
func (r *Runs) find(id string) *running {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.all {
		if one.run.ID == id { // it never changes
			return one
		}
	}
	return nil
}

// snapshot is how the run is now. Nobody changes what it refers to.
func (o *running) snapshot() Run {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.run
	s.Damage, s.Repairing = slices.Clip(s.Damage), slices.Clip(s.Repairing)
	return s
}

// progress notes how far the run is.
func (o *running) progress(p StoreProgress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.run.Progress = p
}

// damage notes a damaged block.
func (o *running) damage(d Damage) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.run.Damage) == maxRunDamage {
		o.run.MoreDamage++
		return
	}
	o.run.Damage = append(o.run.Damage, d)
}

// repairing notes a DAG that is fetched again.
func (o *running) repairing(cid string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.run.Repairing) < maxRunDamage {
		o.run.Repairing = append(o.run.Repairing, cid)
	}
}

// end notes how the run ended, and lets go of its context.
func (o *running) end(result func(*Run)) {
	o.cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.run.Ended = time.Now().UTC()
	result(&o.run)
}

// reclaimIn reclaims as a run, and calls progress as well.
func (h handlers) reclaimIn(ctx context.Context, run *running, progress func(StoreProgress)) (Reclaimed, error) {
	var report Reclaimed
	err := withoutPanic(func() (err error) {
		report, err = h.Store.Reclaim(ctx, func(p StoreProgress) {
			run.progress(p)
			progress(p)
		})
		return err
	})
	run.end(func(r *Run) {
		if r.Failure = h.failureOfRun(err); err == nil {
			r.Reclaimed = &report
		}
	})
	return report, err
}

// verifyIn checks the store as a run, and calls watch as well.
func (h handlers) verifyIn(ctx context.Context, run *running, repair bool, watch VerifyWatch) (VerifyReport, error) {
	var report VerifyReport
	err := withoutPanic(func() (err error) {
		report, err = h.Store.Verify(ctx, repair, VerifyWatch{
			Progress: func(p StoreProgress) {
				run.progress(p)
				watch.Progress(p)
			},
			Damage: func(d Damage) error {
				run.damage(d)
				return watch.Damage(d)
			},
			Repairing: func(cid string) {
				run.repairing(cid)
				watch.Repairing(cid)
			},
		})
		return err
	})
	run.end(func(r *Run) {
		if r.Failure = h.failureOfRun(err); err == nil {
			r.Verified = &report
		}
	})
	return report, err
}

// withoutPanic calls f, and makes a panic of it an error: a run ends, whatever happens in it.
func withoutPanic(f func() error) (err error) {
	defer func() {
		if p := faults.Recovered(recover()); p != nil {
			err = p
		}
	}()
	return f()
}

// failureOfRun is how a run says what went wrong; nil if err is.
func (s *Server) failureOfRun(err error) *Failure {
	if err == nil {
		return nil
	}
	_, f := s.failureOf(err)
	return &f
}

// verifyKind is the kind of a check.
func verifyKind(repair bool) RunKind {
	if repair {
		return RunRepair
	}
	return RunVerify
}

// caller is the ID of the account that calls; "" is the operator on the socket.
func (h handlers) caller(c echo.Context) string {
	if h.by == BySocket {
		return ""
	}
	p, _ := auth.PrincipalFrom(c.Request().Context())
	return p.Account
}

// newRun says what to begin.
type newRun struct {
	Kind RunKind `json:"kind"`
}

type oneRun struct {
	success
	Run Run `json:"run"`
}

// shown leaves out of runs what only the operator of the host may see: the causes of faults.
func (h handlers) shown(runs []Run) []Run {
	for i, r := range runs {
		if f := r.Failure; h.by == ByToken && f != nil && f.Error.Reason == faults.Reason(http.StatusInternalServerError) {
			hidden := authhttp.NewFailure(http.StatusInternalServerError, "something went wrong on the server; its log says what, beside the id of this run")
			runs[i].Failure = &hidden
		}
	}
	return runs
}

func (h handlers) listRuns(c echo.Context) error {
	return c.JSON(http.StatusOK, struct {
		success
		Runs []Run `json:"runs"`
	}{ok, h.shown(h.Runs.list())})
}

// beginRun begins a run in the background. There is one of a kind at a time.
func (h handlers) beginRun(c echo.Context) error {
	var in newRun
	if err := authhttp.ReadJSON(c, &in); err != nil {
		return err
	}
	switch in.Kind {
	case RunReclaim, RunVerify, RunRepair:
	default:
		return invalid("kind", "must be %s, %s or %s", RunReclaim, RunVerify, RunRepair)
	}
	one, err := h.inBackground(in.Kind, h.caller(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, oneRun{ok, h.shown([]Run{one.snapshot()})[0]})
}

func (h handlers) inBackground(kind RunKind, by string) (*running, error) {
	if h.Runs == nil {
		return nil, authhttp.NotFound("nothing runs in the background here: no server runs")
	}
	ctx, one, ok := h.Runs.begin(h.Runs.ctx, kind, by, true)
	if !ok {
		return nil, authhttp.Conflict("one is under way already")
	}
	h.Log.Info("work on the store begins", "run", kind, "account", by)
	h.Runs.work.Go(func() {
		var err error
		if kind == RunReclaim {
			_, err = h.reclaimIn(ctx, one, func(StoreProgress) {})
		} else {
			_, err = h.verifyIn(ctx, one, kind == RunRepair, VerifyWatch{
				Progress: func(StoreProgress) {}, Damage: func(Damage) error { return nil }, Repairing: func(string) {},
			})
		}
		var panicked *faults.PanicError
		switch {
		case errors.As(err, &panicked):
			h.Log.Error("work on the store failed", "run", kind, "id", one.run.ID, "err", err, "stack", string(panicked.Stack))
		case err != nil:
			h.Log.Warn("work on the store ended early", "run", kind, "id", one.run.ID, "err", err)
		}
	})
	return one, nil
}

// endRun ends a run, by whomever it was begun. What it has done stays done.
func (h handlers) endRun(c echo.Context) error {
	one := h.Runs.find(c.Param("id"))
	if one == nil {
		return authhttp.NotFound("there is no such run")
	}
	one.cancel()
	return c.JSON(http.StatusOK, oneRun{ok, h.shown([]Run{one.snapshot()})[0]})
}
