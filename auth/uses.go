package auth

import (
	"maps"
	"sync"
	"time"
)

// usedEvery is how fine the last use of a token is kept: enough to tell a
// program that runs from one that is gone, at one small write per token.
const usedEvery = 10 * time.Minute

// maxUses bounds the uses that wait to be written, if that fails for long.
const maxUses = 64 << 10

// uses are the last uses of tokens that are not written yet.
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

// take gives what is to be written, and remembers it no more.
func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.pending
	u.pending = map[string]time.Time{}
	return all
}

// giveBack takes what could not be written.
func (u *uses) giveBack(all map[string]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.Copy(all, u.pending) // later ones win
	u.pending = all
}

// of is the token's last use: what waits to be written, or else what was.
func (u *uses) of(t Token) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if at := u.pending[t.ID]; at.After(t.Used) {
		return at
	}
	return t.Used
}
