package provide

import (
	"context"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Told gives the DAGs of which the roots are told when one is pinned: that DAG itself. A
// root that has its data in its CID is nothing to look for, so what it links to is told
// in its place, in any strategy. That may be nothing.
func Told(d pin.DAG) []pin.DAG {
	c := d.CID()
	if !c.Defined() {
		return nil
	}
	if _, ok := links.Inline(c); !ok {
		return []pin.DAG{d}
	}
	var all []pin.DAG
	seen := map[pin.DAG]struct{}{}
	var look func(c cid.Cid)
	look = func(c cid.Cid) {
		if _, ok := seen[pin.DAGOf(c)]; ok {
			return
		}
		seen[pin.DAGOf(c)] = struct{}{}
		data, ok := links.Inline(c)
		if !ok {
			all = append(all, pin.DAGOf(c))
			return
		}
		below, err := links.Of(c, data)
		if err != nil {
			return // it was never pinned
		}
		for _, l := range below { // a CID has less in it than the one that has it
			look(l)
		}
	}
	look(c)
	return all
}

// below remembers which inlined roots link to a DAG. Some of them may not be pinned any
// more. It belongs to run.
type below map[pin.DAG]map[pin.DAG]struct{}

func (b below) add(d, root pin.DAG) {
	if b[d] == nil {
		b[d] = make(map[pin.DAG]struct{}, 1)
	}
	b[d][root] = struct{}{}
}

func (b below) remove(d, root pin.DAG) {
	if delete(b[d], root); len(b[d]) == 0 {
		delete(b, d)
	}
}

// expand puts what inlined roots link to in their place.
func (p *Provider) expand(ctx context.Context, batch []pin.DAG) ([]pin.DAG, error) {
	var out []pin.DAG
	for _, root := range batch {
		told := Told(root)
		if len(told) == 1 && told[0] == root {
			out = append(out, root)
			continue
		}
		pinned, err := p.complete(ctx, root)
		if errors.Is(err, pin.ErrUnreadable) {
			continue // as in applyBatch
		}
		if err != nil {
			return nil, err
		}
		for _, d := range told {
			if pinned {
				p.below.add(d, root)
			} else {
				p.below.remove(d, root)
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// isTold reports whether a DAG's root is to be told: it is pinned, or an inlined root
// that is pinned links to it and it may be given to others.
func (p *Provider) isTold(ctx context.Context, d pin.DAG) (bool, error) {
	if ok, err := p.complete(ctx, d); ok || err != nil {
		return ok, err
	}
	for root := range p.below[d] {
		pinned, err := p.complete(ctx, root)
		if err != nil {
			return false, err
		}
		if !pinned {
			continue
		}
		if p.cfg.Holds == nil {
			return true, nil
		}
		holds, err := p.cfg.Holds(ctx, d.CID().Hash())
		if holds || err != nil {
			return holds, err
		}
	}
	return false, nil
}
