package graph

import (
	"hash/maphash"
	"slices"
	"sync"

	"github.com/multiformats/go-multihash"
)

// claimLocks are locks that are striped by multihash. Claims share a stripe. To decide that a
// block is unclaimed and to delete it takes the stripe alone. Claims share, and deletes come in
// batches, so a few stripes are enough.
type claimLocks struct {
	seed    maphash.Seed
	stripes [256]sync.RWMutex
}

// share takes the stripes of the hashes together with others, to claim the blocks or to let go
// of them, until unlock. Stripes are always taken in order, so there is no deadlock.
func (l *claimLocks) share(hashes []multihash.Multihash) (unlock func()) {
	return l.hold(hashes, nil)
}

// alone takes the stripes of the hashes alone, to decide that blocks are unclaimed and to
// delete them, until unlock.
func (l *claimLocks) alone(hashes []multihash.Multihash) (unlock func()) {
	return l.hold(nil, hashes)
}

// Alone takes the stripe of a block alone: until unlock the block cannot be claimed or deleted.
func (g *Store) Alone(h multihash.Multihash) (unlock func()) {
	return g.claims.alone([]multihash.Multihash{h})
}

// hold takes the stripes of some hashes with others, and the stripes of other hashes alone. A
// stripe that is in both sets is taken alone.
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

// of lists the stripes of the hashes, each once, in order.
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
