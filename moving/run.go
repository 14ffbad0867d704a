package moving

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Options say how to move pins. The zero value asks for all of them and does not wait.
type Options struct {
	// Plan only says what would be asked for.
	Plan bool
	// Patience is how long Run waits for pins while none of them moves. 0 does not wait.
	Patience time.Duration
	// Addrs are addresses of the target's nodes, by which a [Dialer] connects to them.
	Addrs []string
	// CARs says that blocks come through this process. Else the target's nodes get them by
	// themselves. The source must be an [Exporter] then, and the target an [Uploader].
	CARs bool
	// Progress gets how far Run is, from one goroutine at a time. Nil drops it.
	Progress func(Progress)
	// Note gets what people may want to know meanwhile, from several goroutines at once. Nil
	// drops it.
	Note func(string)
}

// Progress is how far a run is.
type Progress struct {
	Listed, Asked, Done int
	Listing             bool // the source has more
}

// posters is how many requests are made at the same time. A commit at the target serves them
// all.
const posters = 8

// run is one call of Run.
type run struct {
	Options
	src     Source
	dst     Target
	dialer  Dialer   // nil if the source is none
	carrier *carrier // nil if blocks come by themselves

	mu        sync.Mutex
	report    Report
	there     map[string]known  // what the target had, by its identity
	met       map[string]bool   // what the source listed
	asked     map[string]string // by id: the identity of a request whose end is not known
	delegates []string
	listed    bool
	stopped   error // why no more is asked for; nil if it goes on
}

// known is a request that the target had before.
type known struct {
	id     string
	status pin.Status
}

// Run asks the target for every pin of the source that it does not have, and waits for them.
// The report holds also after an error, which says why some pins were not asked for, or why
// the source may have more.
func Run(ctx context.Context, src Source, dst Target, o Options) (Report, error) {
	r := &run{
		Options: o, src: src, dst: dst,
		report: Report{Outcomes: map[Outcome]int{}, Troubles: []Trouble{}},
		there:  map[string]known{}, met: map[string]bool{}, asked: map[string]string{},
	}
	if r.Note == nil {
		r.Note = func(string) {}
	}
	if r.Progress == nil {
		r.Progress = func(Progress) {}
	}
	if o.CARs {
		from, gives := src.(Exporter)
		to, takes := dst.(Uploader)
		if !gives || !takes {
			return r.report, errors.New("blocks can be carried only from a Kubo, and only to the server on the data directory")
		}
		r.carrier = newCarrier(from, to)
	} else {
		r.dialer, _ = src.(Dialer)
	}
	if err := dst.Requests(ctx, pin.Statuses(), r.has); err != nil {
		return r.report, fmt.Errorf("read what is pinned at the target: %w", err)
	}
	err := r.move(ctx)
	if !o.Plan {
		if err == nil && o.Patience > 0 {
			err = r.follow(ctx)
		}
		err = errors.Join(err, r.conclude(ctx))
	}
	return r.report, err
}

// has notes a request of the target. Of several for one pin, that counts which is furthest.
func (r *run) has(q Request) error {
	id := r.dst.Same(q.Pin)
	if old, ok := r.there[id]; !ok || furthest[q.Status] > furthest[old.status] {
		r.there[id] = known{q.ID, q.Status}
	}
	if r.carrier != nil {
		r.carrier.has(q.Pin.CID, q.Status)
	}
	return nil
}

// move lists the source and asks for its pins at the same time. A list is read as fast as it
// comes: a Kubo holds its pins locked meanwhile.
func (r *run) move(ctx context.Context) error {
	listing, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.dialer != nil && !r.Plan {
		r.dial(ctx)
	}
	queue := newQueue()
	var workers sync.WaitGroup
	for range posters {
		workers.Go(func() {
			for p, ok := queue.next(); ok; p, ok = queue.next() {
				if err := r.ask(ctx, p); err != nil {
					r.stop(err)
					cancel() // the source need not be read on; what others ask for is asked
				}
			}
		})
	}
	err := r.src.Each(listing, func(p Pin) error {
		if p, isNew := r.sort(p.checked()); isNew {
			queue.add(p)
		}
		return listing.Err()
	})
	r.mu.Lock()
	r.listed = true
	r.mu.Unlock()
	queue.close()
	workers.Wait()
	if r.stopped != nil {
		return r.stopped
	}
	if err != nil {
		return fmt.Errorf("list the source: %w", err)
	}
	return nil
}

// sort counts a pin of the source, and reports whether it is to be asked for.
func (r *run) sort(p Pin) (Pin, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.tell()
	r.report.Listed++
	if p.LeftOut != "" {
		r.report.add(p, LeftOut, p.LeftOut)
		return p, false
	}
	id := r.dst.Same(p)
	if r.met[id] {
		r.report.add(p, Again, "")
		return p, false
	}
	r.met[id] = true
	old, ok := r.there[id]
	switch {
	case ok && old.status == pin.Pinned:
		r.report.add(p, Here, "")
	case ok && r.Plan && old.status == pin.Failed:
		r.report.add(p, Failed, "it was asked for before, and failed")
	case ok && r.Plan:
		r.report.add(p, Waiting, "it was asked for before")
	case ok && r.carrier == nil:
		r.asked[old.id] = id // by a run before, or by somebody else
	case r.Plan:
		r.report.add(p, New, p.Note)
	default:
		return p, true
	}
	return p, false
}

// tell reports the progress. The caller holds the lock.
func (r *run) tell() {
	out := r.report.Outcomes
	r.Progress(Progress{
		Listed: r.report.Listed, Asked: len(r.asked) + out[Pinned], Listing: !r.listed,
		Done: out[Pinned] + out[Here] + out[Failed] + out[LeftOut] + out[Again],
	})
}

func (r *run) stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == nil {
		r.stopped = err
	}
}

// ask brings a pin. An error says that no others need be tried.
func (r *run) ask(ctx context.Context, p Pin) error {
	r.mu.Lock()
	stopped := r.stopped != nil
	r.mu.Unlock()
	switch {
	case stopped:
		r.count(p, NotAsked, "")
		return nil
	case r.carrier != nil:
		return r.carry(ctx, p)
	}
	_, err := r.request(ctx, p)
	return err
}

// request makes the request for a pin, and reports whether there is one. An error says that
// no others need be tried.
func (r *run) request(ctx context.Context, p Pin) (asked bool, err error) {
	id := r.dst.Same(p)
	made, err := r.add(ctx, p, "import-"+id)
	if a, ok := errors.AsType[*AnswerError](err); ok && (a.Status == http.StatusGone || a.Status == http.StatusUnprocessableEntity) {
		// The pin was asked for before and removed since. Now it is wanted again.
		made, err = r.add(ctx, p, "import-"+rand.Text())
	}
	why, refused := refusal(err)
	switch {
	case err == nil:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked[made.ID] = id
		if p.Note != "" {
			r.report.trouble(p, Pinned, p.Note)
		}
		if len(r.delegates) == 0 && len(made.Delegates) > 0 && !strings.HasPrefix(made.Delegates[0], "/unix/") {
			r.delegates = made.Delegates
		}
		r.tell()
		return true, nil
	case refused && why == "":
		r.count(p, Here, "")
		return false, nil
	case refused:
		r.count(p, Failed, why)
		return false, nil
	}
	r.count(p, NotAsked, "")
	return false, fmt.Errorf("ask for %s: %w", p.CID, err)
}

func (r *run) add(ctx context.Context, p Pin, key string) (made Request, err error) {
	made, err = r.dst.Add(ctx, p, key)
	if err == nil && made.ID == "" {
		err = &brokenError{errors.New("the service answers without the id of the request")}
	}
	return made, err
}

func (r *run) count(p Pin, o Outcome, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.add(p, o, why)
	r.tell()
}

// refusal reports whether an error is about the one pin, and why. A pin that the service has
// already is refused without a reason.
func refusal(err error) (why string, refused bool) {
	a, ok := errors.AsType[*AnswerError](err)
	if !ok {
		return "", false
	}
	switch a.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusUnavailableForLegalReasons:
		if strings.Contains(strings.ToUpper(a.Reason), "DUPLICATE") { // as Pinata has it
			return "", true
		}
		return a.Error(), true
	}
	return "", false
}

// dial connects the source's node with the target's, if it can. Blocks may come without.
func (r *run) dial(ctx context.Context) {
	r.mu.Lock()
	addrs := r.Addrs
	if len(addrs) == 0 {
		addrs = r.delegates
	}
	r.mu.Unlock()
	if len(addrs) == 0 {
		return
	}
	if err := r.dialer.Dial(ctx, addrs); err != nil && ctx.Err() == nil {
		r.Note("the source cannot connect to this server's node, which will try it the other way: " + strings.ReplaceAll(err.Error(), "\n", "; "))
		r.dialer = nil
	}
}
