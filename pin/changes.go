package pin

import "sync"

// changes tells those who follow the requests for a DAG when there is something new.
type changes struct {
	mu sync.Mutex
	of map[DAG]map[chan Change]struct{}
}

// Change is something new about the requests for a DAG. What it does not say is to be read.
type Change struct {
	Account, ID string // the request that became pinned; "" is that it does not say which
	Totals      Totals // of the DAG then
}

// Pinned reports whether the change says that a request became pinned.
func (c Change) Pinned(r Request) bool { return c.ID != "" && c.ID == r.ID && c.Account == r.Account }

// Changed gives a channel that has something soon after requests for a DAG became pinned, failed
// or were removed, until end is called. It may have something without a change, and tells of none
// that was before the call.
func (m *Manager) Changed(d DAG) (changed <-chan Change, end func()) {
	return m.jobs.changes.follow(d)
}

func (c *changes) follow(d DAG) (<-chan Change, func()) {
	to := make(chan Change, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[DAG]map[chan Change]struct{})
	}
	if c.of[d] == nil {
		c.of[d] = make(map[chan Change]struct{})
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

// tell tells of a change, after it was made.
func (c *changes) tell(d DAG, change Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for to := range c.of[d] {
		select {
		case to <- change:
		default: // it has not looked since the last change
		}
	}
}
