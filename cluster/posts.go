package cluster

import (
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// posts remembers which pins were asked for just now, and may not be in the pinset yet.
type posts struct {
	mu  sync.Mutex
	all map[pin.DAG]posted
}

type posted struct {
	attempt pin.Attempt
	at      time.Time
}

func (p *posts) note(d pin.DAG, a pin.Attempt) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[pin.DAG]posted)
	}
	if len(p.all) >= sweepPosts {
		for d, one := range p.all {
			if now.Sub(one.at) > settling {
				delete(p.all, d)
			}
		}
	}
	p.all[d] = posted{a, now}
}

// sweepPosts is from how many on old ones are forgotten.
const sweepPosts = 4096

// recent reports whether a pin was asked for under the attempt, and may not have appeared yet.
func (p *posts) recent(d pin.DAG, a pin.Attempt) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.all[d]
	return ok && one.attempt == a && time.Since(one.at) <= settling
}

func (p *posts) forget(d pin.DAG) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, d)
}
