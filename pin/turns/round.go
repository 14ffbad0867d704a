package turns

import "time"

// round is the read position in an account's spilled requests that have had a turn. When
// it is at the end it begins again, so that each has its turn however many are spilled
// anew.
type round struct {
	more    bool      // there may be some to read
	tail    time.Time // requests created after it were not read in this round
	behind  bool      // there may be some to read in the next round
	reading bool      // some are being read
}

// SpillTried notes that a request which has had a turn is on disk alone from now on.
func (t *Turns) SpillTried(account string, created time.Time) {
	r := &t.queue(account).tried
	r.more = true
	if r.reading || !created.After(r.tail) {
		r.behind = true
	}
}

// SpilledAfter says that the account may have spilled requests created after tail, that
// have had a turn: what is known after a start.
func (t *Turns) SpilledAfter(account string, tail time.Time) {
	t.queue(account).tried = round{more: true, tail: tail}
}

// HasSpilled reports whether the account has spilled requests that have had a turn.
func (t *Turns) HasSpilled(account string) bool {
	q := t.queues[account]
	return q != nil && q.tried.more
}

// ToRestore lists the accounts that have such requests, and room in memory for some.
func (t *Turns) ToRestore() (accounts []string) {
	for _, q := range t.queues {
		if q.tried.more && !q.tried.reading && t.parked.kept[q.account] <= t.cfg.Window/2 && t.CanKeep(q.account) {
			accounts = append(accounts, q.account)
		}
	}
	return accounts
}

// BeginRound begins a reading of such requests: the caller reads the oldest created after
// tail, at most limit of them, and calls EndRound.
func (t *Turns) BeginRound(account string) (tail time.Time, limit int) {
	r := &t.queue(account).tried
	r.reading = true
	return r.tail, t.roomToKeep(account)
}

// roomToKeep is how many more jobs of the account may be kept, at least 1.
func (t *Turns) roomToKeep(account string) int {
	n := t.parked.kept[account]
	all := keptWindows*t.cfg.Window - t.parked.keptAll
	return max(1, min(minKept, t.cfg.Window)-n, min(t.cfg.Window-n, all))
}

// EndRound ends a reading. If more, requests created after tail are left in this round. Else
// the next round begins, if any was spilled behind the reading.
func (t *Turns) EndRound(account string, tail time.Time, more bool) {
	q := t.queue(account)
	r := &q.tried
	r.reading, r.tail, r.more = false, tail, more || r.behind
	if !more {
		r.tail, r.behind = time.Time{}, false
	}
	t.forgetQueue(q)
}
