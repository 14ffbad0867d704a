package cluster

import (
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// posts remembers which pins were asked for just now, and may not be in the pinset yet.
type posts struct {
	mu    sync.Mutex
	all   map[pin.DAG]posted
	swept time.Time // when old ones were last forgotten
}

type posted struct {
	attempt pin.Attempt
	options string // by which it is known again
	at      time.Time
}

// optionsIn tells the options of one post from those of another.
func (e *Engine) optionsIn(low, high int, meta func(string) string) string {
	own := e.cfg.Instance
	return fmt.Sprint(low, high, meta(attemptPrefix+own), meta(requestsPrefix+own), meta(unknownPrefix+own))
}

// note remembers that a pin is asked for with some options. undo forgets that, if it turns out that it was not
// written. The caller has the lock of the DAG until then.
func (e *Engine) note(d pin.DAG, a pin.Attempt, q url.Values) (undo func()) {
	low, _ := strconv.Atoi(q.Get("replication-min"))
	high, _ := strconv.Atoi(q.Get("replication-max"))
	return e.posts.note(d, a, e.optionsIn(low, high, func(k string) string { return q.Get("meta-" + k) }))
}

// settles reports whether what was asked for under the attempt may not have appeared yet. is is what
// the pinset has, or nil.
func (e *Engine) settles(d pin.DAG, a pin.Attempt, is *pinInfo) bool {
	options := ""
	if is != nil {
		options = e.optionsIn(is.Min, is.Max, func(k string) string { return is.Metadata[k] })
	}
	return e.posts.recent(d, a, options)
}

func (p *posts) note(d pin.DAG, a pin.Attempt, options string) (undo func()) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[pin.DAG]posted)
	}
	if len(p.all) >= sweepPosts && now.Sub(p.swept) > settling { // sooner there is little to forget
		p.swept = now
		for d, one := range p.all {
			if now.Sub(one.at) > settling {
				delete(p.all, d)
			}
		}
	}
	was := p.all[d]
	p.all[d] = posted{a, options, now}
	return func() { p.restore(d, was) }
}

// restore puts back what was remembered of a DAG before.
func (p *posts) restore(d pin.DAG, was posted) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[d] = was // the zero value is never recent
}

// sweepPosts is from how many on old ones are forgotten.
const sweepPosts = 4096

// recent reports whether a pin was asked for under the attempt, just now and with other options than
// those that are there.
func (p *posts) recent(d pin.DAG, a pin.Attempt, there string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.all[d]
	return ok && one.attempt == a && one.options != there && time.Since(one.at) <= settling
}

func (p *posts) forget(d pin.DAG) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, d)
}
