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
	// Roots is how many roots are told, and Untold how many of those nobody was
	// told of yet; OldestUntold is since when the oldest of them waits, the zero
	// time if there is none.
	Roots, Untold int
	OldestUntold  time.Time
	// LastTold is when a root was last told; Stalest is when the one was told
	// that waits longest for its next turn. Zero is never.
	LastTold, Stalest time.Time

	// Keys is how many keys are told again and again, roots among them, and
	// Regions in how many parts of the key space those are, in the network with
	// most of them.
	Keys, Regions int64
	// QueuedKeys wait to be told for the first time; LateRegions should have
	// been told again by now. Telling is how many keys are being told.
	QueuedKeys, LateRegions, Telling int64
	// SweepersBusy reports that regions whose turn it is wait for a worker.
	SweepersBusy bool
	// RegionsSwept is how many regions were told again within the last interval.
	RegionsSwept int64
	// Sent is how many records were sent to peers since the start; KeysTold and
	// KeysFailed is how many keys were told to enough of them, and to none.
	Sent, KeysTold, KeysFailed int64
	// NoAddress reports that a network can be reached, but nothing is told to it
	// since there is no address by which this node could be.
	NoAddress bool

	reachable []int // the networks that count now, are online and can be told something
}

// Lag is by how much the telling is late: the root that waits longest for its next
// turn should have had it so long ago. Zero is on time. What is late by a day is no
// longer found.
func (s Stats) Lag(now time.Time) time.Duration {
	if s.Stalest.IsZero() {
		return 0
	}
	// A turn comes at its time in each interval, give or take.
	return max(0, now.Sub(s.Stalest)-s.Interval-min(watchSlack, s.Interval))
}

// Stats tells how far the provider has come, over all networks; before its start
// succeeded nothing of those.
// Errors: the context's.
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
