package pin

import (
	"context"
	"sync"
)

// gates keep chosen DAGs from being fetched for a while. A DAG without a gate may be
// fetched.
type gates struct {
	mu      sync.Mutex
	shutBy  map[DAG]*gate
	running map[DAG]*passage
}

// gate is shut until every call that shut it has opened it.
type gate struct {
	calls  int
	opened chan struct{} // closed when the gate opens
}

// passage is a run that got through.
type passage struct {
	stop context.CancelCauseFunc
	left chan struct{} // closed when the run has ended
}

func newGates() *gates {
	return &gates{shutBy: make(map[DAG]*gate), running: make(map[DAG]*passage)}
}

// pass waits until the DAG's gate is open. The caller calls leave when its run has ended.
// If the gate is shut before that, stop is called with errRecheck. pass fails with ctx's
// cause.
func (g *gates) pass(ctx context.Context, d DAG, stop context.CancelCauseFunc) (leave func(), err error) {
	for {
		g.mu.Lock()
		shut := g.shutBy[d]
		if shut == nil {
			defer g.mu.Unlock()
			p := &passage{stop: stop, left: make(chan struct{})}
			g.running[d] = p
			return func() { g.leave(d, p) }, nil
		}
		g.mu.Unlock()
		select {
		case <-shut.opened:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (g *gates) leave(d DAG, p *passage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running[d] == p {
		delete(g.running, d)
	}
	close(p.left)
}

// shut stops the run of a DAG, waits until it has ended, and keeps others from beginning
// until open is called as often as shut was.
func (g *gates) shut(d DAG) {
	g.mu.Lock()
	if g.shutBy[d] == nil {
		g.shutBy[d] = &gate{opened: make(chan struct{})}
	}
	g.shutBy[d].calls++
	p := g.running[d]
	g.mu.Unlock()
	if p != nil {
		p.stop(errRecheck)
		<-p.left
	}
}

func (g *gates) open(d DAG) {
	g.mu.Lock()
	defer g.mu.Unlock()
	shut := g.shutBy[d]
	if shut.calls--; shut.calls == 0 {
		delete(g.shutBy, d)
		close(shut.opened)
	}
}
