package graph

import (
	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"
)

// RewriteBlocks writes the blocks again that are under some keys of the go-datastore, and gives
// how many those are. It leaves other packages' keys alone, as it has no lock for them. A block
// has only one possible value, and only reclaims, of which this is part, delete it.
func (g *Store) RewriteBlocks(keys [][]byte) (n int, err error) {
	var blocks [][]byte
	var hashes []multihash.Multihash
	for _, key := range keys {
		if h, ok := BlockOf(datastore.RawKey(string(key))); ok {
			blocks, hashes = append(blocks, key), append(hashes, h)
		}
	}
	if len(blocks) == 0 {
		return 0, nil
	}
	if err := g.space.RoomToOpen(); err != nil {
		return 0, err
	}
	defer g.claims.share(hashes)()
	r, done := g.kv.Snapshot()
	defer done()
	wb := g.kv.NewBatch()
	defer wb.Cancel()
	for _, key := range blocks {
		value, found, err := r.Get(key)
		if err != nil {
			return 0, err
		}
		if !found {
			continue
		}
		if err := wb.Set(key, value); err != nil {
			return 0, err
		}
	}
	return len(blocks), wb.Flush()
}
