package exchange

import "time"

// forgive moves the times of asks and answers forward by how long the process did not run.
// It could hear no answer then, so that time does not count as silence.
func (x *Exchange) forgive(d time.Duration) {
	later := func(ts ...*time.Time) {
		for _, t := range ts {
			if !t.IsZero() {
				*t = t.Add(d)
			}
		}
	}
	for _, l := range x.lines {
		later(&l.last, &l.lastBlock, &l.sent, &l.newest)
		for _, a := range l.asks {
			later(&a.first, &a.sent)
		}
	}
	for _, w := range x.wants {
		later(&w.since, &w.searched, &w.told, &w.retried, &w.narrow)
	}
	for s := range x.sessions {
		later(&s.last)
	}
}
