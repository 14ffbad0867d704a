package walk

import "sync/atomic"

// overMost is how many times the whole all shares together may be: each walk has the
// least that is worth having as long as that is so. 512 may run, most of which wait for
// somebody who has what they want.
const overMost = 2

// What all walks together may keep in memory. Each has its share, and the least that
// is worth having.
const (
	// Blocks that were seen, at about 45 bytes each; others are on disk.
	seenMost, seenLeast = 512 << 10, 16 << 10
	// Nodes that are kept until they are whole, at about 400 bytes each. A tree has
	// only those of which something is on its way; a linked list has all.
	openMost, openLeast = 64 << 10, 4 << 10
	// Links to what is not whole yet, at about 10 bytes each. Nodes that come to be
	// when there are more are not tracked, and when as many of those link to blocks
	// that nobody has sent the walk waits for these.
	waitMost, waitLeast = 512 << 10, 32 << 10
	// Links that are kept of nodes on the way, at about 100 bytes each. One block of
	// 4 MiB may have 100,000.
	loadedMost, loadedLeast = 128 << 10, 8 << 10
	// A batch is one sync of the disk: with 8 MiB a sync costs little beside the
	// writing. When many walks write at the same time their batches share syncs.
	batchMost, batchLeast = 8 << 20, 1 << 20
)

// Share is what walks divide among them that run at the same time. The zero value is
// ready to use.
type Share struct{ n atomic.Int64 }

func (s *Share) join()  { s.n.Add(1) }
func (s *Share) leave() { s.n.Add(-1) }

// of is one walk's share of a total: no less than least, if that leaves all walks
// within overMost totals.
func (s *Share) of(total, least int) int {
	n := int(max(1, s.n.Load()))
	return max(1, total/n, min(least, overMost*total/n))
}
