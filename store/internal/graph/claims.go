package graph

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
	Seed    maphash.Seed
	Stripes [256]sync.RWMutex
}

// share takes the stripes of the hashes, to claim them or to let go of them, and
// gives what ends that. Stripes are taken in order, so that nobody waits in a
// circle.
func (l *claimLocks) share(hashes []multihash.Multihash) (unlock func()) {
	return l.hold(hashes, nil)
}

// Alone takes the stripes of the hashes with nobody else, to decide that blocks
// are unclaimed and to delete them, and gives what ends that.
func (l *claimLocks) Alone(hashes []multihash.Multihash) (unlock func()) {
	return l.hold(nil, hashes)
}

// hold takes the stripes of some hashes to be shared and those of others alone; a
// stripe that both have is taken alone.
func (l *claimLocks) hold(shared, alone []multihash.Multihash) (unlock func()) {
	var mine [len(l.Stripes)]bool
	for _, i := range l.of(alone) {
		mine[i] = true
	}
	stripes := l.of(slices.Concat(shared, alone))
	for _, i := range stripes {
		if mine[i] {
			l.Stripes[i].Lock()
		} else {
			l.Stripes[i].RLock()
		}
	}
	return func() {
		for _, i := range stripes {
			if mine[i] {
				l.Stripes[i].Unlock()
			} else {
				l.Stripes[i].RUnlock()
			}
		}
	}
}

// of gives the stripes of the hashes, each once, in order.
func (l *claimLocks) of(hashes []multihash.Multihash) []uint8 {
	var stripes []uint8
	var seen [len(l.Stripes)]bool
	for _, h := range hashes {
		i := l.Index(h)
		if !seen[i] {
			seen[i] = true
			stripes = append(stripes, i)
		}
	}
	slices.Sort(stripes)
	return stripes
}

func (l *claimLocks) Index(h multihash.Multihash) uint8 { return uint8(maphash.Bytes(l.Seed, h)) }
