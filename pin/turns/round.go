package turns

import "time"

// round is how far the reading of an account's requests has come whose jobs were put
// off. It goes round, so that each has its turn however many are put off again.
type round struct {
	more    bool      // there may be some
	tail    time.Time // those created after it were not read in this round
	behind  bool      // there may be some for the next round
	reading bool      // more of them are being read
}

// SpillTried takes note of a request that had a turn and is on disk alone from now on.
func (t *Turns) SpillTried(account string, created time.Time) {
	r := &t.queue(account).tried
	r.more = true
	if r.reading || !created.After(r.tail) {
		r.behind = true
	}
}

// SpilledAfter says of what was put off that there may be some after tail, as after a
// start.
func (t *Turns) SpilledAfter(account string, tail time.Time) {
	t.queue(account).tried = round{more: true, tail: tail}
}

// HasSpilled reports whether some of an account's requests are put off.
func (t *Turns) HasSpilled(account string) bool {
	l := t.queues[account]
	return l != nil && l.tried.more
}

// ToRestore gives the accounts that have requests which were put off, and room for some.
func (t *Turns) ToRestore() (accounts []string) {
	for _, l := range t.queues {
		if l.tried.more && !l.tried.reading && t.parked.kept[l.account] <= t.cfg.Window/2 && t.CanKeep(l.account) {
			accounts = append(accounts, l.account)
		}
	}
	return accounts
}

// BeginRound begins the reading of requests that were put off, and were created after
// tail, as many as limit. EndRound ends it.
func (t *Turns) BeginRound(account string) (tail time.Time, limit int) {
	r := &t.queue(account).tried
	r.reading = true
	return r.tail, t.canKeep(account)
}

// roomFor is how many more jobs of the account may be kept, 1 at least.
func (t *Turns) canKeep(account string) int {
	n := t.parked.kept[account]
	all := keptWindows*t.cfg.Window - t.parked.keptAll
	return max(1, min(minKept, t.cfg.Window)-n, min(t.cfg.Window-n, all))
}

// EndRound ends a reading: those that were created after tail are left, or none are if
// more is false.
func (t *Turns) EndRound(account string, tail time.Time, more bool) {
	l := t.queue(account)
	r := &l.tried
	r.reading, r.tail, r.more = false, tail, more || r.behind
	if !more {
		r.tail, r.behind = time.Time{}, false
	}
	t.forgetQueue(l)
}
