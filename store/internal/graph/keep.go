package graph

import (
	"sync"
	"sync/atomic"
)

// keeps is the keeps there are. They are in memory only, so a crash ends them.
type keeps struct {
	mu sync.Mutex // held while blocks are deleted, and while a keep begins or ends
	is map[*Keep]struct{}
}

// Keep keeps all blocks until End: while there is a keep, none is deleted. So what was linked to when
// it began stays. It gives way if the disk needs room.
type Keep struct {
	g    *Store
	lost atomic.Bool
}

// Lost reports whether the keep has given way: then blocks may have been deleted.
func (k *Keep) Lost() bool { return k.lost.Load() }

// KeepBlocks begins a keep. It calls begun at a moment at which no block is being deleted. What is
// linked to at that moment is kept.
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

// End ends the keep. It may be called twice.
func (k *Keep) End() {
	k.g.keeps.mu.Lock()
	defer k.g.keeps.mu.Unlock()
	delete(k.g.keeps.is, k)
}

// mayDelete reports whether blocks may be deleted. If there is no room for new blocks, all keeps give
// way. The caller holds keeps.mu until the blocks are deleted.
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
	g.log.Warn("the backup or restore under way was given up: the disk needs the space of blocks that it kept")
	return true
}
