package walk

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// passedMost is how many nodes that were passed over, and how many other blocks, a walk
// remembers, so that the DAG can be measured by another DAG.
const passedMost = 32 << 10

// finish marks the nodes that were not marked on the way, the attempt last, and gives the totals. Every
// block is durable by now.
func (w *walk) finish() (pin.Totals, error) {
	w.told = time.Time{}
	w.tell(time.Now())
	if err := w.markRest(); err != nil {
		return pin.Totals{}, err
	}
	totals, err := w.measure()
	if err == nil {
		w.cfg.Store.Mark(w.top.id, w.job.Limits)
	}
	return totals, err
}

// markRest marks as whole the nodes that were not tracked, and those that wait for one of
// them. It goes from the bottom up: a node is never whole before the nodes below it.
func (w *walk) markRest() error {
	var rest []*item
	for _, it := range w.open {
		if !it.isNode() {
			return fmt.Errorf("block %s is still waited for", it.cid) // which cannot be
		}
		rest = append(rest, it)
	}
	slices.SortFunc(rest, func(a, b *item) int { return cmp.Compare(b.depth, a.depth) })
	slices.Reverse(w.untracked)
	marks := w.untracked
	for _, it := range rest {
		marks = append(marks, it.id)
	}
	for page := range slices.Chunk(marks, batchLinks) {
		if err := w.cfg.Store.Write(w.ctx, graph.Batch{Whole: page, Limits: w.job.Limits}); err != nil {
			return err
		}
	}
	return nil
}

// passedOver notes a node that is whole, so that finish counts what is below it.
func (w *walk) passedOver(it *item) error {
	if it.codec == codecRaw {
		w.noteOther(it) // it has nothing below
		return nil
	}
	if len(w.over) < passedMost {
		w.over = append(w.over, it.dag())
		return nil
	}
	return w.countBelow(it.dag())
}

// measure gives the totals of the DAG, including what is below nodes that were passed over.
func (w *walk) measure() (pin.Totals, error) {
	if len(w.over) == 0 {
		return w.totals, nil
	}
	if !w.manyOthers && len(w.over) < passedMost {
		t, ok, err := w.measureByAnother()
		if err != nil || ok {
			return t, err
		}
	}
	for _, d := range w.over {
		if err := w.countBelow(d); err != nil {
			return pin.Totals{}, err
		}
	}
	return w.totals, nil
}

// measureByAnother measures the DAG by another complete DAG that has the nodes that were
// passed over. ok is false if there is none.
func (w *walk) measureByAnother() (t pin.Totals, ok bool, err error) {
	var failed error
	mark := func(h multihash.Multihash) uint64 {
		m, err := w.seen.Get(h)
		if err != nil {
			failed = err
		}
		return m
	}
	t, ok, err = w.cfg.Store.Measure(w.ctx, graph.Known{
		Attempt: w.job.Attempt, Passed: w.over, Others: w.others,
		Walked: func(d pin.DAG) bool {
			c := d.CID()
			return mark(c.Hash())&uint64(codecOf(c)) != 0
		},
		Seen: func(r graph.Ref) bool { return mark(r.Hash) != 0 },
	})
	if err == nil {
		err = failed
	}
	if err != nil || !ok {
		return pin.Totals{}, false, err
	}
	if err := w.checkTotals(t); err != nil {
		return pin.Totals{}, false, err
	}
	w.job.Progress.Blocks.Store(t.Blocks)
	w.job.Progress.Bytes.Store(t.Bytes)
	return t, true, nil
}

// countBelow counts the blocks below a node that was passed over. It reads records, not
// blocks.
func (w *walk) countBelow(d pin.DAG) error {
	for todo := []pin.DAG{d}; len(todo) > 0; {
		d := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		below, _, err := w.cfg.Store.Below(w.ctx, d)
		if err != nil {
			return err
		}
		for _, l := range below {
			node := l.DAG()
			as := codecOf(node.CID())
			mark, err := w.seen.Get(l.Hash)
			if err != nil {
				return err
			}
			if as != 0 && mark&uint64(as) != 0 {
				continue
			}
			if _, err := w.countBlock(l.Hash, l.Size, as, false); err != nil {
				return err
			}
			if as != codecRaw {
				todo = append(todo, node)
			}
		}
	}
	return nil
}
