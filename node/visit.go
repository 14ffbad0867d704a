package node

import (
	"fmt"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// visit takes a node from the frontier: reads it if it is here, asks for it if
// not. It reports whether it read the disk to some effect.
func (f *fetch) visit(at place) (local bool, err error) {
	c, codec := at.cid, codecOf(at.cid)
	if data, ok := inline(c); ok {
		return false, f.expand(at, codec, data)
	}
	key := string(c.Hash())
	if f.seen[key]&markHere != 0 {
		return true, f.reread(at, codec)
	}
	if f.asker.also(key, codec) {
		return false, nil // asked for under another codec
	}
	data, found, err := f.look(c)
	if err != nil {
		return false, err
	}
	if !found {
		if empty, err := isEmpty(c); err != nil {
			return false, err
		} else if !empty {
			f.asker.want(&want{cid: c, key: key, codecs: codec, depth: at.depth})
			return false, nil
		}
	}
	if err := f.acquire(); err != nil {
		return false, err
	}
	now := time.Now()
	if err := f.count(c, data, now, false); err != nil {
		return false, err
	}
	if !found {
		b, err := blocks.NewBlockWithCid(nil, c)
		if err != nil {
			return false, err
		}
		f.writer.put(b, now)
	} else {
		f.writer.claim(c, len(data), now)
	}
	return true, f.expand(at, codec, data)
}

// relook reads from disk what was lost on the way, if another walk has put it
// there meanwhile, and else asks for it again.
func (f *fetch) relook(w *want) error {
	data, found, err := f.read(w.cid)
	if err != nil {
		return err
	}
	if !found {
		f.asker.again(w)
		return nil
	}
	if err := f.acquire(); err != nil {
		return err
	}
	f.asker.forget(w)
	now := time.Now()
	if !w.counted {
		if err := f.count(w.cid, data, now, false); err != nil {
			return err
		}
	}
	f.writer.claim(w.cid, len(data), now)
	return f.expand(place{w.cid, w.depth}, w.codecs, data)
}

// reread reads under another codec what is here already.
func (f *fetch) reread(at place, codec codecs) error {
	c := at.cid
	if codec == codecRaw {
		return nil
	}
	data, found := f.writer.find(c)
	if !found {
		var err error
		if data, found, err = f.read(c); err != nil {
			return err
		}
	}
	if !found {
		f.asker.want(&want{cid: c, key: string(c.Hash()), codecs: codec, depth: at.depth, counted: true})
		return nil
	}
	if err := f.acquire(); err != nil {
		return err
	}
	return f.expand(at, codec, data)
}

// look gives a block's bytes if they were on disk a moment ago.
func (f *fetch) look(c cid.Cid) (data []byte, found bool, err error) {
	data, found, err = f.n.store.Look(f.ctx, c.Hash())
	if err != nil || !found {
		return nil, false, err
	}
	return f.checked(c, data)
}

// read gives a block's bytes if they are on disk now.
func (f *fetch) read(c cid.Cid) (data []byte, found bool, err error) {
	b, err := f.n.store.Blockstore().Get(f.ctx, c)
	switch {
	case ipld.IsNotFound(err):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read block %s: %w", c, err)
	}
	return f.checked(c, b.RawData())
}

// checked gives bytes that were on disk, if they are what they should be.
func (f *fetch) checked(c cid.Cid, data []byte) ([]byte, bool, error) {
	sum, err := c.Prefix().Sum(data)
	if err != nil {
		return nil, false, pin.Refused("block %s has a hash that cannot be computed here: %v", c, err)
	}
	if !sum.Equals(c) {
		f.n.log.Warn("a block on disk is damaged and is fetched again", "cid", c)
		return nil, false, nil
	}
	return data, true, nil
}

// expand puts what a block links to on the frontier, the first link on top.
func (f *fetch) expand(at place, under codecs, data []byte) error {
	for codec := range under.each {
		ls, err := links(at.cid, codec, data)
		if err != nil {
			return err
		}
		if limit := f.job.Limits.Links; limit > 0 && uint64(len(ls)) > limit {
			return pin.Refused("block %s has %d links, more than the %d that pin.max_links allows", at.cid, len(ls), limit)
		}
		for i := len(ls) - 1; i >= 0; i-- {
			if err := f.push(ls[i], at.depth+1); err != nil {
				return fmt.Errorf("in block %s: %w", at.cid, err)
			}
		}
	}
	return nil
}

// push puts a node on the frontier unless it was there before.
func (f *fetch) push(c cid.Cid, depth uint64) error {
	if err := check(c); err != nil {
		return err
	}
	if _, ok := inline(c); ok {
		f.frontier = append(f.frontier, place{c, depth}) // no block: not counted, not remembered
		return nil
	}
	key := string(c.Hash())
	m, bit := f.seen[key], mark(codecOf(c))
	if m&bit != 0 {
		return nil
	}
	f.seen[key] = m | bit
	if limit := f.job.Limits.Depth; limit > 0 && depth > limit {
		return pin.Refused("block %s is %d links from the root, more than the %d that pin.max_depth allows", c, depth, limit)
	}
	f.frontier = append(f.frontier, place{c, depth})
	if limit := f.job.Limits.Blocks; limit > 0 && uint64(len(f.seen)) > limit {
		return pin.Refused("the DAG has more than the %d blocks that pin.max_dag_blocks allows", limit)
	}
	return nil
}

// count records that a block is here.
func (f *fetch) count(c cid.Cid, data []byte, now time.Time, received bool) error {
	if limit := f.job.Limits.BlockBytes; limit > 0 && uint64(len(data)) > limit {
		return pin.Refused("block %s has %d bytes, more than the %d that pin.max_block_size allows", c, len(data), limit)
	}
	f.seen[string(c.Hash())] |= markHere
	f.totals.Blocks++
	f.totals.Bytes += uint64(len(data))
	if limit := f.job.Limits.Bytes; limit > 0 && f.totals.Bytes > limit {
		return pin.Refused("the DAG has more than the %d bytes that pin.max_dag_bytes allows", limit)
	}
	f.job.Progress.Advance(now, len(data), received)
	return nil
}
