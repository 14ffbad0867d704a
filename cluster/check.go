package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// What records, pinset and nodes may differ in.
const (
	Missing  = "missing"    // it is pinned here, and the pinset does not have it
	Outdated = "outdated"   // the pinset has it otherwise than it is wanted
	Few      = "few copies" // fewer nodes have it than there are to be
	Lost     = "lost copy"  // a node does not have it that should
	Orphan   = "orphan"     // this server asked for it, and nothing here needs it
	Stray    = "stray"      // a node has it, and the pinset does not, or not for that node
)

// Kinds lists them all.
func Kinds() []string { return []string{Missing, Outdated, Few, Lost, Orphan, Stray} }

// Difference is one that was found.
type Difference struct {
	Kind string
	CID  string
	Peer string // whose copy it is about, for people; "" if it is about the pinset
	Text string // what it is, or what is waited for
	// Mended says that something was done about it. If Kind is Few or Lost the copies still have
	// to come.
	Mended bool
	Err    error // why nothing was done
}

// Report is what a check found.
type Report struct {
	Began, Ended time.Time
	Pins         uint64            // of the pinset
	Ours         uint64            // of those, pins that this server asked for
	Found        map[string]uint64 // differences by kind
	Mended       map[string]uint64
	More         uint64   // candidates that were too many for one check
	Unread       []string // peers and nodes that could not be asked, so that their copies were not looked at
}

const (
	// maxCandidates is how many differences one check looks into. The next one takes the rest.
	maxCandidates = 20_000
	// mendPause is between two changes, so that the nodes have time for users' pins.
	mendPause = 10 * time.Millisecond
	// workShare: a check works for one part in so many of the time, so that users are not slowed.
	workShare = 4
)

// checker is what checks remember.
type checker struct {
	running chan struct{} // holds one while a check runs

	mu    sync.Mutex
	last  Report
	total Report // found and mended since the start
	below map[pin.DAG]time.Time
	// forgotten is since when a peer is known not to have a pin in its pinset that others have.
	forgotten map[copyAt]time.Time
	began     int // how many checks began; only the one that runs uses it
}

func (c *checker) init() {
	c.running = make(chan struct{}, 1)
	c.below = make(map[pin.DAG]time.Time)
	c.forgotten = make(map[copyAt]time.Time)
	c.total.Found, c.total.Mended = make(map[string]uint64), make(map[string]uint64)
}

// round is one check.
type round struct {
	e      *Engine
	repair bool
	tell   func(Difference)
	report Report

	key     pin.DAG // by which the peer is chosen whose pinset is read: by chance, anew for each check
	lister  *peer   // that peer
	pinset  hashes
	there   map[string]*hashes // by the ID of a peer: what its node has; nil if that is not known
	lacks   map[string]*hashes // by the ID of a peer: what it says that it has not pinned
	away    map[string]string  // by the ID of a peer: why nothing is known of its copies
	room    map[string]uint64
	below   map[pin.DAG]time.Time
	missing []pin.DAG
	outdate []pin.DAG
	orphans []pin.DAG
	few     []pin.DAG
	newest  pin.Attempt // of this server's in the pinset
	older   bool        // the pinset has a request of this server that its records never had
	lost    []copyAt
	strays  []copyAt
	started time.Time // when it last rested
}

// copyAt is a copy at the node of a peer.
type copyAt struct {
	cid  cid.Cid
	peer string
}

// Check compares the records with the pinset and the pinset with the nodes. With repair it mends
// what differs. It looks at each difference once more before it says so, as pins come and go
// meanwhile. tell is called with each, in one goroutine. One check runs at a time; another
// waits. Its memory is about 8 bytes for each pin and for each copy.
func (e *Engine) Check(ctx context.Context, repair bool, tell func(Difference)) (Report, error) {
	select {
	case e.check.running <- struct{}{}:
		defer func() { <-e.check.running }()
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	r := &round{
		e: e, repair: repair, tell: tell, pinset: hashes{seed: e.seed}, started: time.Now(),
		there: make(map[string]*hashes), lacks: make(map[string]*hashes), away: make(map[string]string), below: make(map[pin.DAG]time.Time),
		report: Report{Began: time.Now(), Found: make(map[string]uint64), Mended: make(map[string]uint64)},
	}
	e.check.began++
	r.key = pin.DAG(strconv.Itoa(e.check.began))
	err := r.run(ctx)
	r.report.Ended = time.Now()
	e.check.mu.Lock()
	defer e.check.mu.Unlock()
	for k, n := range r.report.Found {
		e.check.total.Found[k] += n
	}
	for k, n := range r.report.Mended {
		e.check.total.Mended[k] += n
	}
	if err == nil {
		e.check.last, e.check.below = r.report, r.below
	}
	return r.report, err
}

func (r *round) run(ctx context.Context) error {
	if err := r.readPeers(ctx); err != nil {
		return err
	}
	err := r.readPinset(ctx, func() {
		r.pinset.all, r.missing, r.outdate, r.orphans, r.report.More = nil, nil, nil, nil, 0
		r.report.Pins, r.report.Ours = 0, 0
	}, r.seePin)
	if err != nil {
		return err
	}
	r.pinset.sort()
	if err := r.checkAge(ctx); err != nil {
		return err
	}
	for d, err := range r.e.records.Roots(ctx) {
		if err != nil {
			return fmt.Errorf("read what is pinned here: %w", err)
		}
		if !r.pinset.has(d.CID()) {
			addTo(r, &r.missing, d)
		}
		r.rest(ctx)
	}
	if err := r.readNodes(ctx); err != nil {
		return err
	}
	unlisted := r.strays
	if err := r.readPinset(ctx, func() {
		r.few, r.lost, r.strays = nil, nil, slices.Clip(unlisted)
	}, r.seeCopies); err != nil {
		return err
	}
	return r.mend(ctx)
}

// rest pauses so that a check works for a part of the time only.
func (r *round) rest(ctx context.Context) {
	const spell = 50 * time.Millisecond
	worked := time.Since(r.started)
	if worked < spell {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(min(worked, time.Second) * (workShare - 1)):
	}
	r.started = time.Now()
}

// addTo adds a candidate, unless there are too many.
func addTo[T any](r *round, to *[]T, one T) {
	if len(*to) >= maxCandidates {
		r.report.More++
		return
	}
	*to = append(*to, one)
}

// found tells a difference, and counts it.
func (r *round) found(d Difference) {
	r.report.Found[d.Kind]++
	if d.Mended {
		r.report.Mended[d.Kind]++
	}
	r.tell(d)
}

// Run checks and mends again and again, every so often, until ctx ends. It logs each difference.
func (e *Engine) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failing := false
	var unread []string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		report, err := e.Check(ctx, true, func(d Difference) {
			level, attrs := slog.LevelInfo, []any{"difference", d.Kind, "cid", d.CID, "mended", d.Mended, "text", d.Text}
			if d.Peer != "" {
				attrs = append(attrs, "peer", d.Peer)
			}
			if d.Err != nil {
				level, attrs = slog.LevelWarn, append(attrs, "err", d.Err)
			}
			e.log.Log(ctx, level, "records and cluster differ", attrs...)
		})
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			e.log.Warn("the cluster cannot be compared with the records", "err", err)
		case err == nil:
			e.log.Debug("records and cluster were compared", "pins", report.Pins, "ours", report.Ours, "unread", report.Unread)
			if len(report.Unread) > 0 && !slices.Equal(report.Unread, unread) {
				e.log.Warn("the copies of some peers or nodes cannot be compared", "unread", report.Unread,
					"hint", "`holdfast cluster status` says how the peers are; cluster.nodes has the URLs of their nodes")
			}
			unread = report.Unread
		}
		failing = err != nil
	}
}
