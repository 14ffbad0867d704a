package auth

import (
	"maps"
	"sync"
	"time"
)

// usedEvery is the precision of a token's last use. It is enough to tell a program that runs
// from one that is gone, and costs one small write per token.
const usedEvery = 10 * time.Minute

// maxUses is the maximum of uses that wait to be written, if writing fails for long.
const maxUses = 64 << 10

// uses has the last uses of tokens that are not written yet.
type uses struct {
	mu      sync.Mutex
	pending map[string]time.Time // by the token's ID
}

func newUses() *uses { return &uses{pending: map[string]time.Time{}} }

// note remembers a use until it is written.
func (u *uses) note(token string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, there := u.pending[token]; there || len(u.pending) < maxUses {
		u.pending[token] = at.UTC().Truncate(time.Second)
	}
}

// take returns what is to be written, and forgets it.
func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.pending
	u.pending = map[string]time.Time{}
	return all
}

// giveBack takes back what could not be written.
func (u *uses) giveBack(all map[string]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.Copy(all, u.pending) // later ones win
	u.pending = all
}

// of returns the token's last use: the one that waits to be written, or else the one in
// its record.
func (u *uses) of(t Token) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at := u.pending[t.ID]; at.After(t.Used) {
		return at
	}
	return t.Used
}
