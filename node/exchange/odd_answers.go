package exchange

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/ipfs/go-cid"
)

const (
	// A gateway that answers oddly for a block is asked for it again after oddPause, then
	// after four and sixteen times that: a passing fault is over by then. After oddTries
	// it is asked every oddForLong, since a server may be repaired.
	oddPause   = time.Second
	oddTries   = 4
	oddForLong = 10 * time.Minute
	// So many odd blocks are remembered for a peer or a gateway. A block that is forgotten
	// is asked for a few times more.
	oddMost = 256

	// A block that no connected peer has is named after so long.
	missingAfter = 10 * time.Second
	// So many blocks are named, and so many sources for each. oddText bounds the bytes that
	// say what one source answers, troublesTextMost the whole text: more than all of it
	// takes with the longest names.
	troublesMost     = 3
	troublesNames    = 3
	oddText          = 200
	troublesTextMost = 4 << 10
)

// oddity is what a peer or a gateway answers for a block in place of it.
type oddity struct {
	what  string
	times int
	next  time.Time // it is not asked before this; zero is no limit
}

// oddities are those of one peer or gateway, by multihash.
type oddities map[string]*oddity

// note adds one.
func (o oddities) note(key, what string) *oddity {
	if o[key] == nil {
		for old := range o {
			if len(o) < oddMost {
				break
			}
			delete(o, old)
		}
		o[key] = new(oddity)
	}
	o[key].what = cut(what, oddText)
	o[key].times++
	return o[key]
}

// tooSoon reports whether a block is not asked for yet.
func (o oddities) tooSoon(key string, now time.Time) bool {
	odd := o[key]
	return odd != nil && now.Before(odd.next)
}

// oddly notes that a line answered for a block with something else, or not at all. The
// caller asks others for that block. This line is asked for it again later, after least at
// the earliest. Nothing else changes for the line.
func (x *Exchange) oddly(l *line, key, what string, least time.Duration, now time.Time) {
	odd := l.health.odd.note(key, what)
	pause := longer(oddPause, odd.times-2) // a peer is asked by a few bytes
	switch {
	case l.gateway != nil && odd.times >= oddTries:
		pause = oddForLong
	case l.gateway != nil:
		pause = oddPause << (2 * (odd.times - 1))
	case odd.times == 1:
		pause = 0 // it may have been lost on the way
	}
	odd.next = now.Add(max(pause, least))
	a := l.asks[x.wants[key]]
	if a == nil {
		return
	}
	if l.toldOdd {
		x.log.Debug("a source answers oddly for a block", "source", l.name(), "cid", a.want.cid, "answer", odd.what)
	} else {
		l.toldOdd = true
		x.log.Info("a source answers oddly for a block, which is asked of others", "source", l.name(), "cid", a.want.cid, "answer", odd.what)
	}
	x.lacks(a)
	for _, s := range a.want.sessions {
		s.tell()
	}
}

// askOddAgain asks a line again for blocks that it answered oddly, when it is time.
func (l *line) askOddAgain(now time.Time) {
	for key, odd := range l.health.odd {
		if odd.next.IsZero() || now.Before(odd.next) {
			continue
		}
		w := l.x.wants[key]
		if w == nil {
			continue
		}
		odd.next = time.Time{}
		if a := l.asks[w]; a != nil && a.state == askLacks {
			l.x.drop(a)
		}
		if w.isAsked() {
			continue
		}
		w.requeue()
		for _, s := range w.sessions {
			s.assign()
		}
	}
}

// name says who a line is, for a user.
func (l *line) name() string {
	if l.gateway != nil {
		return "gateway " + string(l.id)
	}
	return "peer " + l.id.String()
}

// late gives for how long a gateway has been asked for a block, if that is long: it may
// hang, or send a few bytes now and then. Else it is zero.
func (l *line) late(key string, now time.Time) time.Duration {
	f := l.fetches[key]
	if f == nil {
		return 0
	}
	if d := now.Sub(f.began).Round(time.Second); d >= requestPatience {
		return d
	}
	return 0
}

// troubles says which blocks are in trouble, the longest wanted first: what came in place of
// them, that a gateway is slow to send them, or that no connected peer has them. It is "" if
// there are none.
func (s *Session) troubles(now time.Time) string {
	type trouble struct {
		w    *want
		what []string
	}
	var odd []trouble
	var missing []*want
	for _, w := range s.wants {
		t := trouble{w: w}
		for _, l := range s.sources {
			o := l.health.odd[w.key]
			if o == nil {
				if late := l.late(w.key, now); late > 0 {
					t.what = append(t.what, fmt.Sprintf("%s: has not sent all of it in %v", l.name(), late))
				}
				continue
			}
			text := l.name() + ": " + o.what
			if o.times > 1 {
				text += fmt.Sprintf(" (asked %d times)", o.times)
			}
			t.what = append(t.what, text)
		}
		_, sought := s.x.seeking[w]
		switch {
		case len(t.what) > 0:
			odd = append(odd, t)
		case (sought || s.parked.has(w)) && !w.isAsked() && !s.isRoot(w) && now.Sub(w.since) >= missingAfter:
			missing = append(missing, w)
		}
	}
	older := func(a, b *want) int { return cmp.Or(a.since.Compare(b.since), strings.Compare(a.key, b.key)) }
	slices.SortFunc(odd, func(a, b trouble) int { return older(a.w, b.w) })
	slices.SortFunc(missing, older)
	var texts []string
	for _, t := range odd[:min(len(odd), troublesMost)] {
		slices.Sort(t.what)
		texts = append(texts, fmt.Sprintf("block %s: %s", t.w.cid, someOf(t.what)))
	}
	if n := len(odd) - troublesMost; n > 0 {
		texts = append(texts, fmt.Sprintf("%d more blocks are answered oddly", n))
	}
	if n := len(missing); n > 0 {
		var cs []string
		for _, w := range missing[:min(n, troublesMost)] {
			cs = append(cs, w.cid.String())
		}
		text := fmt.Sprintf("no connected peer has %d of the blocks that are wanted now: %s", n, strings.Join(cs, ", "))
		if n > troublesMost {
			text += ", ..."
		}
		// Some wait for their turn to be asked for.
		asked := slices.MaxFunc(missing, func(a, b *want) int { return cmp.Compare(len(a.asks), len(b.asks)) })
		texts = append(texts, text+" ("+s.askedOf(asked)+")")
	}
	return cut(strings.Join(texts, "; "), troublesTextMost)
}

// isRoot reports whether a want is for the root of what the session is about. That nobody has
// the root is said in other words.
func (s *Session) isRoot(w *want) bool { return s.about != "" && strings.HasSuffix(s.about, w.key) }

// askedOf says who was asked for a block that nobody has: how many, and those that gave
// others of the DAG.
func (s *Session) askedOf(w *want) string {
	peers, gateways := 0, 0
	for _, a := range w.asks {
		if a.line.gateway != nil {
			gateways++
		} else {
			peers++
		}
	}
	if peers+gateways == 0 {
		return "nobody is connected who could be asked"
	}
	var gave []string
	for _, l := range s.sources {
		if l.sources[s]&sentBlock != 0 {
			gave = append(gave, l.name())
		}
	}
	text := fmt.Sprintf("asked of %s and %s", english.Plural(peers, "peer", ""), english.Plural(gateways, "gateway", ""))
	if len(gave) == 0 {
		return text + ", none of which has given any block of it"
	}
	slices.Sort(gave)
	return text + "; others came from " + someOf(gave)
}

// someOf lists some of the texts, and how many there are besides.
func someOf(all []string) string {
	text := strings.Join(all[:min(len(all), troublesNames)], ", ")
	if n := len(all) - troublesNames; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// cut is at most so many bytes of a text, and a mark that some were left out.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// blame notes that a line sent a block that nobody asked for: most likely wrong bytes for a
// block that it was asked for. For which blocks is known once it sent as many such blocks
// as asks are open, or as asks are open that were lost before.
func (l *line) blame(now time.Time) {
	var open, again []*ask
	for _, a := range l.asks {
		if a.state == askBlock {
			open = append(open, a)
			if a.again > 0 {
				again = append(again, a)
			}
		}
	}
	if len(again) > 0 {
		open = again
	}
	if len(open) == 0 || l.strange < len(open) {
		return
	}
	l.strange = 0
	for _, a := range open {
		l.x.oddly(l, a.want.key, "it sends other bytes for it", oddPause, now)
	}
	l.assign()
}

// endedMost is for how many wants it is remembered that they ended: what was asked of
// two, or twice, may come once more.
const endedMost = 4096

// ended are the wants that ended last. The zero value is ready.
type ended struct {
	keys map[string]struct{}
	ring []string
	next int
}

func (e *ended) add(key string) {
	if e.keys == nil {
		e.keys = make(map[string]struct{})
	}
	if _, ok := e.keys[key]; ok {
		return
	}
	e.keys[key] = struct{}{}
	if len(e.ring) < endedMost {
		e.ring = append(e.ring, key)
		return
	}
	delete(e.keys, e.ring[e.next])
	e.ring[e.next] = key
	e.next = (e.next + 1) % endedMost
}

func (e *ended) has(c cid.Cid) bool {
	_, ok := e.keys[string(c.Hash())]
	return ok
}
