package pin

import (
	"math"

	"github.com/holdfast-ipfs/holdfast/pin/turns"
)

const (
	// A root of a hundred bytes may claim any size, and a node that counted that would be full for
	// everybody. So of what a DAG is still to bring, believedTimes what has come of it counts, or
	// believedFirst, whatever is more: a DAG that does come is counted as a whole after an eighth of it.
	believedTimes = 8
	believedFirst = 64 << 20 // with all places taken that is 32 GiB
)

// Claims is how many bytes pins that run, or wait for room on the disk, are still to bring, as far as
// is known: what their roots claim, up to the limit of a DAG, less what is here, and as far as that is
// believed. Nothing checks what a root claims; a file with blocks that are alike claims more than comes.
// What has no root yet, or one that claims nothing, counts for nothing. Claims looks at jobs in memory
// alone.
func (m *Manager) Claims() uint64 { return m.jobs.claims() }

func (s *scheduler) claims() (sum uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.progress == nil || j.State() != turns.Running && !j.blocked {
			continue
		}
		claimed, here := j.progress.Claimed(), j.progress.Bytes.Load()
		if limit := s.cfg.Limits.Bytes; limit > 0 {
			claimed = min(claimed, limit)
		}
		if claimed <= here {
			continue
		}
		believed := max(believedFirst, min(here, math.MaxUint64/believedTimes)*believedTimes)
		sum += min(claimed-here, believed, math.MaxUint64-sum)
	}
	return sum
}
