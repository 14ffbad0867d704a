package auth

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"time"
)

// Config says how a [Service] works. The zero value of a field means its default.
type Config struct {
	// AccessTTL is how long an access token lasts. Kubo stores one token and never
	// refreshes it. Default 30 days.
	AccessTTL time.Duration
	// RefreshTTL is how long a refresh token lasts. Default 90 days.
	RefreshTTL time.Duration
	// HashCost is the work of one password hash. Default 19 MiB, 2 iterations.
	HashCost HashCost
	// HashesAtOnce is the maximum of password hashes that run at the same time. It
	// bounds their memory. Default: the number of cores, 4 at most.
	HashesAtOnce int
	// HashWait is how long a request waits for its turn to hash. Default 2 seconds.
	HashWait time.Duration
	// SweepInterval is the time between two sweeps of dead tokens, keys and old
	// events. Default 1 hour.
	SweepInterval time.Duration
	// Registration says who may make an account. Default [RegistrationClosed].
	Registration Registration
	// RegisterQuota and RegisterQuotaPins are the quotas of accounts that
	// strangers make when registration is open, in bytes and in pins. 0 is no
	// limit.
	RegisterQuota, RegisterQuotaPins uint64
	// AuditKeep is how long events are kept. Default 90 days; negative is
	// forever.
	AuditKeep time.Duration
	// Limits bound what one client can do.
	Limits Limits
	// Usage returns what an account's pins take up. Nil: clients do not see it.
	Usage func(ctx context.Context, account string) (Usage, error)
	// RemovePins removes all pins of an account before the account is removed, and
	// returns how many. Nil: there are no pins.
	RemovePins func(ctx context.Context, account string) (int, error)
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log gets what an operator wants to know. Nil logs nothing.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.AccessTTL, 30*24*time.Hour)
	def(&c.RefreshTTL, 90*24*time.Hour)
	def(&c.HashWait, 2*time.Second)
	def(&c.SweepInterval, time.Hour)
	def(&c.AuditKeep, 90*24*time.Hour)
	c.Limits = c.Limits.withDefaults()
	if c.Registration == "" {
		c.Registration = RegistrationClosed
	}
	if c.HashCost == (HashCost{}) {
		c.HashCost = defaultHashCost
	}
	if c.HashesAtOnce == 0 {
		c.HashesAtOnce = min(runtime.GOMAXPROCS(0), 4) // 4 of the default cost are 76 MiB
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.AccessTTL < time.Second:
		return invalid("access_token_ttl", "must be a second at least")
	case c.RefreshTTL < time.Second:
		return invalid("refresh_token_ttl", "must be a second at least")
	case c.HashesAtOnce < 0, c.HashWait < 0, c.SweepInterval < 0:
		return errors.New("bounds must not be negative")
	case !slices.Contains(Registrations(), c.Registration):
		return invalid("registration", "must be one of %q", Registrations())
	}
	return c.Limits.validate()
}
