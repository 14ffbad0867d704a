package intake

import "sync/atomic"

// What all uploads together may keep in memory, and the smallest share that is of use. Up to
// overMax times the total each upload has the smallest share.
const (
	// A batch is one sync of the disk. One is gathered while another is written.
	batchTotal, batchLeast = 8 << 20, 1 << 20
	// Blocks that came, at about 45 bytes each; others are on disk.
	seenTotal, seenLeast = 128 << 10, 8 << 10
	// Links to blocks that did not come yet, and nodes that are not whole, at about 200 bytes
	// each.
	openTotal, openLeast = 32 << 10, 4 << 10

	overMax = 4
)

// Share divides memory among the uploads that run at the same time. The zero value is ready to
// use.
type Share struct{ n atomic.Int64 }

func (s *Share) join()  { s.n.Add(1) }
func (s *Share) leave() { s.n.Add(-1) }

// of is one upload's share of a total: least or more, unless all of them together would then
// have more than overMax totals.
func (s *Share) of(total, least int) int {
	n := int(max(1, s.n.Load()))
	return max(1, total/n, min(least, overMax*total/n))
}
