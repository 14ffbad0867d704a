package store

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/multiformats/go-multihash"
)

// claimLocks are the striped locks by multihash. Claims share a stripe;
// deciding that a block is unclaimed and deleting it takes the stripe alone.
// Claims are many and deletes come in batches, so the stripes need not be many.
type claimLocks struct {
	seed    maphash.Seed
	stripes [256]sync.RWMutex
}

// share takes the stripes of the hashes, to claim them, and gives what lets go
// of them. Stripes are taken in order, so that nobody waits in a circle.
func (l *claimLocks) share(hashes []multihash.Multihash) (unlock func()) {
	var stripes []uint8
	var seen [256]bool
	for _, h := range hashes {
		i := l.index(h)
		if !seen[i] {
			seen[i] = true
			stripes = append(stripes, i)
		}
	}
	slices.Sort(stripes)
	for _, i := range stripes {
		l.stripes[i].RLock()
	}
	return func() {
		for _, i := range stripes {
			l.stripes[i].RUnlock()
		}
	}
}

func (l *claimLocks) index(h multihash.Multihash) uint8 { return uint8(maphash.Bytes(l.seed, h)) }
