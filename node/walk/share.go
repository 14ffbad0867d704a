package walk

import "sync/atomic"

// overMost is how many times the total all shares together may be. Up to there each walk has
// the smallest share that is of use. 512 walks may run, and most of them wait for a peer
// that has what they want.
const overMost = 2

// What all walks together may keep in memory, and the smallest share that is of use.
const (
	// Blocks that were seen, at about 45 bytes each; others are on disk.
	seenMost, seenLeast = 512 << 10, 16 << 10
	// Nodes that are kept until they are whole, at about 400 bytes each. In a tree these
	// are the nodes below which something is on its way; in a linked list all nodes.
	openMost, openLeast = 64 << 10, 4 << 10
	// Links to what is not whole yet, at about 10 bytes each. If there are more, new nodes
	// are not tracked. If nodes that are not tracked have as many links to blocks that
	// nobody has sent, the walk waits for these blocks.
	waitMost, waitLeast = 512 << 10, 32 << 10
	// Links that are kept of nodes on the way, at about 100 bytes each. One block of
	// 4 MiB may have 100,000.
	loadedMost, loadedLeast = 128 << 10, 8 << 10
	// A batch is one sync of the disk. With 8 MiB the sync costs little compared with the
	// writing. When many walks write at the same time, their batches share syncs.
	batchMost, batchLeast = 8 << 20, 1 << 20
)

// Share divides memory among the walks that run at the same time. The zero value is ready
// to use.
type Share struct{ n atomic.Int64 }

func (s *Share) join()  { s.n.Add(1) }
func (s *Share) leave() { s.n.Add(-1) }

// of is one walk's share of a total: least or more, unless all walks together would then
// have more than overMost totals.
func (s *Share) of(total, least int) int {
	n := int(max(1, s.n.Load()))
	return max(1, total/n, min(least, overMost*total/n))
}
