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

// share takes the stripes of the hashes, to claim them or to let go of them, and
// gives what ends that. Stripes are taken in order, so that nobody waits in a
// circle.
func (l *claimLocks) share(hashes []multihash.Multihash) (unlock func()) {
	stripes := l.of(hashes)
	for _, i := range stripes {
		l.stripes[i].RLock()
	}
	return func() {
		for _, i := range stripes {
			l.stripes[i].RUnlock()
		}
	}
}

// alone takes the stripes of the hashes with nobody else, to decide that blocks
// are unclaimed and to delete them, and gives what ends that.
func (l *claimLocks) alone(hashes []multihash.Multihash) (unlock func()) {
	stripes := l.of(hashes)
	for _, i := range stripes {
		l.stripes[i].Lock()
	}
	return func() {
		for _, i := range stripes {
			l.stripes[i].Unlock()
		}
	}
}

// of gives the stripes of the hashes, each once, in order.
func (l *claimLocks) of(hashes []multihash.Multihash) []uint8 {
	var stripes []uint8
	var seen [len(l.stripes)]bool
	for _, h := range hashes {
		i := l.index(h)
		if !seen[i] {
			seen[i] = true
			stripes = append(stripes, i)
		}
	}
	slices.Sort(stripes)
	return stripes
}

func (l *claimLocks) index(h multihash.Multihash) uint8 { return uint8(maphash.Bytes(l.seed, h)) }
