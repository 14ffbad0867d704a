package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Service manages accounts and tokens, for handlers and commands. All methods may be called
// concurrently. It starts nothing by itself and needs no closing.
//
// Methods that take an account take its ID, and return ErrNoAccount if there is no such
// account. Any method may return an error that wraps ErrUnavailable.
type Service struct {
	cfg      Config
	accounts Accounts
	keys     *Keys
	hasher   *hasher
	seen     *seen
	flights  *flights
	uses     *uses
	refusals *refusals
	failed   failureCounts
	limits   limiters
	trusted  *trusted
	rotating sync.Mutex
}

// New makes a Service over accounts. From then on the Service is their only writer.
// Errors: *InvalidError for a bad Config.
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
		flights:  newFlights(),
		uses:     newUses(),
		refusals: newRefusals(),
		limits:   newLimiters(cfg.Limits),
		trusted:  newTrusted(),
	}, nil
}

// now is the time as records and tokens keep it.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Second) }

// NewAccount is what to make an account from.
type NewAccount struct {
	Email     string
	Password  string
	Admin     bool
	Quota     uint64 // bytes; 0 is no limit
	QuotaPins uint64 // pins; 0 is no limit
}

// AddAccount makes an account. Errors: *InvalidError, ErrExists, ErrBusy.
func (s *Service) AddAccount(ctx context.Context, n NewAccount) (Account, error) {
	email, err := NormalizeEmail(n.Email)
	if err != nil {
		return Account{}, err
	}
	if err := checkPassword(n.Password, email); err != nil {
		return Account{}, err
	}
	// This saves the work of a hash; CreateAccount checks it again.
	if _, err := s.accounts.AccountByEmail(ctx, email); err == nil {
		return Account{}, ErrExists
	}
	hash, err := s.hasher.hash(ctx, n.Password)
	if err != nil {
		return Account{}, err
	}
	a := Account{
		ID: newID(), Email: email, PasswordHash: hash,
		Admin: n.Admin, Quota: n.Quota, QuotaPins: n.QuotaPins, Created: s.now(),
	}
	added := s.event(ctx, EventAccountAdded, a.ID)
	added.Email = a.Email
	if a.Admin {
		added.Detail = "admin"
	}
	if err := s.accounts.CreateAccount(ctx, a, added); err != nil {
		return Account{}, fmt.Errorf("add account: %w", err)
	}
	s.cfg.Log.Info("account added", "account", a.ID, "admin", a.Admin)
	return a, nil
}

// AccountByEmail finds an account by its address, in any form that [NormalizeEmail] takes.
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

// NewQuota is what an account may have from now on. Nil changes nothing, and 0 is no limit.
type NewQuota struct {
	Bytes *uint64 // that its pins may hold
	Pins  *uint64 // pins that are queued, pinning or pinned
	// Replication is in how many copies a cluster keeps the account's pins. It is not checked here.
	Replication *string
}

// SetQuota limits what the account may pin. If it has more already, that stays.
// Errors: *InvalidError if both fields are nil.
func (s *Service) SetQuota(ctx context.Context, account string, q NewQuota) (Account, error) {
	var details []string
	for _, l := range []struct {
		of string
		n  *uint64
	}{{"bytes", q.Bytes}, {"pins", q.Pins}} {
		if l.n != nil {
			details = append(details, fmt.Sprintf("%s=%d", l.of, *l.n))
		}
	}
	if q.Replication != nil {
		details = append(details, "replication="+*q.Replication)
	}
	if len(details) == 0 {
		return Account{}, invalid("quota", "is missing, and so is max_pins; 0 is no limit")
	}
	set := s.event(ctx, EventQuotaSet, account)
	set.Detail = strings.Join(details, " ")
	return s.change(ctx, set, ofNobody, func(a *Account) {
		if q.Bytes != nil {
			a.Quota = *q.Bytes
		}
		if q.Pins != nil {
			a.QuotaPins = *q.Pins
		}
		if q.Replication != nil {
			a.Replication = *q.Replication
		}
	})
}

// Disable ends every session and device token of the account, and the requests that are
// being served for them. The account gets no new ones until Enable. Disabling twice is no
// error.
func (s *Service) Disable(ctx context.Context, account string) (Account, error) {
	return s.change(ctx, s.event(ctx, EventAccountDisabled, account), ofAccount(account), func(a *Account) {
		a.Disabled = true
		a.Sessions++
		a.Devices++
	})
}

// Enable undoes Disable. The tokens that Disable ended stay ended.
func (s *Service) Enable(ctx context.Context, account string) (Account, error) {
	return s.change(ctx, s.event(ctx, EventAccountEnabled, account), ofNobody, func(a *Account) { a.Disabled = false })
}

// SetAdmin makes the account an admin, or an account that is no admin any more. The second
// ends the requests that it makes as an admin. Its tokens stay, and may do what tokens of
// other accounts may. Setting the role that the account has already is no error.
func (s *Service) SetAdmin(ctx context.Context, account string, admin bool) (Account, error) {
	set, ended := s.event(ctx, EventRoleSet, account), ofNobody
	set.Detail = "admin"
	if !admin {
		set.Detail = "user"
		ended = func(p Principal) bool { return p.Account == account && p.RequireAdmin() == nil }
	}
	return s.change(ctx, set, ended, func(a *Account) { a.Admin = admin })
}

// LogoutAll ends every session of the account, and returns how many of them still worked.
// Device tokens stay.
func (s *Service) LogoutAll(ctx context.Context, account string) (ended int, err error) {
	ctx = context.WithoutCancel(ctx) // a client that hangs up still wants it
	live, err := s.ListTokens(ctx, account)
	if err != nil {
		return 0, err
	}
	_, err = s.change(ctx, s.event(ctx, EventLogoutAll, account), ofKind(account, Session), func(a *Account) { a.Sessions++ })
	if err != nil {
		return 0, err
	}
	for _, t := range live {
		if t.Kind == Session && !t.Damaged {
			ended++
		}
	}
	return ended, nil
}

// RemoveAccount deletes the account and ends its tokens. The caller removes what else
// belongs to it: call Disable, remove its pins, then call this.
func (s *Service) RemoveAccount(ctx context.Context, account string) (Account, error) {
	ctx = context.WithoutCancel(ctx) // a client that hangs up still wants it
	a, err := s.accounts.AccountByID(ctx, account)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return Account{}, fmt.Errorf("remove account %s: %w", account, err)
	}
	removed := s.event(ctx, EventAccountRemoved, account)
	removed.Email = a.Email
	a, err = ending(ctx, s, ofAccount(account), func(ctx context.Context) (Account, error) {
		return s.accounts.DeleteAccount(ctx, account, removed)
	})
	if err != nil {
		return Account{}, fmt.Errorf("remove account %s: %w", account, err)
	}
	s.cfg.Log.Info("account removed", "account", account)
	return a, nil
}

// RemoveAccountAndPins disables the account, removes its pins unless keepPins is set, and
// then removes the account, also if its record cannot be read. It returns how many pins it
// removed. Pins that are kept belong to nobody, and stay on disk. If it is interrupted, it
// can be called again.
func (s *Service) RemoveAccountAndPins(ctx context.Context, account string, keepPins bool) (a Account, pins int, err error) {
	// If the record cannot be read, no token of the account counts anyway.
	if _, err := s.Disable(ctx, account); err != nil && !errors.Is(err, ErrDamaged) {
		return Account{}, 0, err
	}
	if s.cfg.RemovePins != nil && !keepPins {
		if pins, err = s.cfg.RemovePins(ctx, account); err != nil {
			return Account{}, pins, fmt.Errorf("remove pins of account %s: %w", account, err)
		}
	}
	if a, err = s.RemoveAccount(ctx, account); err != nil || s.cfg.RemovePins == nil || keepPins {
		return a, pins, err
	}
	// A pin that the account had asked for may have been on its way to the disk when its pins were
	// removed. The removal of the account came to the disk after it.
	late, err := s.cfg.RemovePins(context.WithoutCancel(ctx), account)
	if err != nil {
		err = fmt.Errorf("account %s is removed, and a pin that it asked for at the last moment may be left: %w", account, err)
	}
	return a, pins + late, err
}

// Ended says what a new password ended. It counts only tokens that still worked.
type Ended struct {
	Sessions    int // ended
	Devices     int // device tokens that were ended
	DevicesLeft int // device tokens that still work
}

// SetPassword gives the account a new password and ends every session. Programs such as a
// Kubo depend on device tokens, so these end only with endDevices.
// Errors: *InvalidError, ErrBusy.
func (s *Service) SetPassword(ctx context.Context, account, password string, endDevices bool) (Ended, error) {
	a, err := s.accounts.AccountByID(ctx, account)
	if err != nil {
		return Ended{}, err
	}
	return s.setPassword(ctx, a, password, endDevices, func(Account) error { return nil })
}

// setPassword is SetPassword, unless check returns an error for the account as it is when the password is set.
func (s *Service) setPassword(ctx context.Context, a Account, password string, endDevices bool, check func(Account) error) (Ended, error) {
	if err := checkPassword(password, a.Email); err != nil {
		return Ended{}, err
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return Ended{}, err
	}
	live, err := s.ListTokens(ctx, a.ID)
	if err != nil {
		return Ended{}, err
	}
	set, ended := s.event(ctx, EventPasswordSet, a.ID), ofKind(a.ID, Session)
	if endDevices {
		set.Detail, ended = "device tokens ended too", ofAccount(a.ID)
	}
	if _, err := s.changeIf(ctx, set, ended, func(a *Account) error {
		if err := check(*a); err != nil {
			return err
		}
		a.PasswordHash = hash
		a.Sessions++
		if endDevices {
			a.Devices++
		}
		return nil
	}); err != nil {
		return Ended{}, err
	}
	var e Ended
	for _, t := range live {
		switch {
		case t.Damaged: // it does not work
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

// ProvePassword checks the present password of an account, because a holder of one of its
// tokens may not know the password. Errors: an *InvalidError of the field if it is wrong;
// ErrBusy; *LimitError after too many tries.
func (s *Service) ProvePassword(ctx context.Context, account, field, present string) error {
	a, err := s.accounts.AccountByID(ctx, account)
	if err != nil {
		return err
	}
	return s.provePassword(ctx, a, field, present)
}

func (s *Service) provePassword(ctx context.Context, a Account, field, present string) error {
	// Not the bucket for logging in: somebody who tries passwords must not keep the owner
	// from changing the password.
	bucket := "change " + a.ID
	if err := s.limits.account.take(bucket, s.cfg.Now()); err != nil {
		return err
	}
	ok, err := s.hasher.check(ctx, present, a.PasswordHash)
	if err != nil { // nothing was compared, so it is no try
		s.limits.account.giveBack(bucket)
		return err
	}
	if !ok {
		s.refuse(s.event(ctx, EventPasswordRefused, a.ID))
		return invalid(field, "is not the present one")
	}
	s.limits.account.giveBack(bucket)
	return nil
}

// ChangePassword is SetPassword for a client that gives the present password. Errors:
// those of ProvePassword, for the field "password", and an *InvalidError of "new_password"
// if the new password is not allowed; ErrEnded if the password was set, or all sessions were ended, meanwhile.
func (s *Service) ChangePassword(ctx context.Context, account, present, password string, endDevices bool) (Ended, error) {
	a, err := s.accounts.AccountByID(ctx, account)
	if err != nil {
		return Ended{}, err
	}
	if err := s.provePassword(ctx, a, "password", present); err != nil {
		return Ended{}, err
	}
	ended, err := s.setPassword(ctx, a, password, endDevices, func(now Account) error {
		if now.Sessions != a.Sessions { // whoever set another password is not to lose it to the old one
			return ErrEnded
		}
		return nil
	})
	if bad := (*InvalidError)(nil); errors.As(err, &bad) {
		return Ended{}, &InvalidError{Field: "new_password", Msg: bad.Msg}
	}
	return ended, err
}

// change edits an account, forgets what was remembered of tokens, and ends the requests of
// the principals that match.
func (s *Service) change(ctx context.Context, e Event, match func(Principal) bool, edit func(*Account)) (Account, error) {
	return s.changeIf(ctx, e, match, func(a *Account) error {
		edit(a)
		return nil
	})
}

// changeIf is change, unless edit returns an error: then nothing changes.
func (s *Service) changeIf(ctx context.Context, e Event, match func(Principal) bool, edit func(*Account) error) (Account, error) {
	a, err := ending(ctx, s, match, func(ctx context.Context) (Account, error) {
		return s.accounts.ChangeAccount(ctx, e.Account, edit, e)
	})
	if err != nil {
		return Account{}, fmt.Errorf("change account %s: %w", e.Account, err)
	}
	attrs := []any{"account", e.Account}
	if e.Kind == EventQuotaSet { // 0 is no limit
		attrs = append(attrs, "quota", a.Quota, "max_pins", a.QuotaPins)
	}
	s.cfg.Log.Info(string(e.Kind), attrs...)
	return a, nil
}

// ending makes a commit that may end tokens. After the commit it forgets what was
// remembered of tokens, and ends the requests of the principals that match. It continues
// although the client goes away: otherwise a commit could happen after the forgetting, and
// nobody would notice it.
func ending[T any](ctx context.Context, s *Service, match func(Principal) bool, commit func(context.Context) (T, error)) (T, error) {
	v, err := commit(context.WithoutCancel(ctx))
	s.seen.forget()
	if err == nil || errors.Is(err, ErrInDoubt) {
		s.flights.end(match)
	}
	return v, err
}

// newID returns a random UUID, so that neither IDs nor their order tell anything.
func newID() string { return uuid.NewString() }

// maxName is the maximum length of the name of a device token, in characters.
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
