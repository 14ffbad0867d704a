package pin

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
)

// maxJobOrigins bounds the origins that one DAG has from all its requests: a few times the
// [MaxOrigins] of one request.
const maxJobOrigins = 64

// hints is what a job's requests say of it: how its root is written, and where it may be.
type hints struct {
	root    cid.Cid       // as the newest request wrote it
	rooted  time.Time     // when that request was made
	origins []requestHint // by request, the newest first; those without origins are left out
}

// requestHint is the origins of one request.
type requestHint struct {
	of      member
	created time.Time
	origins []string
	from    netip.Addr
}

// add takes up what a request says. It reports whether an origin is new. When there are
// too many origins, those of the oldest requests are left out.
func (h *hints) add(r Request) (fresh bool) {
	if !h.root.Defined() || r.Created.After(h.rooted) {
		h.root, h.rooted = r.Root, r.Created
	}
	of := member{r.Account, r.ID}
	if len(r.Origins) == 0 || slices.ContainsFunc(h.origins, func(o requestHint) bool { return o.of == of }) {
		return false
	}
	before := h.all()
	at := slices.IndexFunc(h.origins, func(o requestHint) bool { return o.created.Before(r.Created) })
	if at < 0 {
		at = len(h.origins)
	}
	h.origins = slices.Insert(h.origins, at, requestHint{of, r.Created, r.Origins, r.From})
	after := h.all()
	if len(h.origins) > maxJobOrigins { // more than can be used
		h.removeOldest()
	}
	return slices.ContainsFunc(after, func(o Origin) bool { return !slices.Contains(before, o) })
}

// remove forgets the origins of a request that is gone.
func (h *hints) remove(of member) {
	h.origins = slices.DeleteFunc(h.origins, func(o requestHint) bool { return o.of == of })
}

// removeOldest forgets the oldest request of the account that has the most.
func (h *hints) removeOldest() {
	count, last := make(map[string]int), 0
	for _, r := range h.origins {
		count[r.of.account]++
	}
	for i, r := range h.origins {
		if count[r.of.account] >= count[h.origins[last].of.account] {
			last = i
		}
	}
	h.origins = slices.Delete(h.origins, last, last+1)
}

// all gives the origins of all requests, those of the newest first, at most maxJobOrigins.
// Of these each account has an equal share, and what others leave: no account can push out
// what another one has named.
func (h *hints) all() (all []Origin) {
	taken := make(map[string]int) // by account
	for _, r := range h.origins {
		taken[r.of.account] = 0
	}
	share := maxJobOrigins
	if len(taken) > 0 {
		share = max(1, maxJobOrigins/len(taken))
	}
	for _, limit := range []int{share, maxJobOrigins} {
		for _, r := range h.origins {
			for _, addr := range r.origins {
				o := Origin{Addr: addr, From: r.from}
				if len(all) == maxJobOrigins {
					return all
				}
				if taken[r.of.account] < limit && !slices.Contains(all, o) {
					taken[r.of.account]++
					all = append(all, o)
				}
			}
		}
	}
	return all
}
