package graph

import (
	"sync"
	"sync/atomic"
)

// keeps is what keeps blocks from being deleted, for reasons that are in memory alone. They
// end with the process, so that a crash lets go of them.
type keeps struct {
	mu sync.Mutex // held while blocks are deleted, and while a keep begins or ends
	is map[*Keep]struct{}
}

// Keep keeps every block that was linked to when it began, until End. Other blocks are kept
// too: while there is a keep nothing is deleted. It gives way if the disk needs room.
type Keep struct {
	g    *Store
	lost atomic.Bool
}

// Lost reports whether the keep has given way, so that blocks of it may have been deleted.
func (k *Keep) Lost() bool { return k.lost.Load() }

// KeepBlocks begins a keep. begun is called while no block is deleted: what is linked to at
// that moment is kept.
func (g *Store) KeepBlocks(begun func()) *Keep {
	k := &Keep{g: g}
	g.keeps.mu.Lock()
	defer g.keeps.mu.Unlock()
	if g.keeps.is == nil {
		g.keeps.is = make(map[*Keep]struct{})
	}
	g.keeps.is[k] = struct{}{}
	begun()
	return k
}

// End lets go of the blocks. It may be called twice.
func (k *Keep) End() {
	k.g.keeps.mu.Lock()
	defer k.g.keeps.mu.Unlock()
	delete(k.g.keeps.is, k)
}

// mayDelete reports whether blocks may be deleted. If there is no room for new blocks, every
// keep gives way. The caller holds keeps.mu until they are deleted.
func (g *Store) mayDelete() bool {
	if len(g.keeps.is) == 0 {
		return true
	}
	if g.space.RoomFor(0) == nil {
		return false
	}
	for k := range g.keeps.is {
		k.lost.Store(true)
		delete(g.keeps.is, k)
	}
	g.log.Warn("a backup under way is given up: the disk needs the room of blocks that it kept")
	return true
}
