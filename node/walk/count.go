package walk

import (
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// count notes that an item's block is here, and refuses one that is too large.
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

// countBlock notes that a block is here and is read under codecs. The first time it adds the
// block to the totals, and fresh is true.
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

// checkTotals refuses totals that are more than a DAG may have.
func (w *walk) checkTotals(t pin.Totals) error {
	if limit := w.job.Limits.Bytes; limit > 0 && t.Bytes > limit {
		return pin.Refused("the DAG has more than the %d bytes that pin.max_dag_bytes allows", limit)
	}
	if limit := w.job.Limits.Blocks; limit > 0 && t.Blocks > limit {
		return w.tooMany(limit)
	}
	return nil
}
