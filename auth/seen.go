package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxSeen is how many verified tokens are remembered, each a few hundred
// bytes. When more are in use, some are verified anew, which is correct too.
const maxSeen = 16 << 10

// seen remembers tokens that were verified, so that the same one is not
// decoded and looked up with each request. It holds no token, only hashes.
//
// What is remembered must never outlive what was true: so forget begins a new
// era, and what was read in an earlier one is not taken any more, however late
// it comes.
type seen struct {
	mu     sync.Mutex
	era    atomic.Uint64 // changed under mu
	tokens *simplelru.LRU[[sha256.Size]byte, *seenToken]
}

type seenToken struct {
	principal   Principal
	from, until time.Time // until: zero is forever
	used        time.Time // when its use was last noted
}

func newSeen(size int) *seen {
	tokens, err := simplelru.NewLRU[[sha256.Size]byte, *seenToken](size, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &seen{tokens: tokens}
}

func seenKey(raw string) [sha256.Size]byte { return sha256.Sum256([]byte(raw)) }

// get gives who shows the token, if that is known and the token's time is now,
// and whether it is time again to note that the token was used.
func (s *seen) get(key [sha256.Size]byte, now time.Time) (p Principal, note, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens.Get(key)
	if !ok || now.Before(t.from) || !t.until.IsZero() && !now.Before(t.until) {
		return Principal{}, false, false
	}
	if now.Sub(t.used) >= usedEvery {
		t.used, note = now, true
	}
	return t.principal, note, true
}

// current is the era, to be asked for before reading what put remembers.
func (s *seen) current() uint64 { return s.era.Load() }

// put remembers a token, unless something was forgotten since that era.
func (s *seen) put(era uint64, key [sha256.Size]byte, t *seenToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if era == s.era.Load() {
		s.tokens.Add(key, t)
	}
}

// forget drops everything. It is called after each commit that may end a token.
func (s *seen) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.era.Add(1)
	s.tokens.Purge()
}
