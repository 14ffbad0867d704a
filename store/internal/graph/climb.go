package graph

import (
	"slices"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// climbMost bounds what a Climb remembers, to some 50 MB. What it forgets it climbs again.
const climbMost = 1 << 20

// Climb goes up from blocks, one after the other, and remembers where it was. So what is above
// many blocks of one DAG is read once. What changes meanwhile it may not see. The zero value is
// ready.
type Climb struct {
	tops  map[graph.Holder]*topsOf // what is above each holder that it was at
	size  int                      // of all that
	fresh []graph.Holder
}

// topsOf is the ends of the ways up: attempts, and nodes that are not there any more. Most
// holders share one.
type topsOf struct{ holders []graph.Holder } // in order, each once

// Above gives the ends of all ways up from a block, read under whatever codec, in order.
func (c *Climb) Above(r *kv.Reader, h multihash.Multihash) ([]graph.Holder, error) {
	if c.tops == nil || c.size > climbMost {
		c.tops, c.size = map[graph.Holder]*topsOf{}, 0
	}
	direct, err := holdersUnder(r, BlockLinks(h))
	if err != nil {
		return nil, err
	}
	var all []*topsOf
	for _, holder := range direct {
		tops, err := c.from(r, holder)
		if err != nil {
			return nil, err
		}
		all = append(all, tops)
	}
	return c.union(all).holders, nil
}

// Fresh gives the holders that it came to since Fresh was last called: each holder above the
// blocks is among them once.
func (c *Climb) Fresh() []graph.Holder {
	fresh := c.fresh
	c.fresh = nil
	return fresh
}

// step is a holder on the way up.
type step struct {
	holder  graph.Holder
	parents []graph.Holder // that it was not at yet
	above   []*topsOf
}

// from climbs from a holder. It goes down before it goes on, so that each holder is gone
// through when all above it was, however long the way is.
func (c *Climb) from(r *kv.Reader, start graph.Holder) (*topsOf, error) {
	way := []*step{{parents: []graph.Holder{start}}}
	for {
		at := way[len(way)-1]
		if len(at.parents) > 0 {
			holder := at.parents[0]
			at.parents = at.parents[1:]
			if tops, known := c.tops[holder]; known {
				at.above = append(at.above, tops)
				continue
			}
			c.fresh = append(c.fresh, holder)
			cid, isNode, err := nodeCID(r, holder)
			if err != nil {
				return nil, err
			}
			if !isNode {
				at.above = append(at.above, c.note(holder, &topsOf{[]graph.Holder{holder}}))
				continue
			}
			parents, err := holdersUnder(r, linksTo(cid.Hash(), cid.Type()))
			if err != nil {
				return nil, err
			}
			c.tops[holder] = new(topsOf) // no way leads to itself, but what is damaged may say so
			way = append(way, &step{holder: holder, parents: parents})
			continue
		}
		tops := c.union(at.above)
		way = way[:len(way)-1]
		if len(way) == 0 {
			return tops, nil
		}
		below := way[len(way)-1]
		below.above = append(below.above, c.note(at.holder, tops))
	}
}

func (c *Climb) note(holder graph.Holder, tops *topsOf) *topsOf {
	c.tops[holder] = tops
	c.size++
	return tops
}

// union gives what is in any of them: one of these, if that has it all.
func (c *Climb) union(all []*topsOf) *topsOf {
	if len(all) == 0 {
		return new(topsOf)
	}
	most := all[0]
	for _, tops := range all[1:] {
		if len(tops.holders) > len(most.holders) {
			most = tops
		}
	}
	var more []graph.Holder
	for _, tops := range all {
		if tops == most {
			continue
		}
		for _, holder := range tops.holders {
			if _, has := slices.BinarySearch(most.holders, holder); !has {
				more = append(more, holder)
			}
		}
	}
	if len(more) == 0 {
		return most
	}
	more = append(more, most.holders...)
	slices.Sort(more)
	more = slices.Compact(more)
	c.size += len(more)
	return &topsOf{more}
}

// holdersUnder gives the holders of links, each once.
func holdersUnder(r *kv.Reader, prefix []byte) (all []graph.Holder, err error) {
	err = r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		all = append(all, TailHolder(key))
		return true, nil
	})
	slices.Sort(all) // under different codecs it may be there twice
	return slices.Compact(all), err
}
