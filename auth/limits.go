package auth

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/holdfast-ipfs/holdfast/internal/client"
)

// Rate limits how often something may be done: Burst times at once, and from then on once
// in Every. A negative Burst is no limit. The zero value of a field means its default.
type Rate struct {
	Every time.Duration
	Burst int
}

// Limits bound what one client can do. What they refuse gets a [*LimitError].
type Limits struct {
	// Address limits tries to log in or to register from one address: an IPv4 address
	// or an IPv6 network of 64 bits, which is what one customer has. Default 30 at
	// once, then one in 2 seconds: enough for an office.
	Address Rate
	// Account limits failed tries on one account, from all addresses together. Only
	// addresses that logged in to the account before are not among these: each of
	// them has this limit for itself. Default 10 at once, then one a minute.
	Account Rate
	// Register limits new accounts from one address. Default 5 at once, then one in 10
	// minutes.
	Register Rate
	// Refresh limits one session. Default 20 at once, then one in 5 seconds.
	Refresh Rate
	// Changes limits what an account changes about itself over HTTP: making and revoking
	// tokens, passwords, logging out everywhere. A record of each is kept for a while.
	// Default 100 at once, then one in 10 seconds.
	Changes Rate
	// Token limits requests with one token. Fifty programs that share a token and poll
	// twice a second make 100 requests a second. Default 8,000 at once, then 4,000 a
	// second: only a program that is out of control meets it.
	Token Rate
}

func (l Limits) withDefaults() Limits {
	for _, r := range []struct {
		rate *Rate
		def  Rate
	}{
		{&l.Address, Rate{2 * time.Second, 30}},
		{&l.Account, Rate{time.Minute, 10}},
		{&l.Register, Rate{10 * time.Minute, 5}},
		{&l.Refresh, Rate{5 * time.Second, 20}},
		{&l.Changes, Rate{10 * time.Second, 100}},
		{&l.Token, Rate{250 * time.Microsecond, 8000}},
	} {
		if r.rate.Every == 0 {
			r.rate.Every = r.def.Every
		}
		if r.rate.Burst == 0 {
			r.rate.Burst = r.def.Burst
		}
	}
	return l
}

func (l Limits) validate() error {
	for _, r := range []Rate{l.Address, l.Account, l.Register, l.Refresh, l.Changes, l.Token} {
		if r.Every < 0 {
			return errors.New("rates must not be negative")
		}
	}
	return nil
}

// LimitError says that something was tried too often. Its status is 429.
type LimitError struct {
	RetryAfter time.Duration // when the next try may come; whole seconds, one at least
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("too many requests: try again in %d seconds", int(e.RetryAfter/time.Second))
}

// maxBuckets is the maximum of clients that one limiter remembers, about 250 bytes each. A
// forgotten client starts with a full bucket.
const maxBuckets = 16 << 10

// limiter has a bucket of tries for each key. Buckets fill with time. x/time/rate has no
// way to give a try back.
type limiter struct {
	rate    Rate
	mu      sync.Mutex
	buckets *simplelru.LRU[string, *bucket]
}

type bucket struct {
	tries float64
	at    time.Time // when it had them
}

func newLimiter(r Rate) *limiter {
	buckets, err := simplelru.NewLRU[string, *bucket](maxBuckets, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &limiter{rate: r, buckets: buckets}
}

// take takes a try. Errors: *LimitError if there is none.
func (l *limiter) take(key string, now time.Time) error {
	if l.rate.Burst < 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets.Get(key)
	if !ok {
		b = &bucket{tries: float64(l.rate.Burst), at: now}
		l.buckets.Add(key, b)
	}
	if passed := now.Sub(b.at); passed > 0 { // the clock may step back
		b.tries = min(float64(l.rate.Burst), b.tries+float64(passed)/float64(l.rate.Every))
		b.at = now
	} else if passed < 0 {
		b.at = now
	}
	if b.tries < 1 {
		wait := (1 - b.tries) * l.rate.Every.Seconds()
		return &LimitError{RetryAfter: time.Duration(max(1, math.Ceil(wait))) * time.Second}
	}
	b.tries--
	return nil
}

// giveBack undoes a take, if the try turned out not to be one that counts.
func (l *limiter) giveBack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets.Get(key); ok {
		b.tries = min(float64(l.rate.Burst), b.tries+1)
	}
}

// limiters has a limiter for each of the Limits.
type limiters struct {
	address, register, refresh, changes, token *limiter
	// Addresses with an account and addresses without one have separate limiters. Else
	// somebody could push an account's bucket out by making addresses up.
	account, unknown *limiter
}

func newLimiters(l Limits) limiters {
	return limiters{
		address: newLimiter(l.Address), register: newLimiter(l.Register), refresh: newLimiter(l.Refresh),
		changes: newLimiter(l.Changes), token: newLimiter(l.Token), account: newLimiter(l.Account), unknown: newLimiter(l.Account),
	}
}

// nameKey is the key of the bucket for an address without an account. It is short, however
// long the address is.
func nameKey(email string) string {
	hash := sha256.Sum256([]byte(email))
	return string(hash[:16])
}

// network returns what the limits count as one client. "" is the host itself.
func network(address string) string {
	if address == "" {
		return ""
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown" // all of them are one client
	}
	return client.Network(ip)
}
