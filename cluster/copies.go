package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// copyOf is a copy of a DAG at one peer, as the peer itself has it.
type copyOf struct {
	peer    string // its ID
	name    string // for people
	status  string // "" is that it did not answer
	reason  string // why it is not pinned
	node    string // the ID of its node
	since   time.Time
	tries   int
	attempt pin.Attempt // under which the peer knows the pin
	asked   time.Time   // when it answered
	err     error       // why it did not answer
}

// here reports whether the copy is there, for the attempt.
func (c copyOf) here(a pin.Attempt) bool { return c.status == isPinned && c.attempt == a }

// copies are all copies of a DAG.
type copies []copyOf

// count is how many are there.
func (all copies) count(a pin.Attempt) (n int) {
	for _, c := range all {
		if c.here(a) {
			n++
		}
	}
	return n
}

// globalTime is how long the cluster may take to ask all its peers: a peer that hangs makes it
// wait for 15 s.
const globalTime = 30 * time.Second

// recent is how long a copy that was there is not asked for again, while the others are waited for: some looks of a
// fetch that is one of very many. What may be lost in that time may as well be lost after it.
const recent = 20 * time.Second

// recently finds a copy that was there a moment ago.
func (all copies) recently(peer string, a pin.Attempt) (copyOf, bool) {
	i := slices.IndexFunc(all, func(c copyOf) bool { return c.peer == peer && c.here(a) && time.Since(c.asked) < recent })
	if i < 0 {
		return copyOf{}, false
	}
	return all[i], true
}

// ask asks each allocated peer for its own copy. One that does not answer keeps nobody waiting
// once enough of the others say that they have it.
func (e *Engine) ask(ctx context.Context, d pin.DAG, allocations []string, a pin.Attempt, enough int) copies {
	return e.askBut(ctx, d, allocations, a, enough, nil)
}

// askBut is ask without those copies that were there a moment ago.
func (e *Engine) askBut(ctx context.Context, d pin.DAG, allocations []string, a pin.Attempt, enough int, seen copies) copies {
	c := d.CID()
	if len(allocations) == 0 {
		allocations = e.members()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan copyOf, len(allocations))
	all := make(copies, 0, len(allocations))
	var unknown []string
	asked := 0
	for _, id := range allocations {
		p := e.byID(id)
		if p == nil {
			unknown = append(unknown, id)
			continue
		}
		if err := p.keepsNone(); err != nil {
			all = append(all, copyOf{peer: id, name: p.name(), err: err})
			continue
		}
		if one, ok := seen.recently(id, a); ok {
			all = append(all, one)
			continue
		}
		asked++
		go func() { answers <- e.askOne(ctx, p, id, c) }()
	}
	if len(unknown) > 0 {
		all = append(all, e.askThrough(ctx, d, unknown)...)
	}
	for range asked {
		select {
		case one := <-answers:
			all = append(all, one)
		case <-ctx.Done():
			return all
		}
		if enough > 0 && all.count(a) >= enough {
			break
		}
	}
	slices.SortFunc(all, func(x, y copyOf) int { return strings.Compare(x.name, y.name) })
	return all
}

func (e *Engine) askOne(ctx context.Context, p *peer, id string, c cid.Cid) copyOf {
	s, of, err := p.status(ctx, id, c)
	one := copyOf{peer: id, name: p.name(), asked: time.Now(), err: err}
	if err == nil {
		one.status, one.reason, one.node, one.since, one.tries = s.Status, s.Error, s.Node, s.Since, s.Attempts
		one.attempt = e.attemptIn(of.Metadata)
	}
	return one
}

// askThrough asks for the copies at peers whose URL is not known, through one that is.
func (e *Engine) askThrough(ctx context.Context, d pin.DAG, ids []string) (all copies) {
	var got globalStatus
	err := e.each(ctx, d, func(p *peer) error {
		return p.get(ctx, call{http.MethodGet, "/pins/" + d.CID().String(), nil, globalTime}, &got)
	})
	for _, id := range ids {
		one := copyOf{peer: id, name: shortID(id), err: err}
		if s, ok := got.Peers[id]; ok && err == nil && s.Status != isClusterError {
			one.status, one.reason, one.node, one.since, one.tries = s.Status, s.Error, s.Node, s.Since, s.Attempts
			one.attempt = e.attemptIn(got.Metadata)
			if s.Name != "" {
				one.name = s.Name
			}
		} else if err == nil {
			one.err = errors.New("the cluster does not reach it")
		}
		all = append(all, one)
	}
	return all
}

// text says for people where the copies are.
func (all copies) text(a pin.Attempt, r pin.Replication) string {
	var have, rest []string
	for _, c := range all {
		switch {
		case c.here(a):
			have = append(have, c.name)
		case errors.Is(c.err, errNodeAway):
			rest = append(rest, "the node of "+c.name+" does not answer")
		case c.err != nil:
			rest = append(rest, c.name+" does not answer")
		case c.status == isPinned, c.status == isUnpinned, c.status == isRemote:
			rest = append(rest, c.name+" has not heard of it yet")
		case c.reason != "":
			rest = append(rest, fmt.Sprintf("%s: %s: %s", c.name, strings.ReplaceAll(c.status, "_", " "), oneLine(c.reason)))
		default:
			rest = append(rest, c.name+": "+strings.ReplaceAll(c.status, "_", " "))
		}
	}
	s := fmt.Sprintf("%d of %s copies are there", len(have), r)
	if len(have) > 0 {
		s += ", on " + strings.Join(have, " and ")
	}
	if len(rest) > 0 {
		s += "; " + strings.Join(rest, "; ")
	}
	return s
}

// oneLine makes a text of others fit for a sentence.
func oneLine(s string) string {
	const most = 300
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// known is what was last seen of the copies of some DAGs, for descriptions of pins.
type known struct {
	mu    sync.Mutex
	all   map[pin.DAG]seenCopies
	looks int // that are under way
}

type seenCopies struct {
	at      time.Time
	attempt pin.Attempt
	wanted  pin.Replication
	copies  copies
	asking  chan struct{} // closed when the look under way has ended; nil is none
}

// maxKnown is how many DAGs are remembered: about 1 KiB each.
const maxKnown = 10_000

func newKnown() known { return known{all: make(map[pin.DAG]seenCopies)} }

func (k *known) put(d pin.DAG, a pin.Attempt, r pin.Replication, all copies) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) >= maxKnown {
		for some := range k.all { // any
			delete(k.all, some)
			break
		}
	}
	k.all[d] = seenCopies{at: time.Now(), attempt: a, wanted: r, copies: all}
}

func (k *known) get(d pin.DAG) (seenCopies, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.all[d]
	return s, ok
}

func (k *known) forget(d pin.DAG) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.all, d)
}
