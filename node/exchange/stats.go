package exchange

import "time"

// stallFrom is the shortest time without a block, while sources are asked, that counts as a
// stall: twice as long as an answer may take before it counts as lost.
const stallFrom = 2 * lostAfter

// Stats says what an exchange has done, and what it does.
type Stats struct {
	Peers    int           // that are connected
	Sessions int           // that are open
	Wants    int           // that are open
	Blocks   uint64        // that were received and wanted
	Bytes    uint64        // of those
	Twice    uint64        // blocks that nobody wanted, or not any more
	Again    uint64        // asks that were lost and sent again
	Stalls   uint64        // blocks that came after a wait of seconds, while a source was asked
	Gap      time.Duration // the longest such wait of a session in the last minute or two
}

// Stats says what the exchange has done, and what it does.
func (x *Exchange) Stats() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	for s := range x.sessions {
		s.measure(now)
	}
	return Stats{
		Peers: len(x.lines), Sessions: len(x.sessions), Wants: len(x.wants),
		Blocks: x.blocks.Load(), Bytes: x.bytes.Load(), Twice: x.twice.Load(), Again: x.again.Load(),
		Stalls: x.stalls, Gap: x.gaps.get(now),
	}
}

// recentSpan is how long a maximum is remembered, and at most twice as long. Monitoring
// usually looks more often than that.
const recentSpan = time.Minute

// recentMax is the largest of the durations that were noted of late. The zero value is ready.
// It has no lock of its own.
type recentMax struct {
	began        time.Time // of the newer span
	older, newer time.Duration
}

// note takes a duration into account.
func (r *recentMax) note(d time.Duration, now time.Time) {
	r.turn(now)
	r.newer = max(r.newer, d)
}

// get gives the largest.
func (r *recentMax) get(now time.Time) time.Duration {
	r.turn(now)
	return max(r.older, r.newer)
}

// turn begins a new span when the newer one is over.
func (r *recentMax) turn(now time.Time) {
	switch age := now.Sub(r.began); {
	case age >= 2*recentSpan:
		r.began, r.older, r.newer = now, 0, 0
	case age >= recentSpan:
		r.began, r.older, r.newer = now, r.newer, 0
	}
}
