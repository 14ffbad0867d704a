package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Config is how a [Service] works. The zero value of each field stands for its
// default.
type Config struct {
	// AccessTTL is how long an access token lasts. Kubo stores the one that it
	// is given and never refreshes it. Default 30 days.
	AccessTTL time.Duration
	// RefreshTTL is how long a refresh token lasts. Default 90 days.
	RefreshTTL time.Duration
	// HashCost is the work of one password hash. Default 19 MiB, 2 iterations.
	HashCost HashCost
	// HashesAtOnce bounds the password hashes that run beside each other, and
	// so their memory. Default: the number of cores, 4 at most.
	HashesAtOnce int
	// HashWait is how long a login waits for its turn. Default 2 seconds.
	HashWait time.Duration
	// SweepInterval is the time between two sweeps of dead tokens. Default 1 hour.
	SweepInterval time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Log gets what an operator wants to know. Default: nothing is logged.
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
	}
	return nil
}

// Service is accounts and tokens, as the handlers and the commands use them.
// All methods may be called concurrently. It starts nothing by itself and
// needs no closing.
//
// Methods that take an account take its ID, and return ErrNoAccount if there
// is none. Any method may return an error that wraps ErrUnavailable.
type Service struct {
	cfg      Config
	accounts Accounts
	keys     *Keys
	hasher   *hasher
	seen     *seen
}

// New makes a Service over accounts, of which it is the only writer from then
// on. Errors: *InvalidError for a bad Config.
func New(cfg Config, accounts Accounts, keys *Keys) (*Service, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return &Service{
		cfg:      cfg,
		accounts: accounts,
		keys:     keys,
		hasher:   newHasher(cfg.HashCost, cfg.HashesAtOnce, cfg.HashWait),
		seen:     newSeen(maxSeen),
	}, nil
}

// Run removes the records of dead tokens now and then until ctx ends, and
// returns nil then. Nothing but disk space depends on it.
func (s *Service) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.cfg.SweepInterval)
	defer ticker.Stop()
	for {
		n, err := s.accounts.SweepTokens(ctx, s.now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.cfg.Log.Warn("cannot remove dead tokens", "removed", n, "err", err)
		case n > 0:
			s.cfg.Log.Debug("removed dead tokens", "removed", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// now is the time as records and tokens keep it.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Second) }

// NewAccount is what an account is made of.
type NewAccount struct {
	Email    string
	Password string
	Admin    bool
	Quota    uint64 // bytes; 0 is no limit
}

// AddAccount makes an account. Errors: *InvalidError, ErrExists, ErrBusy.
func (s *Service) AddAccount(ctx context.Context, n NewAccount) (Account, error) {
	email, err := NormalizeEmail(n.Email)
	if err != nil {
		return Account{}, err
	}
	if err := checkPassword(n.Password); err != nil {
		return Account{}, err
	}
	// Told before the work of a hash; CreateAccount decides.
	if _, err := s.accounts.AccountByEmail(ctx, email); err == nil {
		return Account{}, ErrExists
	}
	hash, err := s.hasher.hash(ctx, n.Password)
	if err != nil {
		return Account{}, err
	}
	a := Account{
		ID: newID(), Email: email, PasswordHash: hash,
		Admin: n.Admin, Quota: n.Quota, Created: s.now(),
	}
	if err := s.accounts.CreateAccount(ctx, a); err != nil {
		return Account{}, fmt.Errorf("add account: %w", err)
	}
	s.cfg.Log.Info("account added", "account", a.ID, "admin", a.Admin)
	return a, nil
}

// AccountByEmail finds an account by its address, in any spelling of it.
// Errors: *InvalidError, ErrNoAccount.
func (s *Service) AccountByEmail(ctx context.Context, email string) (Account, error) {
	email, err := NormalizeEmail(email)
	if err != nil {
		return Account{}, err
	}
	return s.accounts.AccountByEmail(ctx, email)
}

// AccountByID reads one account.
func (s *Service) AccountByID(ctx context.Context, id string) (Account, error) {
	return s.accounts.AccountByID(ctx, id)
}

// ListAccounts reads every account, in the order of their addresses.
func (s *Service) ListAccounts(ctx context.Context) ([]Account, error) {
	return s.accounts.ListAccounts(ctx)
}

// SetQuota bounds the bytes that the account's pins may hold; 0 is no limit.
func (s *Service) SetQuota(ctx context.Context, account string, quota uint64) (Account, error) {
	return s.change(ctx, account, "quota set", func(a *Account) { a.Quota = quota })
}

// Disable ends every session and device token of the account and makes no new
// ones until Enable. Disabling twice is no error.
func (s *Service) Disable(ctx context.Context, account string) (Account, error) {
	return s.change(ctx, account, "account disabled", func(a *Account) {
		a.Disabled = true
		a.Sessions++
		a.Devices++
	})
}

// Enable takes Disable back, but for the tokens that it ended.
func (s *Service) Enable(ctx context.Context, account string) (Account, error) {
	return s.change(ctx, account, "account enabled", func(a *Account) { a.Disabled = false })
}

// RemoveAccount deletes the account and ends its tokens. What else belongs to
// it is the caller's to remove: Disable it, remove its pins, then call this.
func (s *Service) RemoveAccount(ctx context.Context, account string) (Account, error) {
	a, err := ending(ctx, s, func(ctx context.Context) (Account, error) {
		return s.accounts.DeleteAccount(ctx, account)
	})
	if err != nil {
		return Account{}, fmt.Errorf("remove account %s: %w", account, err)
	}
	s.cfg.Log.Info("account removed", "account", account)
	return a, nil
}

// Ended says what a new password ended, counting what still worked.
type Ended struct {
	Sessions    int // ended
	Devices     int // device tokens that were ended
	DevicesLeft int // device tokens that go on working
}

// SetPassword gives the account a new password and ends every session. Device
// tokens, on which programs such as a Kubo depend, are ended only with
// endDevices. Errors: *InvalidError, ErrBusy.
func (s *Service) SetPassword(ctx context.Context, account, password string, endDevices bool) (Ended, error) {
	if err := checkPassword(password); err != nil {
		return Ended{}, err
	}
	if _, err := s.accounts.AccountByID(ctx, account); err != nil {
		return Ended{}, err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return Ended{}, err
	}
	live, err := s.ListTokens(ctx, account)
	if err != nil {
		return Ended{}, err
	}
	if _, err := s.change(ctx, account, "password set", func(a *Account) {
		a.PasswordHash = hash
		a.Sessions++
		if endDevices {
			a.Devices++
		}
	}); err != nil {
		return Ended{}, err
	}
	var e Ended
	for _, t := range live {
		switch {
		case t.Kind == Session:
			e.Sessions++
		case endDevices:
			e.Devices++
		default:
			e.DevicesLeft++
		}
	}
	return e, nil
}

// change edits an account and has every token looked up anew.
func (s *Service) change(ctx context.Context, account, what string, edit func(*Account)) (Account, error) {
	a, err := ending(ctx, s, func(ctx context.Context) (Account, error) {
		return s.accounts.ChangeAccount(ctx, account, func(a *Account) error {
			edit(a)
			return nil
		})
	})
	if err != nil {
		return Account{}, fmt.Errorf("change account %s: %w", account, err)
	}
	s.cfg.Log.Info(what, "account", account)
	return a, nil
}

// ending does what may end a token, and forgets what was seen of tokens after
// it. It goes through although the client that asked for it goes away: a
// commit that happened after the forgetting would not be noticed.
func ending[T any](ctx context.Context, s *Service, commit func(context.Context) (T, error)) (T, error) {
	defer s.seen.forget()
	return commit(context.WithoutCancel(ctx))
}

// newID is a random UUID: neither IDs nor their order tell anything.
func newID() string { return uuid.NewString() }

// maxName bounds the name of a device token, in characters.
const maxName = 100

func checkName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return invalid("name", "is missing: name the program that will use the token")
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return invalid("name", "must be text without control characters")
	case utf8.RuneCountInString(name) > maxName:
		return invalid("name", "is longer than %d characters", maxName)
	}
	return nil
}
