package auth

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxSeen is how many verified tokens are remembered, each a few hundred bytes. If more
// are in use, some are verified again, which is slower but correct.
const maxSeen = 16 << 10

// seen remembers verified tokens, so that a token is not decoded and looked up for each
// request. It keeps hashes, not tokens.
//
// It must never remember what is no longer true. So forget begins a new era, and put
// ignores what was read in an earlier one, however late it comes.
type seen struct {
	mu     sync.Mutex
	era    atomic.Uint64 // changed under mu
	tokens *simplelru.LRU[[sha256.Size]byte, *seenToken]
}

type seenToken struct {
	principal   Principal
	from, until time.Time // the zero time as until is for ever
	used        time.Time // when a use was last noted
}

func newSeen(size int) *seen {
	tokens, err := simplelru.NewLRU[[sha256.Size]byte, *seenToken](size, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &seen{tokens: tokens}
}

func seenKey(raw string) [sha256.Size]byte { return sha256.Sum256([]byte(raw)) }

// get returns the principal of a token and until when it counts, if that is remembered and the token
// is valid now. note says that it is time to note a use of the token.
func (s *seen) get(key [sha256.Size]byte, now time.Time) (p Principal, until time.Time, note, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tokens.Get(key)
	if !ok || now.Before(t.from) || !t.until.IsZero() && !now.Before(t.until) {
		return Principal{}, until, false, false
	}
	if now.Sub(t.used) >= usedEvery {
		t.used, note = now, true
	}
	return t.principal, t.until, note, true
}

// current returns the era. Callers ask for it before they read what they give to put.
func (s *seen) current() uint64 { return s.era.Load() }

// put remembers a token, unless forget was called since that era.
func (s *seen) put(era uint64, key [sha256.Size]byte, t *seenToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if era == s.era.Load() {
		s.tokens.Add(key, t)
	}
}

// forget forgets everything. It is called after each commit that may end a token.
func (s *seen) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.era.Add(1)
	s.tokens.Purge()
}
