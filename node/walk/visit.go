package walk

import (
	"errors"
	"fmt"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// What the seen-set has of a multihash: the codecs that it is read under, whether
// its bytes are here, and how many those are.
const (
	markCodecs = uint64(^codecs(0))
	markHere   = markCodecs + 1
	markSize   = 9 // bits before the size
)

// passLeast is the size from which on a raw block on disk is asked after, whether it
// is known to be good: a smaller one is hashed in no more time than that takes.
const passLeast = 32 << 10

// visit goes from a node to one that it links to: reads it if it is here, asks for
// it if not. It reports whether it read the disk to some effect.
func (w *walk) visit(p *item, c cid.Cid) (local bool, err error) {
	depth := p.depth + 1
	if p == w.top {
		depth = 0
	}
	if data, ok := links.Inline(c); ok {
		if err := w.refuse(c); err != nil {
			return false, err
		}
		return false, w.inline(p, c, depth, data)
	}
	k := keyOf(c)
	if it := w.open[k]; it != nil {
		w.attach(p, it)
		return false, nil
	}
	hash := multihash.Multihash(k.hash)
	mark, err := w.seen.Get(hash)
	if err != nil {
		return false, err
	}
	if mark&uint64(k.codec) != 0 {
		w.again(p, &item{key: k, cid: c, size: int(mark >> markSize)})
		return false, nil
	}
	if err := w.refuse(c); err != nil {
		return false, err
	}
	if limit := w.job.Limits.Depth; limit > 0 && depth > limit {
		return false, pin.Refused("block %s is %d links from the root, more than the %d that pin.max_depth allows", c, depth, limit)
	}
	if err := w.seen.Put(hash, mark|uint64(k.codec)); err != nil {
		return false, err
	}
	if limit := w.job.Limits.Blocks; limit > 0 && uint64(w.seen.Len()) > limit {
		return false, w.tooMany(limit)
	}
	it := &item{key: k, cid: c, depth: depth}
	w.attach(p, it)
	w.open[k] = it
	if want := w.wants[k.hash]; want != nil {
		want.items = append(want.items, it) // asked for under another codec
		return false, nil
	}
	if mark&markHere != 0 {
		it.size, it.counted = int(mark>>markSize), true
		return true, w.reread(it)
	}
	return w.findOrAsk(it)
}

func (w *walk) refuse(c cid.Cid) error {
	if w.cfg.Refuse == nil {
		return nil
	}
	return w.cfg.Refuse(c)
}

func (w *walk) tooMany(limit uint64) error {
	return pin.Refused("the DAG has more than the %d blocks that pin.max_dag_blocks allows", limit)
}

// again links to what was visited before and is whole, or is not tracked.
func (w *walk) again(p, it *item) {
	w.writer.link(p, it)
	if p.tracked && it.codec != codecRaw && len(w.untracked) > 0 {
		p.pending++ // it may be one of those, so this waits for the end, too
	}
}

// findOrAsk looks for a new item on disk, and asks for it if it is not there.
func (w *walk) findOrAsk(it *item) (local bool, err error) {
	data, found, err := w.look(it.hash)
	if err != nil {
		return false, err
	}
	if found {
		if found, err = w.found(it, data); err != nil || found {
			return found, err
		}
	} else if empty, err := isEmpty(it.cid); err != nil {
		return false, err
	} else if empty {
		return true, w.foundEmpty(it)
	}
	w.ask(it)
	return false, nil
}

// look reads a block from disk. One that cannot be read is fetched again.
func (w *walk) look(hash string) (data []byte, found bool, err error) {
	data, found, err = w.cfg.Store.Look(w.ctx, multihash.Multihash(hash))
	if errors.Is(err, pin.ErrUnreadable) {
		return nil, false, nil
	}
	return data, found, err
}

// found goes on with an item that is on disk: passes it over if all of it is known
// to be good. It reports false if it is damaged.
func (w *walk) found(it *item, data []byte) (good bool, err error) {
	if err := w.acquire(); err != nil {
		return false, err
	}
	pass := false
	if it.codec != codecRaw || len(data) >= passLeast {
		if pass, err = w.cfg.Store.Whole(w.ctx, it.dag(), w.passLimits(), false); err != nil {
			return false, err
		}
	}
	// A node may be whole and be damaged itself, as what is below it is another matter;
	// of what has nothing below it is whole because something above is.
	if it.codec != codecRaw || !pass {
		if good, err := w.isGood(it.cid, data); err != nil || !good {
			return false, err
		}
	}
	if !pass {
		return true, w.take([]*item{it}, data, false)
	}
	it.passed, it.size = true, len(data)
	if err := w.count(it, false); err != nil {
		return false, err
	}
	w.hold(it)
	w.writer.land(it, true)
	return true, nil
}

// passLimits are what a node that is passed over must have been held to. How deep
// it is below the root is not known of it: with a limit to that nothing is passed
// over, which a limit that was never kept to makes sure of.
func (w *walk) passLimits() pin.Limits {
	l := w.job.Limits
	if l.Depth > 0 {
		l.Links = 1
	}
	return l
}

// foundEmpty goes on with the block of no bytes, which nobody needs to send.
func (w *walk) foundEmpty(it *item) error {
	if err := w.acquire(); err != nil {
		return err
	}
	b, err := blocks.NewBlockWithCid(nil, it.cid)
	if err != nil {
		return err
	}
	w.writer.put(it, b)
	w.hold(it)
	w.writer.land(it, false)
	if err := w.count(it, false); err != nil {
		return err
	}
	return w.expand(it, nil, true)
}

// noteOther remembers a block that was walked, for measuring.
func (w *walk) noteOther(it *item) {
	if w.manyOthers {
		return
	}
	if w.manyOthers = len(w.others) == passedMost; w.manyOthers {
		w.others = nil
		return
	}
	w.others = append(w.others, graph.Ref{Hash: multihash.Multihash(it.hash), Size: it.size})
}

// isEmpty reports whether c is the CID of no bytes at all. Many servers never
// send that block, and nobody needs them to. A hash that cannot be computed
// here, and so never checked, is refused.
func isEmpty(c cid.Cid) (bool, error) {
	empty, err := c.Prefix().Sum(nil)
	if err != nil {
		return false, pin.Refused("block %s has a hash that cannot be computed here: %v", c, err)
	}
	return empty.Equals(c), nil
}

// ask wants an item's bytes from the network.
func (w *walk) ask(it *item) {
	if want := w.wants[it.hash]; want != nil {
		want.items = append(want.items, it)
		return
	}
	w.wants[it.hash] = &want{cid: it.cid, items: []*item{it}, asked: time.Now()}
	w.asking = append(w.asking, it.cid)
}

// relook reads from disk what was asked for long ago, as another walk may have put
// it there.
func (w *walk) relook(now time.Time) error {
	for hash, want := range w.wants {
		if now.Sub(want.asked) < relookAfter {
			continue
		}
		want.asked = now
		data, found, err := w.look(hash)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if good, err := w.isGood(want.cid, data); err != nil || !good {
			if err != nil {
				return err
			}
			continue
		}
		if err := w.acquire(); err != nil {
			return err
		}
		delete(w.wants, hash)
		w.cfg.Asker.Forget(want.cid)
		if err := w.take(want.items, data, false); err != nil {
			return err
		}
	}
	return nil
}

// reread reads under another codec what is here already.
func (w *walk) reread(it *item) error {
	if it.codec == codecRaw {
		w.hold(it)
		w.writer.land(it, false) // it comes after the bytes
		return nil
	}
	data, found := w.writer.find(it.cid)
	if !found {
		var err error
		if data, found, err = w.read(it.cid); err != nil {
			return err
		}
	}
	if !found {
		w.ask(it)
		return nil
	}
	if err := w.acquire(); err != nil {
		return err
	}
	w.hold(it)
	w.writer.land(it, false)
	return w.expand(it, data, true)
}

// lost goes on with an item that was found and was gone once it was linked to, or
// not whole any more.
func (w *walk) lost(it *item) error {
	if it.passed {
		it.passed = false
		w.noteOther(it)
		data, found, err := w.read(it.cid)
		if err != nil {
			return err
		}
		if found {
			w.writer.land(it, true)
			return w.expand(it, data, true)
		}
	}
	w.ask(it)
	return nil
}

// read gives a block's bytes if they are on disk now, and good.
func (w *walk) read(c cid.Cid) (data []byte, found bool, err error) {
	b, err := w.cfg.Store.Blockstore().Get(w.ctx, c)
	switch {
	case ipld.IsNotFound(err), errors.Is(err, pin.ErrUnreadable):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read block %s: %w", c, err)
	}
	good, err := w.isGood(c, b.RawData())
	return b.RawData(), good, err
}

// isGood reports whether bytes that were on disk are what they should be.
func (w *walk) isGood(c cid.Cid, data []byte) (bool, error) {
	sum, err := c.Prefix().Sum(data)
	if err != nil {
		return false, pin.Refused("block %s has a hash that cannot be computed here: %v", c, err)
	}
	if !sum.Equals(c) {
		// The manager tells of the repair as a whole: each turn comes to each such block.
		w.cfg.Logger.Debug("a block on disk is damaged and is fetched again", "cid", c)
		return false, nil
	}
	return true, nil
}

// inline goes on with a CID that is its own block: what it links to its parent holds.
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

// expand makes an item a node, if it has links, and puts it on the stack. stored is
// whether it was on disk, where an earlier run of the attempt may have come to it.
func (w *walk) expand(it *item, data []byte, stored bool) error {
	if it.isNode() {
		return nil // it was, and its bytes had been lost
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
		it.pending = 2 // until it is durable, and until all links were visited
	} else {
		w.untracked = append(w.untracked, it.id)
		w.leave(it)
		delete(w.open, it.key)
	}
	w.push(it)
	return nil
}

// push puts a node on the stack, and forgets the links of those far below for now.
func (w *walk) push(it *item) {
	w.stack = append(w.stack, it)
	w.loaded += len(it.links)
	w.low = min(w.low, len(w.stack)-1)
	most := w.cfg.most(w.cfg.loadedMost, loadedMost, loadedLeast)
	for ; w.loaded > most && w.low < len(w.stack)-1; w.low++ {
		if low := w.stack[w.low]; !low.inlined { // which has no block to read them from again
			w.loaded -= len(low.links)
			low.links = nil
		}
	}
}

// reload reads the links of a node that was far below.
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

// linksOf gives what a block links to, each once, by whatever version of its CID. A block
// with a link that cannot be followed is refused now, before what its other links lead to
// is fetched in vain; so is one that links to such a block and contains it.
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

// canFollow refuses a link to what cannot be read here.
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

// count records that an item's block is here.
func (w *walk) count(it *item, received bool) error {
	if it.counted {
		return nil
	}
	if limit := w.job.Limits.BlockBytes; limit > 0 && uint64(it.size) > limit {
		return pin.Refused("block %s has %d bytes, more than the %d that pin.max_block_size allows", it.cid, it.size, limit)
	}
	it.counted = true
	fresh, err := w.countBlock(multihash.Multihash(it.hash), it.size, 0, received)
	if fresh && !it.passed {
		w.noteOther(it)
	}
	return err
}

// countBlock records that a block is here, to be read under more codecs, unless that
// is known. fresh is whether the block was not.
func (w *walk) countBlock(h multihash.Multihash, size int, as codecs, received bool) (fresh bool, err error) {
	mark, err := w.seen.Get(h)
	if err != nil {
		return false, err
	}
	fresh = mark&markHere == 0
	if fresh || mark&uint64(as) != uint64(as) {
		mark = mark&markCodecs | uint64(as) | markHere | uint64(size)<<markSize
		if err := w.seen.Put(h, mark); err != nil {
			return false, err
		}
	}
	if !fresh {
		return false, nil
	}
	w.totals.Blocks++
	w.totals.Bytes += uint64(size)
	if err := w.checkTotals(w.totals); err != nil {
		return false, err
	}
	w.job.Progress.Advance(size, received)
	return true, nil
}

// checkTotals refuses what is more than a DAG may have.
func (w *walk) checkTotals(t pin.Totals) error {
	if limit := w.job.Limits.Bytes; limit > 0 && t.Bytes > limit {
		return pin.Refused("the DAG has more than the %d bytes that pin.max_dag_bytes allows", limit)
	}
	if limit := w.job.Limits.Blocks; limit > 0 && t.Blocks > limit {
		return w.tooMany(limit)
	}
	return nil
}
