package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
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
}

func (c *checker) init() {
	c.running = make(chan struct{}, 1)
	c.below = make(map[pin.DAG]time.Time)
	c.total.Found, c.total.Mended = make(map[string]uint64), make(map[string]uint64)
}

// hashes is a set of CIDs, 8 bytes each. Two CIDs are taken for one another once in 2^64 pairs;
// the next run of the server has another seed.
type hashes struct {
	seed maphash.Seed
	all  []uint64
}

func (h *hashes) of(c cid.Cid) uint64 { return maphash.String(h.seed, c.KeyString()) }
func (h *hashes) add(c cid.Cid)       { h.all = append(h.all, h.of(c)) }
func (h *hashes) sort()               { slices.Sort(h.all) }
func (h *hashes) has(c cid.Cid) bool {
	if h == nil {
		return false
	}
	_, found := slices.BinarySearch(h.all, h.of(c))
	return found
}

// round is one check.
type round struct {
	e      *Engine
	repair bool
	tell   func(Difference)
	report Report

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

// readPeers reads what each peer says that it has not pinned, and how much room there is.
func (r *round) readPeers(ctx context.Context) (err error) {
	if r.room, err = r.e.freespace(ctx); err != nil {
		return err
	}
	for _, id := range r.e.members() {
		p := r.e.byID(id)
		if p == nil {
			r.unread(id, shortID(id), errors.New("cluster.peers does not have its URL"))
			continue
		}
		if _, err := p.state(); err != nil {
			r.unread(id, p.name(), err)
			continue
		}
		lacks := &hashes{seed: r.e.seed}
		for s, err := range p.inFlight(ctx) {
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.unread(id, p.name(), err)
				break
			}
			if c, err := cid.Decode(s.CID); err == nil {
				lacks.add(c)
			}
		}
		lacks.sort()
		r.lacks[id] = lacks
	}
	return nil
}

// unread notes that a peer cannot be asked.
func (r *round) unread(id, name string, why error) {
	r.away[id] = why.Error()
	r.report.Unread = append(r.report.Unread, name)
}

// readPinset calls see with each pin, after begin. If a peer ends the list early, another one
// begins anew.
func (r *round) readPinset(ctx context.Context, begin func(), see func(context.Context, cid.Cid, *pinInfo) error) error {
	return r.e.each(ctx, "", func(p *peer) error {
		begin()
		for is, err := range p.allocations(ctx) {
			if err != nil {
				return err
			}
			c, err := cid.Decode(is.CID)
			if err != nil {
				return fmt.Errorf("the pinset at cluster peer %s: CID %q: %w", p.host, is.CID, err)
			}
			if err := see(ctx, c, &is); err != nil {
				return err
			}
			r.rest(ctx)
		}
		return nil
	})
}

// seePin compares a pin of the pinset with the records.
func (r *round) seePin(ctx context.Context, c cid.Cid, is *pinInfo) error {
	r.pinset.add(c)
	r.report.Pins++
	d := pin.DAGOf(c)
	if !d.CID().Equals(c) { // this server asks for version 1 alone
		return nil
	}
	a, complete, held, err := r.e.records.Held(ctx, d)
	if err != nil {
		return err
	}
	ours := r.e.attemptIn(is.Metadata)
	if ours != 0 {
		r.report.Ours++
		if r.e.isOwnLife(is.Metadata) {
			r.newest = max(r.newest, ours)
		}
	}
	switch {
	case !held && ours != 0:
		addTo(r, &r.orphans, d)
	case held && complete && ours != a:
		addTo(r, &r.missing, d)
	case held && complete:
		w, err := r.e.want(ctx, d, a, nil)
		if err != nil {
			return err
		}
		if r.e.isOutdated(is, w) {
			addTo(r, &r.outdate, d)
		}
	}
	return nil
}

// checkAge looks whether the pinset has attempts of this server that its records never made: then
// the directory is a copy from before. What was pinned since has no record, and is not to be removed
// for that.
func (r *round) checkAge(ctx context.Context) error {
	last, err := r.e.records.LastAttempt(ctx)
	if err != nil || r.newest <= last || r.e.cfg.NewLife == nil {
		return err
	}
	life, err := r.e.cfg.NewLife()
	if err != nil {
		return err
	}
	r.e.life.Store(&life)
	r.e.log.Warn("the records are older than the cluster's pinset: what was pinned since they were copied is kept, and has no record",
		"hint", "`holdfast cluster import` makes requests of it")
	return nil
}

// isOutdated reports whether the pinset has another replication than is wanted, or other requests.
func (e *Engine) isOutdated(is *pinInfo, w wanted) bool {
	if !e.isAsWanted(is, w) {
		return true
	}
	key := requestsPrefix + e.cfg.Instance
	return e.optionsFor(w, is, nil).Get("meta-"+key) != is.Metadata[key]
}

// readNodes reads what each node has.
func (r *round) readNodes(ctx context.Context) error {
	journal, err := r.e.journal.all(ctx)
	if err != nil {
		return err
	}
	whole := true
	for _, n := range r.e.nodes {
		_ = n.look(ctx) // one that is away has no ID
		id, _ := n.state()
		peer := r.e.peerOf(id)
		if peer == "" {
			whole = false
			r.report.Unread = append(r.report.Unread, n.name)
			continue
		}
		there := &hashes{seed: r.e.seed}
		for c, err := range n.pins(ctx) {
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				there, whole = nil, false
				r.e.log.Debug("a node's pins are not compared", "node", n.name, "err", err)
				r.report.Unread = append(r.report.Unread, n.name)
				break
			}
			there.add(c)
			if !r.pinset.has(c) {
				addTo(r, &r.strays, copyAt{c, peer})
			}
			r.rest(ctx)
		}
		if there != nil {
			there.sort()
			r.there[peer] = there
		}
	}
	if whole && len(r.there) > 0 {
		r.e.journal.settled(ctx, journal, func(d pin.DAG) bool {
			for _, t := range r.there {
				if t.has(d.CID()) {
					return false
				}
			}
			return true
		})
	}
	return nil
}

// seeCopies compares a pin of the pinset with the nodes.
func (r *round) seeCopies(ctx context.Context, c cid.Cid, is *pinInfo) error {
	a := r.e.attemptIn(is.Metadata)
	if a == 0 {
		return nil
	}
	d := pin.DAGOf(c)
	at, complete, held, err := r.e.records.Held(ctx, d)
	if err != nil || !held || !complete || at != a {
		return err
	}
	allocations := is.Allocations
	if len(allocations) == 0 {
		allocations = r.e.members()
	}
	have := 0
	for _, id := range allocations {
		lacks, there := r.lacks[id], r.there[id]
		switch {
		case r.away[id] != "":
		case lacks != nil && lacks.has(c):
		case there != nil && !there.has(c):
			addTo(r, &r.lost, copyAt{c, id})
		default:
			have++
		}
	}
	if have < is.Min {
		addTo(r, &r.few, d)
	}
	for id, there := range r.there {
		if there.has(c) && !slices.Contains(allocations, id) && r.away[id] == "" && !r.lacks[id].has(c) {
			addTo(r, &r.strays, copyAt{c, id})
		}
	}
	return nil
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
		}
		failing = err != nil
	}
}
