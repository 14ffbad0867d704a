package graph

import (
	"context"
	"errors"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

const (
	// To measure a DAG by another may read a record for each measurePart blocks of the
	// other, but at least minMeasure records and at most maxMeasure. To count by the records
	// of all that was passed over takes one cheap record for each block instead, which costs
	// about a fiftieth of one here.
	minMeasure  = 2048
	measurePart = 50
	maxMeasure  = 64 << 10
	// maxBases is how many other DAGs are tried.
	maxBases = 4
)

// errTooFar: to measure by this DAG would cost too much.
var errTooFar = errors.New("too much differs")

// Measure gives the totals of a DAG of which a walk passed over a part. It looks for a complete
// DAG that has all of that part, and takes its totals, plus what is only in the new DAG, minus
// what is only in the other. That costs what differs. ok is false if there is no such DAG, or
// if too much differs.
func (g *Store) Measure(ctx context.Context, k graph.Known) (t pin.Totals, ok bool, err error) {
	if len(k.Passed) == 0 {
		return t, false, nil
	}
	err = g.kv.View(ctx, func(r *kv.Reader) error {
		bases, err := g.basesOf(r, k.Passed[0])
		for _, b := range bases {
			if err != nil || ok {
				return err
			}
			m := newMeasurer(r, k, b)
			if t, err = m.run(); errors.Is(err, errTooFar) {
				err = nil
				continue
			}
			ok = err == nil
		}
		return err
	})
	if err != nil {
		return pin.Totals{}, false, kv.Wrap(err, "measure what attempt %d has", k.Attempt)
	}
	return t, ok, nil
}

// base is a complete DAG to measure another by.
type base struct {
	attempt pin.Attempt
	root    pin.DAG
	totals  pin.Totals
}

// basesOf lists complete DAGs that have a node, the newest first: most likely that is the
// previous version of what is measured.
func (g *Store) basesOf(r *kv.Reader, d pin.DAG) (bases []base, err error) {
	c := d.CID()
	up := &climber{r: r, left: minMeasure, known: map[graph.Holder]bool{}}
	var attempts []pin.Attempt
	up.reached = func(a pin.Attempt) bool {
		attempts = append(attempts, a)
		return false // so that others are found, too
	}
	if _, err := up.fromNode(c); err != nil && !errors.Is(err, errTooFar) {
		return nil, err
	}
	slices.Sort(attempts)
	for _, a := range slices.Backward(attempts) {
		root, inUse, err := g.AttemptDAG(r, a)
		if err != nil {
			return nil, err
		}
		var rec DAGRecord
		if inUse && root != "" {
			if rec, _, err = g.DAG(r, pin.DAG(root)); err != nil {
				return nil, err
			}
		}
		if rec.Complete && rec.Attempt == a {
			bases = append(bases, base{a, pin.DAG(root), pin.Totals{Blocks: rec.Blocks, Bytes: rec.Bytes}})
		}
		if len(bases) == maxBases {
			break
		}
	}
	return bases, nil
}

// measurer measures one DAG by another, the base.
type measurer struct {
	r    *kv.Reader
	k    graph.Known
	base base
	old  *climber // finds what is in the base
	now  *climber // finds what is in the DAG that is measured
	left int      // links of the base that may still be read
}

func newMeasurer(r *kv.Reader, k graph.Known, b base) *measurer {
	left := max(minMeasure, min(maxMeasure, int(b.totals.Blocks/measurePart)))
	to := func(a pin.Attempt) *climber {
		return &climber{r: r, left: left, known: map[graph.Holder]bool{}, reached: func(o pin.Attempt) bool { return o == a }}
	}
	return &measurer{r: r, k: k, base: b, old: to(b.attempt), now: to(k.Attempt), left: left}
}

func (m *measurer) run() (t pin.Totals, err error) {
	for _, d := range m.k.Passed {
		in, err := m.old.fromNode(d.CID())
		if err != nil {
			return t, err
		}
		if !in {
			return t, errTooFar // the base's totals do not have what is below it
		}
	}
	t = m.base.totals
	for _, ref := range m.k.Others {
		in, err := m.old.fromBlock(ref)
		if err != nil {
			return t, err
		}
		if !in {
			t.Blocks++
			t.Bytes += uint64(ref.Size)
		}
	}
	gone, err := m.gone()
	t.Blocks -= gone.Blocks
	t.Bytes -= gone.Bytes
	return t, err
}

// gone counts the blocks of the base that are not in the DAG that is measured. It goes down
// from the base's root, and stops at nodes that both have.
func (m *measurer) gone() (t pin.Totals, err error) {
	seen := map[string]bool{} // blocks
	done := map[pin.DAG]bool{m.base.root: true}
	holders := []graph.Holder{graph.HolderOf(m.base.attempt)}
	for len(holders) > 0 {
		h := holders[len(holders)-1]
		holders = holders[:len(holders)-1]
		var below []graph.Link
		err := m.r.Scan(kv.Span{Prefix: linksFrom(h)}, func(key, value []byte) (bool, error) {
			l, err := splitLinkFrom(key, value)
			l.Hash = slices.Clone(l.Hash)
			below = append(below, l)
			return true, err
		})
		if err != nil {
			return t, err
		}
		if m.left -= len(below); m.left < 0 {
			return t, errTooFar
		}
		for _, l := range below {
			d := l.DAG()
			if d != m.base.root && done[d] {
				continue
			}
			done[d] = true
			shared, err := m.shares(l, d)
			if err != nil {
				return t, err
			}
			if shared {
				continue
			}
			if !seen[string(l.Hash)] && !m.k.Seen(l.Ref) {
				in, err := m.now.fromBlock(l.Ref)
				if err != nil {
					return t, err
				}
				if !in {
					t.Blocks++
					t.Bytes += uint64(l.Size)
				}
			}
			seen[string(l.Hash)] = true
			if id, ok, err := wholeNode(m.r, d); err != nil {
				return t, err
			} else if ok {
				holders = append(holders, id)
			}
		}
	}
	return t, nil
}

// shares reports whether the DAG that is measured has a node of the base, too.
func (m *measurer) shares(l graph.Link, d pin.DAG) (bool, error) {
	if m.k.Walked(d) {
		return true, nil
	}
	return m.now.fromNode(cid.NewCidV1(l.Codec, l.Hash))
}

// climber finds out what is below an attempt, by going up. It remembers the answer for each
// holder.
type climber struct {
	r       *kv.Reader
	left    int                    // records that it may still read
	known   map[graph.Holder]bool  // whether a holder is below the attempt
	reached func(pin.Attempt) bool // reports whether an attempt is the one
}

// fromNode reports whether a node is below the attempt, and fromBlock whether a block is, under
// any codec. Errors: errTooFar.
func (c *climber) fromNode(id cid.Cid) (bool, error) { return c.from(linksTo(id.Hash(), id.Type())) }

func (c *climber) fromBlock(r graph.Ref) (bool, error) { return c.from(BlockLinks(r.Hash)) }

func (c *climber) from(prefix []byte) (bool, error) {
	var up []graph.Holder
	err := c.r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		if c.left--; c.left < 0 {
			return false, errTooFar
		}
		up = append(up, TailHolder(key))
		return true, nil
	})
	if err != nil {
		return false, err
	}
	for _, h := range up {
		if is, err := c.holder(h); err != nil || is {
			return is, err
		}
	}
	return false, nil
}

func (c *climber) holder(h graph.Holder) (is bool, err error) {
	if is, known := c.known[h]; known {
		return is, nil
	}
	if c.left--; c.left < 0 {
		return false, errTooFar
	}
	id, isNode, err := nodeCID(c.r, h)
	if err != nil {
		return false, err
	}
	if isNode {
		is, err = c.fromNode(id)
	} else {
		is = c.reached(pin.Attempt(h))
	}
	if err == nil {
		c.known[h] = is
	}
	return is, err
}
