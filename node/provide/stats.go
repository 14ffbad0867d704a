package provide

import (
	"context"
	"fmt"
	"time"
)

// Stats is how far a provider has come.
type Stats struct {
	Strategy Strategy
	Interval time.Duration
	// Online reports that some network can be reached.
	Online bool
	// Roots is how many roots are announced, and Untold how many of these were not yet.
	// OldestUntold is since when the oldest of those waits; the zero time if there is none.
	Roots, Untold int
	OldestUntold  time.Time
	// LastTold is when a root was last announced. Stalest is when the root was announced
	// that waits longest for its next turn. Zero is never.
	LastTold, Stalest time.Time

	// Keys is how many keys are announced again and again, roots included. Regions is in
	// how many parts of the key space they are, in the network where that is most.
	Keys, Regions int64
	// QueuedKeys is how many keys wait to be announced for the first time, LateRegions how
	// many regions are late for their next turn, and Telling how many keys are being
	// announced.
	QueuedKeys, LateRegions, Telling int64
	// SweepersBusy reports that regions whose turn has come wait for a worker.
	SweepersBusy bool
	// RegionsSwept is how many regions were announced again within the last interval.
	RegionsSwept int64
	// Sent is how many records were sent to peers since the start. KeysTold is how many keys
	// enough peers took, and KeysFailed how many none took.
	Sent, KeysTold, KeysFailed int64
	// NoAddress reports that a network can be reached, but nothing is announced in it
	// because this node has no address at which it could be reached.
	NoAddress bool

	reachable []int // networks that count now, are online, and in which something can be announced
}

// Lag is how late the announcing is: the root that waits longest for its next turn should have
// had it so long ago. Zero is on time. The records of a root that is late by a day have
// expired.
func (s Stats) Lag(now time.Time) time.Duration {
	if s.Stalest.IsZero() {
		return 0
	}
	// A turn comes at about the same time in each interval.
	return max(0, now.Sub(s.Stalest)-s.Interval-min(watchSlack, s.Interval))
}

// Stats gives how far the provider has come, over all networks. Before its start has succeeded
// it has nothing of those. Errors: the context's.
func (p *Provider) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Strategy: p.cfg.Strategy, Interval: p.cfg.Interval}
	p.ledger.summary(&s, p.standIn())
	if !p.isOpen() {
		return s, nil
	}
	for i, n := range p.sweep.nets {
		st, err := n.Stats(ctx)
		if err != nil {
			return Stats{}, fmt.Errorf("look how far providing has come: %w", err)
		}
		online := st.Connectivity.Status == "online"
		s.Online = s.Online || online
		if online {
			addressed := len(p.cfg.Networks[i].Addrs()) > 0
			if addressed && p.cfg.Networks[i].counts() {
				s.reachable = append(s.reachable, i)
			}
			s.NoAddress = s.NoAddress || !addressed
		}
		s.Keys = max(s.Keys, st.Schedule.Keys)
		s.Regions = max(s.Regions, st.Schedule.Regions)
		s.RegionsSwept = max(s.RegionsSwept, st.Operations.Past.RegionReprovidedLastCycle)
		s.SweepersBusy = s.SweepersBusy || st.Workers.QueuedPeriodic > 0
		s.Sent += st.Operations.Past.RecordsProvided
		s.KeysTold += st.Operations.Past.KeysProvided
		s.KeysFailed += st.Operations.Past.KeysFailed
		if !online {
			continue // what waits there waits for the network
		}
		s.QueuedKeys += st.Queues.PendingKeyProvides
		s.LateRegions += st.Queues.PendingRegionReprovides
		s.Telling += int64(st.Operations.Ongoing.KeyProvides + st.Operations.Ongoing.KeyReprovides)
	}
	return s, nil
}
