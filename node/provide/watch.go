package provide

import (
	"context"
	"fmt"
	"time"
)

const (
	// How often it is checked whether the sweep keeps up, and how often in a row it must have
	// fallen further behind. As in Kubo.
	watchEvery    = 15 * time.Minute
	watchPatience = 3
	// How often the same trouble is logged again.
	watchTellAgain = 6 * time.Hour
	// A root may be later than its turn by as much as regions may be, and as much again,
	// since some announcements take long.
	watchSlack = 2 * maxDelay
)

// watcher checks whether a sweep keeps up.
type watcher struct {
	last   Stats
	grown  int                  // how often in a row more was late than the time before
	online time.Time            // since when some network was seen to be reachable
	told   map[string]time.Time // when each trouble was last logged
}

// look gives what is wrong and has to be logged now.
func (w *watcher) look(now time.Time, s Stats) (troubles []string) {
	tell := func(kind, format string, a ...any) {
		if t, ok := w.told[kind]; ok && now.Sub(t) < watchTellAgain {
			return
		}
		if w.told == nil {
			w.told = make(map[string]time.Time)
		}
		w.told[kind] = now
		troubles = append(troubles, fmt.Sprintf(format, a...))
	}
	switch {
	case !s.Online:
		w.online = time.Time{}
	case w.online.IsZero():
		w.online = now
	}
	if s.NoAddress {
		tell("address", "there is no address by which others could reach this node, so nothing is provided; see node.announce")
	}
	if w.last.SweepersBusy && s.SweepersBusy && s.LateRegions > w.last.LateRegions {
		if w.grown++; w.grown >= watchPatience {
			tell("growing", "the sweep cannot keep up: %d regions are late, %d were %v ago, and all its workers are busy; "+
				"what is pinned may become hard to find; a provide.strategy that tells less, or a longer provide.interval, helps",
				s.LateRegions, w.last.LateRegions, watchEvery)
		}
	} else if !s.SweepersBusy {
		w.grown = 0
	}
	// What had no time for its turn since the network came back is not late.
	limit := s.Interval + min(watchSlack, s.Interval)
	if s.Lag(now) > 0 && !w.online.IsZero() && now.Sub(w.online) > limit {
		tell("stale", "the sweep cannot keep up: a root was last provided %v ago, and should be every %v; "+
			"what is pinned may become hard to find", now.Sub(s.Stalest).Round(time.Minute), s.Interval)
	}
	w.last = s
	return troubles
}

// watch warns if something is wrong.
func (p *Provider) watch(w *watcher, now time.Time) {
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	s, err := p.Stats(ctx)
	if err != nil {
		return // it closes, or the next check says more
	}
	for _, t := range w.look(now, s) {
		p.cfg.Logger.Warn(t, "keys", s.Keys, "regions", s.Regions, "late", s.LateRegions,
			"queued", s.QueuedKeys, "untold", s.Untold, "last_told", s.LastTold)
	}
}
