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
	seed    maphash.Seed
	stripes [256]sync.RWMutex
}

// share takes the stripes of the hashes, to claim them or to let go of them, and
// gives what ends that. Stripes are taken in order, so that nobody waits in a
// circle.
func (l *claimLocks) share(hashes []multihash.Multihash) (unlock func()) {
	return l.hold(hashes, nil)
}

// alone takes the stripes of the hashes with nobody else, to decide that blocks
// are unclaimed and to delete them, and gives what ends that.
func (l *claimLocks) alone(hashes []multihash.Multihash) (unlock func()) {
	return l.hold(nil, hashes)
}

// Alone takes the stripe of a block with nobody else: nothing can be claimed or deleted
// there until unlock.
func (g *Store) Alone(h multihash.Multihash) (unlock func()) {
	return g.claims.alone([]multihash.Multihash{h})
}

// hold takes the stripes of some hashes to be shared and those of others alone; a
// stripe that both have is taken alone.
func (l *claimLocks) hold(shared, alone []multihash.Multihash) (unlock func()) {
	var mine [len(l.stripes)]bool
	for _, i := range l.of(alone) {
		mine[i] = true
	}
	stripes := l.of(slices.Concat(shared, alone))
	for _, i := range stripes {
		if mine[i] {
			l.stripes[i].Lock()
		} else {
			l.stripes[i].RLock()
		}
	}
	return func() {
		for _, i := range stripes {
			if mine[i] {
				l.stripes[i].Unlock()
			} else {
				l.stripes[i].RUnlock()
			}
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
