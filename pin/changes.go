package pin

import "sync"

// changes tells those who follow the requests for a DAG when there is something new.
type changes struct {
	mu sync.Mutex
	of map[DAG]map[chan struct{}]struct{}
}

// Changed gives a channel that has something soon after requests for a DAG became pinned, failed
// or were removed, until end is called. It may have something without a change, and tells of none
// that was before the call.
func (m *Manager) Changed(d DAG) (changed <-chan struct{}, end func()) {
	return m.jobs.changes.follow(d)
}

func (c *changes) follow(d DAG) (<-chan struct{}, func()) {
	to := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[DAG]map[chan struct{}]struct{})
	}
	if c.of[d] == nil {
		c.of[d] = make(map[chan struct{}]struct{})
	}
	c.of[d][to] = struct{}{}
	return to, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.of[d], to)
		if len(c.of[d]) == 0 {
			delete(c.of, d)
		}
	}
}

// tell says that something may have changed, after it has.
func (c *changes) tell(d DAG) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for to := range c.of[d] {
		select {
		case to <- struct{}{}:
		default: // it has not looked since the last change
		}
	}
}
