package walk

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// inline goes on with a CID that has its data in it. Its parent holds what it links to.
func (w *walk) inline(p *item, c cid.Cid, depth uint64, data []byte) error {
	ls, err := w.linksOf(c, data)
	if err != nil || len(ls) == 0 {
		return err
	}
	it := &item{
		cid: c, depth: depth, id: p.id, inlined: true, tracked: p.tracked,
		links: ls, count: len(ls), pending: 1,
	}
	if p.tracked {
		w.attach(p, it)
	}
	w.push(it)
	return nil
}

// expand makes an item with links a node, and puts it on the stack. stored is whether the
// block was on disk: then an earlier run of the attempt may have made the node.
func (w *walk) expand(it *item, data []byte, stored bool) error {
	if it.isNode() {
		return nil // it is one, and its bytes had been lost
	}
	if it.depth == 0 {
		w.job.Progress.SetClaimed(links.ClaimedSize(it.cid, data))
	}
	ls, err := w.linksOf(it.cid, data)
	if err != nil || len(ls) == 0 {
		return err
	}
	if stored {
		if it.id, _, err = w.cfg.Store.NodeOf(w.ctx, w.job.Attempt, it.dag()); err != nil {
			return err
		}
	}
	if it.id == 0 {
		if it.id, err = w.number(); err != nil {
			return err
		}
	}
	w.writer.node(it, w.job.Attempt)
	it.links, it.count = ls, len(ls)
	it.tracked = w.tracking < w.cfg.most(w.cfg.openMost, openMost, openLeast) &&
		w.waits < w.cfg.most(w.cfg.waitMost, waitMost, waitLeast)
	if it.tracked {
		w.tracking++
		it.pending = 2 // one until it is durable, one until all its links were visited
	} else {
		w.untracked = append(w.untracked, it.id)
		w.leave(it)
		delete(w.open, it.key)
	}
	w.push(it)
	return nil
}

// push puts a node on the stack. If too many links are in memory, it forgets those of the
// nodes at the bottom for now.
func (w *walk) push(it *item) {
	w.stack = append(w.stack, it)
	w.loaded += len(it.links)
	w.low = min(w.low, len(w.stack)-1)
	most := w.cfg.most(w.cfg.loadedMost, loadedMost, loadedLeast)
	for ; w.loaded > most && w.low < len(w.stack)-1; w.low++ {
		if low := w.stack[w.low]; !low.inlined { // an inlined one has no block to read them from again
			w.loaded -= len(low.links)
			low.links = nil
		}
	}
}

// reload reads the links of a node again that push forgot.
func (w *walk) reload(it *item) error {
	data, found := w.writer.find(it.cid)
	if !found {
		var err error
		if data, found, err = w.read(it.cid); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("block %s is gone while it is being walked", it.cid)
	}
	ls, err := w.linksOf(it.cid, data)
	if err != nil {
		return err
	}
	it.links = ls
	w.loaded += len(ls)
	return nil
}

// linksOf gives the links of a block, each once, whatever version the CIDs have. It refuses a
// block if one of its links cannot be followed, so that nothing else of the block is
// fetched in vain. The links of inlined blocks are checked as well.
func (w *walk) linksOf(c cid.Cid, data []byte) ([]cid.Cid, error) {
	ls, err := links.Of(c, data)
	if err != nil {
		return nil, err
	}
	if limit := w.job.Limits.Links; limit > 0 && uint64(len(ls)) > limit {
		return nil, pin.Refused("block %s has %d links, more than the %d that pin.max_links allows", c, len(ls), limit)
	}
	if len(ls) == 0 {
		return nil, nil
	}
	once := make(map[key]struct{}, len(ls))
	distinct := ls[:0]
	for _, l := range ls {
		if _, twice := once[keyOf(l)]; !twice {
			if err := w.canFollow(l); err != nil {
				return nil, pin.Refused("in block %s: %v", c, err)
			}
			once[keyOf(l)] = struct{}{}
			distinct = append(distinct, l)
		}
	}
	return distinct, nil
}

// canFollow refuses a link to a block that cannot be read here.
func (w *walk) canFollow(l cid.Cid) error {
	if err := links.Check(l); err != nil {
		return err
	}
	if data, ok := links.Inline(l); ok { // of at most 128 bytes, so this does not go deep
		_, err := w.linksOf(l, data)
		return err
	}
	return nil
}
