package cluster

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Keys of the metadata in the pinset.
const (
	ownPrefix = "holdfast-"
	// wasKey has what a pin was before the first Holdfast asked for it: MIN MAX EXPIRES NAME.
	wasKey = ownPrefix + "was"
	// A server's own keys end in its instance.
	attemptPrefix  = ownPrefix + "attempt-"  // the attempt, and the life of the server: NUMBER.LIFE
	requestsPrefix = ownPrefix + "requests-" // ACCOUNT.REQUEST, with spaces between
	keysPrefix     = ownPrefix + "keys-"     // which keys of the metadata are of a request here
	// unknownPrefix: requests, written as above, that this server was asked for after the backup that
	// was restored here. The pinset alone tells of them, until an import makes requests of them.
	unknownPrefix = ownPrefix + "unknown-"
)

// noLife is the life of a pin that is kept for unknown requests alone.
const noLife = "none"

const (
	// maxRefs is how many requests of a DAG are in the pinset: 46 bytes each.
	maxRefs = 16
	// maxRequests is how many requests of a DAG count for its replication.
	maxRequests = 1000
	// maxURL bounds the URL of a pin. A peer takes headers of 8 KiB in all, unless
	// restapi.max_header_bytes is raised.
	maxURL = 6000
)

// wanted is what this server wants of a DAG.
type wanted struct {
	dag         pin.DAG
	attempt     pin.Attempt
	replication pin.Replication
	name        string
	meta        map[string]string // of the newest request
	refs        []ref             // the newest first, at most maxRequests
	origins     []pin.Origin
	first       []string // the IDs of the peers that are to have it first; nil leaves that to the cluster
}

// ref is a request, as the pinset has it.
type ref struct{ account, request string }

// want reads what is wanted of a DAG under an attempt.
func (e *Engine) want(ctx context.Context, d pin.DAG, a pin.Attempt, origins []pin.Origin) (w wanted, err error) {
	w = wanted{dag: d, attempt: a, origins: origins}
	requests, err := e.records.RequestsFor(ctx, d, maxRequests)
	if err != nil {
		return w, err
	}
	slices.SortFunc(requests, func(a, b pin.Request) int { return b.Created.Compare(a.Created) })
	accounts := make(map[string]pin.Replication)
	for i, r := range requests {
		w.refs = append(w.refs, ref{r.Account, r.ID})
		if i == 0 {
			w.name, w.meta = r.Name, r.Meta
		}
		own := replicationOf(r.Meta)
		if own == (pin.Replication{}) && e.cfg.Account != nil {
			of, known := accounts[r.Account]
			if !known {
				if of, err = e.cfg.Account(ctx, r.Account); err != nil {
					return w, fmt.Errorf("read the replication of account %s: %w", r.Account, err)
				}
				accounts[r.Account] = of
			}
			own = of
		}
		if own == (pin.Replication{}) {
			own = e.cfg.Replication
		}
		w.replication = w.replication.With(own)
	}
	if w.replication == (pin.Replication{}) {
		w.replication = e.cfg.Replication
	}
	return w, nil
}

// attemptIn is the attempt under which this server asked for a pin; 0 if it did not.
func (e *Engine) attemptIn(meta map[string]string) pin.Attempt {
	number, _, _ := strings.Cut(meta[attemptPrefix+e.cfg.Instance], ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0
	}
	return pin.Attempt(n)
}

// isOwnLife reports whether this server asked for a pin since its directory was made or restored.
func (e *Engine) isOwnLife(meta map[string]string) bool {
	_, life, _ := strings.Cut(meta[attemptPrefix+e.cfg.Instance], ".")
	return life == e.life.Load().Name
}

// unknown are the requests in the metadata of a pin that the records cannot know. has are the
// requests that they have for its DAG: an account that has one there needs no other. What another life
// was asked for before the backup was made, and the records do not have, was removed.
func (e *Engine) unknown(meta map[string]string, has []ref) (all []string) {
	claimed := strings.Fields(meta[unknownPrefix+e.cfg.Instance])
	if e.attemptIn(meta) != 0 && !e.isOwnLife(meta) {
		claimed = append(claimed, strings.Fields(meta[requestsPrefix+e.cfg.Instance])...)
	}
	for _, s := range claimed {
		account, request, _ := strings.Cut(s, ".")
		one := ref{longUUID(account), longUUID(request)}
		known := slices.ContainsFunc(has, func(r ref) bool { return r.account == one.account || r.request == one.request })
		if !known && e.life.Load().knowsNot(one.request) && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// isAsWanted reports whether a pin of the pinset is what is wanted, or more.
func (e *Engine) isAsWanted(p *pinInfo, w wanted) bool {
	if p == nil || e.attemptIn(p.Metadata) != w.attempt || !p.Expires.IsZero() && p.Expires.Unix() > 0 {
		return false
	}
	want := w.replication.With(was(p).replication)
	return p.Min == want.Min && p.Max == want.Max || p.Min < 0
}

// formerly is what a pin was before a Holdfast asked for it. The zero value is that there was none.
type formerly struct {
	foreign     bool
	replication pin.Replication
	expires     time.Time
	name        string
}

// was reads what a pin was.
func was(p *pinInfo) (f formerly) {
	text, ok := p.Metadata[wasKey]
	if !ok {
		return f
	}
	f.foreign = true
	parts := strings.SplitN(text, " ", 4)
	for i, s := range parts {
		switch n, _ := strconv.ParseInt(s, 10, 64); i { // a part that is no number says nothing
		case 0:
			f.replication.Min = int(n)
		case 1:
			f.replication.Max = int(n)
		case 2:
			if n > 0 {
				f.expires = time.Unix(n, 0)
			}
		case 3:
			f.name = s
		}
	}
	return f
}

// isOwnKey reports whether a key of the metadata is a Holdfast's.
func isOwnKey(key string) bool { return strings.HasPrefix(key, ownPrefix) }

// asked reports whether any Holdfast asks for a pin with the metadata.
func asked(meta map[string]string) bool {
	for k := range meta {
		if strings.HasPrefix(k, attemptPrefix) {
			return true
		}
	}
	return false
}

// optionsFor are the options with which a pin is asked for. now is what the pinset has of it, or
// nil.
func (e *Engine) optionsFor(w wanted, now *pinInfo) url.Values {
	meta := make(map[string]string)
	name, r := w.name, w.replication
	var unknown []string
	if now != nil {
		if unknown = e.unknown(now.Metadata, w.refs); len(unknown) > 0 {
			// Name and metadata may be those of one of them: the records have those of the others.
			name = now.Name
		}
		e.others(meta, now, len(unknown) > 0)
		if _, known := meta[wasKey]; !known && !asked(now.Metadata) {
			expires := int64(0)
			if u := now.Expires.Unix(); !now.Expires.IsZero() && u > 0 {
				expires = u
			}
			meta[wasKey] = fmt.Sprintf("%d %d %d %s", now.Min, now.Max, expires, now.Name)
		}
		if f := was(&pinInfo{Metadata: meta}); f.foreign {
			r, name = r.With(f.replication), cmp.Or(f.name, name)
			if f.replication.Min < 0 {
				r = f.replication
			}
		}
	}
	q := url.Values{
		"replication-min": {strconv.Itoa(r.Min)}, "replication-max": {strconv.Itoa(r.Max)}, "mode": {"recursive"},
	}
	if len(w.first) > 0 {
		q.Set("user-allocations", strings.Join(w.first, ","))
	}
	meta[attemptPrefix+e.cfg.Instance] = attemptAs(w.attempt, e.life.Load().Name)
	if len(unknown) > 0 {
		meta[unknownPrefix+e.cfg.Instance] = strings.Join(unknown, " ")
	}
	for k, v := range meta {
		q.Set("meta-"+k, v)
	}
	room := maxURL - len(q.Encode())
	if fits(&room, len("&name=")+len(url.QueryEscape(name))) {
		q.Set("name", name)
	}
	e.addRefs(q, w, &room)
	if len(unknown) == 0 {
		e.addMeta(q, w, meta, &room)
	}
	e.addOrigins(q, w, &room)
	return q
}

// attemptAs writes an attempt as the pinset has it.
func attemptAs(a pin.Attempt, life string) string {
	return strconv.FormatUint(uint64(a), 10) + "." + life
}

// fits takes so much of the room in the URL, if there is so much.
func fits(room *int, n int) bool {
	if *room < n {
		return false
	}
	*room -= n
	return true
}

// addRefs adds the requests.
func (e *Engine) addRefs(q url.Values, w wanted, room *int) {
	key := requestsPrefix + e.cfg.Instance
	if !fits(room, len("&meta-=")+len(key)) {
		return
	}
	var all []string
	for _, r := range w.refs[:min(len(w.refs), maxRefs)] {
		s := shortUUID(r.account) + "." + shortUUID(r.request)
		if !fits(room, len(s)+1) {
			break
		}
		all = append(all, s)
	}
	q.Set("meta-"+key, strings.Join(all, " "))
}

// addMeta adds the metadata of the newest request, so that it is not lost with this server. What
// others have under the same key stays theirs.
func (e *Engine) addMeta(q url.Values, w wanted, taken map[string]string, room *int) {
	listKey := keysPrefix + e.cfg.Instance
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(w.meta)) {
		if _, theirs := taken[k]; theirs || k == "" || isOwnKey(k) {
			continue
		}
		escaped := url.QueryEscape(k)
		cost := len("&meta-=") + 3*len(escaped) + len(url.QueryEscape(w.meta[k]))
		if len(keys) == 0 {
			cost += len("&meta-=") + len(listKey)
		}
		if !fits(room, cost) {
			continue
		}
		q.Set("meta-"+k, w.meta[k])
		keys = append(keys, escaped)
	}
	if len(keys) > 0 {
		q.Set("meta-"+listKey, strings.Join(keys, " "))
	}
}

// addOrigins adds the origins that a node may be told to connect to, and that the cluster takes:
// those that end in a peer's ID.
func (e *Engine) addOrigins(q url.Values, w wanted, room *int) {
	const most = 10 // of which a peer tells its node
	var all []string
	for _, o := range w.origins {
		if len(all) == most || strings.Contains(o.Addr, ",") || !endsInPeer(o.Addr) {
			continue
		}
		if e.cfg.AllowOrigin != nil && !e.cfg.AllowOrigin(o) {
			continue
		}
		if fits(room, len(url.QueryEscape(o.Addr))+len("&origins=,")) {
			all = append(all, o.Addr)
		}
	}
	if len(all) > 0 {
		q.Set("origins", strings.Join(all, ","))
	}
}

// endsInPeer reports whether an address can be read, and ends in a peer's ID. The cluster refuses a pin
// with an origin of another kind.
func endsInPeer(addr string) bool {
	a, err := multiaddr.NewMultiaddr(addr)
	return err == nil && len(a) > 1 && a[len(a)-1].Protocol().Code == multiaddr.P_P2P
}

// optionsWithout are the options of a pin without the requests of this server that its records know
// of. remove says that nobody else asks for it.
func (e *Engine) optionsWithout(p *pinInfo) (q url.Values, remove bool) {
	meta := make(map[string]string)
	unknown := e.unknown(p.Metadata, nil)
	e.others(meta, p, len(unknown) > 0)
	if len(unknown) > 0 {
		meta[attemptPrefix+e.cfg.Instance] = attemptAs(e.attemptIn(p.Metadata), noLife)
		meta[requestsPrefix+e.cfg.Instance] = strings.Join(unknown, " ")
	}
	f := was(p)
	r, name, expires := pin.Replication{Min: p.Min, Max: p.Max}, p.Name, p.Expires
	if !asked(meta) {
		if !f.foreign {
			return nil, true
		}
		if !f.expires.IsZero() && !f.expires.After(time.Now()) {
			return nil, true // its time is over
		}
		delete(meta, wasKey)
		r, name, expires = f.replication, f.name, f.expires
	}
	q = url.Values{
		"replication-min": {strconv.Itoa(r.Min)}, "replication-max": {strconv.Itoa(r.Max)},
		"name": {name}, "mode": {"recursive"},
	}
	if !expires.IsZero() && expires.Unix() > 0 {
		q.Set("expire-at", expires.UTC().Format(time.RFC3339))
	}
	for k, v := range meta {
		q.Set("meta-"+k, v)
	}
	if len(p.Origins) > 0 {
		q.Set("origins", strings.Join(p.Origins, ","))
	}
	return q, false
}

// shortUUID writes a UUID in 22 characters; longUUID reads that.
func shortUUID(s string) string {
	id, err := uuid.Parse(s)
	if err != nil {
		return url.QueryEscape(s)
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func longUUID(s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	id, err := uuid.FromBytes(b)
	if err != nil {
		return ""
	}
	return id.String()
}
