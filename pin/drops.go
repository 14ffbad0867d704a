package pin

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// drops has the engine let go of what released attempts hold, one attempt after the
// other.
type drops struct {
	releases Releases
	engine   Engine
	log      *slog.Logger
	// mayDrop reports whether nothing is written under an attempt. If something is, it
	// is stopped, and the attempt is added again once that has ended.
	mayDrop func(Attempt) bool

	// doubt says that a change failed which may have been made, and which may have
	// released something.
	doubt atomic.Bool
	added chan struct{} // wakes the loop; holds one

	// beginning is held for reading from before an upload begins until its attempt is in
	// uploads.
	beginning sync.RWMutex

	mu    sync.Mutex
	queue []Attempt // to be dropped
	// uploads are the attempts of uploads that live. The records list them as released.
	uploads map[Attempt]struct{}
	// undropped are released and not dropped yet: those in queue, the one that is being
	// dropped, and those that a run still writes under.
	undropped map[Attempt]struct{}
	waits     map[*dropWait]struct{}
}

func newDrops(r Releases, e Engine, log *slog.Logger, mayDrop func(Attempt) bool) *drops {
	return &drops{
		releases: r, engine: e, log: log, mayDrop: mayDrop, added: make(chan struct{}, 1),
		uploads: make(map[Attempt]struct{}), undropped: make(map[Attempt]struct{}), waits: make(map[*dropWait]struct{}),
	}
}

// add queues attempts that were released.
func (d *drops) add(released []Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addLocked(released)
}

func (d *drops) addLocked(released []Attempt) {
	if len(released) == 0 {
		return
	}
	d.queue = append(d.queue, released...)
	for _, a := range released {
		d.undropped[a] = struct{}{}
	}
	d.wake()
}

// addUnknown queues those that are not known yet. d.mu is held.
func (d *drops) addUnknown(released []Attempt) {
	d.addLocked(slices.DeleteFunc(released, func(a Attempt) bool {
		_, known := d.undropped[a]
		_, lives := d.uploads[a]
		return known || lives
	}))
}

// released reads what the records have as released. An upload that is among it is in uploads
// by then, or has ended.
func (d *drops) released(ctx context.Context) ([]Attempt, error) {
	all, err := d.releases.Released(ctx)
	d.beginning.Lock()
	//lint:ignore SA2001 a barrier: there is nothing to guard
	d.beginning.Unlock()
	return all, err
}

// begin begins an upload, whose attempt is left alone until ended is called.
func (d *drops) begin(upload func() (Intake, error)) (Intake, error) {
	d.beginning.RLock()
	defer d.beginning.RUnlock()
	in, err := upload()
	if err != nil {
		d.suspect(err)
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uploads[in.Attempt()] = struct{}{}
	return in, nil
}

// ended has the attempt of an upload dropped.
func (d *drops) ended(a Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.uploads, a)
	d.addLocked([]Attempt{a})
}

// kept leaves the attempt of an upload alone also after the upload has ended: the records do
// not list it as released any more.
func (d *drops) kept(a Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.uploads, a)
}

// suspect has the loop read what was released, if err says that a change failed and may have been made.
func (d *drops) suspect(err error) {
	if !errors.Is(err, ErrInDoubt) {
		return
	}
	d.doubt.Store(true)
	d.wake()
}

// wake has the loop look.
func (d *drops) wake() {
	select {
	case d.added <- struct{}{}:
	default:
	}
}

// recheck queues what the records have as released and nobody here knows, if something is in doubt. It
// reports whether that is to be done again.
func (d *drops) recheck(ctx context.Context) (again bool) {
	if d.doubt.Swap(false) && d.find(ctx) != nil {
		d.doubt.Store(true)
		return true
	}
	return false
}

// find queues what the records have as released and nobody here knows.
func (d *drops) find(ctx context.Context) error {
	released, err := d.released(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addUnknown(released)
	return nil
}

// loop drops what is queued, until ctx ends. What is left then is found again at the
// next start, by its mark in the records.
func (d *drops) loop(ctx context.Context) {
	pause := time.Duration(0)
	for {
		unread := d.recheck(ctx)
		d.mu.Lock()
		batch := d.queue
		d.queue = nil
		d.mu.Unlock()
		failed, blocked, err := d.dropAll(ctx, batch, pause == 0)
		if err != nil {
			return
		}
		var again <-chan time.Time
		if len(failed) > 0 {
			d.mu.Lock()
			d.queue = append(d.queue, failed...)
			d.mu.Unlock()
			pause = min(max(2*pause, retryMin), retryMax)
			if blocked {
				pause = retryMin // a look at the disk or the place, no more
			}
			again = time.After(pause)
		} else {
			pause = 0
		}
		if unread {
			again = time.After(retryMin)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.added:
		case <-again:
		}
	}
}

// dropAll drops attempts and returns those that failed; blocked says that it stopped, since the
// disk is too full for any of them or the place is away. That is logged if logBlocked. err says
// that the loop is to end.
func (d *drops) dropAll(ctx context.Context, batch []Attempt, logBlocked bool) (failed []Attempt, blocked bool, err error) {
	for i, a := range batch {
		err := d.drop(ctx, a)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return nil, false, err
		}
		full := errors.Is(err, ErrDiskFull)
		_, away := errors.AsType[*AwayError](err)
		if !full && !away || logBlocked {
			d.log.Error("drop what was unpinned", "attempt", a, "err", err)
		}
		if full { // waits end, since only a reclaim makes room; a place comes back by itself
			d.failWaits(err)
		}
		failed = append(failed, a)
		if full || away { // this one comes last the next time, lest the place be away for it alone
			return append(slices.Clone(batch[i+1:]), failed...), true, nil
		}
	}
	return failed, false, nil
}

// drop drops one attempt, unless a run writes under it. Before that it withdraws the DAG,
// which may be pinned again by now: the engine checks that.
func (d *drops) drop(ctx context.Context, a Attempt) error {
	dag, err := d.releases.ReleasedDAG(ctx, a)
	if err == nil {
		d.engine.Withdraw(dag)
	} else if !errors.Is(err, ErrNotFound) { // which may be that its record cannot be read
		return err
	}
	if !d.mayDrop(a) {
		return nil
	}
	if err := d.engine.Drop(ctx, a, dag); err != nil {
		return err
	}
	if err := d.releases.Dropped(ctx, a); err != nil {
		return err
	}
	d.dropped(a)
	return nil
}

// dropWait waits until some attempts are dropped.
type dropWait struct {
	left map[Attempt]struct{}
	done chan struct{} // closed when none is left, or with err
	err  error
}

// dropped notes that an attempt was dropped.
func (d *drops) dropped(a Attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.undropped, a)
	for w := range d.waits {
		if delete(w.left, a); len(w.left) == 0 {
			close(w.done)
			delete(d.waits, w)
		}
	}
}

// failWaits ends all waits with an error.
func (d *drops) failWaits(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.waits {
		w.err = err
		close(w.done)
		delete(d.waits, w)
	}
}

// wait waits until what is released by now is dropped. Errors: ctx's; ErrDiskFull; and
// ErrClosed when closed ends.
func (d *drops) wait(ctx, closed context.Context) error {
	// A request may be seen as pinned before what it replaced is queued here.
	released, err := d.released(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.addUnknown(released)
	if len(d.undropped) == 0 {
		d.mu.Unlock()
		return nil
	}
	w := &dropWait{left: maps.Clone(d.undropped), done: make(chan struct{})}
	d.waits[w] = struct{}{}
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waits, w)
	}()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	case <-closed.Done():
		return ErrClosed
	}
}
