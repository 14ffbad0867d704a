package cluster

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

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
		if err := p.keepsNone(); err != nil {
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
			if s.Peers[id].Status == isUnpinError { // it did not end what it has
				continue
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
	return r.e.each(ctx, r.key, func(p *peer) error {
		r.lister = p
		begin()
		for is, err := range p.allocations(ctx) {
			if err != nil {
				return err
			}
			c, err := cid.Decode(is.CID)
			if err != nil {
				return &peerError{"GET /allocations", p.host, fmt.Errorf("%w: the CID %q: %w", errNoPeer, oneLine(is.CID), err)}
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
			if err := r.seeAge(ctx, d, is, ours, held); err != nil {
				return err
			}
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

// seeAge looks whether a pin of this server has a request that its records never had, although it was made
// before they were opened. Attempts alone do not show that: since then the records have made some with the
// same numbers.
func (r *round) seeAge(ctx context.Context, d pin.DAG, is *pinInfo, a pin.Attempt, held bool) error {
	if r.older || !held && a <= r.e.began.attempt { // what is let go of may have been removed with its account
		return nil
	}
	var missed []string
	for _, s := range strings.Fields(is.Metadata[requestsPrefix+r.e.cfg.Instance]) {
		_, request, _ := strings.Cut(s, ".")
		if id := longUUID(request); r.e.began.missed(id) {
			missed = append(missed, id)
		}
	}
	if len(missed) == 0 {
		return nil
	}
	has, err := r.e.records.RequestsFor(ctx, d, maxRequests)
	if err != nil {
		return err
	}
	r.older = slices.ContainsFunc(missed, func(id string) bool {
		return !slices.ContainsFunc(has, func(r pin.Request) bool { return r.ID == id })
	})
	return nil
}

// checkAge looks whether the pinset has what the records of this server never had: then the directory is
// a copy from before. What was pinned since has no record, and is not to be removed for that.
func (r *round) checkAge(ctx context.Context) error {
	last, err := r.e.records.LastAttempt(ctx)
	if err != nil || r.newest <= last && !r.older || r.e.cfg.NewLife == nil {
		return err
	}
	life, err := r.e.cfg.NewLife(r.e.began.at)
	if err != nil {
		return err
	}
	r.e.life.Store(&life)
	r.e.log.Warn("the records are older than the cluster's pinset: what was pinned since they were copied is kept, and has no record",
		"hint", "`holdfast cluster import` makes requests of it")
	return nil
}

// isOutdated reports whether the pinset has another replication than is wanted, or other requests.
// That it has them as another life wrote them does not count.
func (e *Engine) isOutdated(is *pinInfo, w wanted) bool {
	if !e.isAsWanted(is, w) {
		return true
	}
	q := e.optionsFor(w, is)
	var has, wants []string
	for _, prefix := range []string{requestsPrefix, unknownPrefix} {
		key := prefix + e.cfg.Instance
		has = append(has, strings.Fields(is.Metadata[key])...)
		wants = append(wants, strings.Fields(q.Get("meta-"+key))...)
	}
	slices.Sort(has)
	slices.Sort(wants)
	return !slices.Equal(has, wants)
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
			if r.pinset.has(d.CID()) { // a node may be fetching it, which no list has
				return false
			}
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
