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

// What the seen set keeps for a multihash: the codecs that it was read under, whether its
// bytes are here, and how many bytes these are.
const (
	markCodecs = uint64(^codecs(0))
	markHere   = markCodecs + 1
	markSize   = 9 // bits before the size
)

// passLeast is the smallest raw block on disk for which the walk asks whether it is known to
// be good. To hash a smaller one takes no more time than to ask.
const passLeast = 32 << 10

// visit follows one link of a node. It reads the block if it is here, and asks for it if
// not. local is whether a block was read from disk.
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

// again links to an item that was visited before and is whole, or is not tracked.
func (w *walk) again(p, it *item) {
	w.writer.link(p, it)
	if p.tracked && it.codec != codecRaw && len(w.untracked) > 0 {
		p.pending++ // the item may be an untracked node, so p is whole at the end
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

// look reads a block from disk. found is false if it cannot be read: then it is fetched
// again.
func (w *walk) look(hash string) (data []byte, found bool, err error) {
	data, found, err = w.cfg.Store.Look(w.ctx, multihash.Multihash(hash))
	if errors.Is(err, pin.ErrUnreadable) {
		return nil, false, nil
	}
	return data, found, err
}

// found goes on with an item that is on disk, and passes it over if everything below it is
// known to be there. good is false if the block is damaged.
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
	// "Whole" says that everything below a node is there. The node's own bytes may be
	// damaged, so they are checked. A raw block is whole only because a node above it
	// is, and so its bytes are known to be good.
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

// passLimits are the limits to which a node must have been held, so that it may be passed
// over. How deep it goes is not known. So with a limit of depth nothing is passed over:
// the result has a limit of links that no node was ever held to.
func (w *walk) passLimits() pin.Limits {
	l := w.job.Limits
	if l.Depth > 0 {
		l.Links = 1
	}
	return l
}

// foundEmpty goes on with a block of no bytes, which nobody has to send.
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

// noteOther remembers a block that was walked, so that the DAG can be measured.
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

// isEmpty reports whether c is the CID of no bytes at all. Many servers never send that
// block, and nobody needs it. A hash function that cannot be computed here is refused,
// since no block could be checked.
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

// relook looks on disk for blocks that were asked for long ago, since another walk may have
// put them there.
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

// reread reads a block that is here already under another codec.
func (w *walk) reread(it *item) error {
	if it.codec == codecRaw {
		w.hold(it)
		w.writer.land(it, false) // the bytes are in this batch or an earlier one
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

// lost goes on with an item that was found on disk, and was gone, or not whole any more,
// once the link to it was durable.
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

// isGood reports whether bytes from disk have the hash of their CID.
func (w *walk) isGood(c cid.Cid, data []byte) (bool, error) {
	sum, err := c.Prefix().Sum(data)
	if err != nil {
		return false, pin.Refused("block %s has a hash that cannot be computed here: %v", c, err)
	}
	if !sum.Equals(c) {
		// The manager logs the repair as a whole; each turn meets each damaged block.
		w.cfg.Logger.Debug("a block on disk is damaged and is fetched again", "cid", c)
		return false, nil
	}
	return true, nil
}
