package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Registration says who may make an account without an operator.
type Registration string

const (
	RegistrationClosed Registration = "closed" // nobody
	RegistrationInvite Registration = "invite" // those who have an invitation
	RegistrationOpen   Registration = "open"   // everybody
)

// Registrations lists all values of Registration.
func Registrations() []Registration {
	return []Registration{RegistrationClosed, RegistrationInvite, RegistrationOpen}
}

// Usage is what an account's pins take up.
type Usage struct {
	Bytes uint64 `json:"bytes"` // of blocks, as the quota counts them
	Pins  int    `json:"pins"`  // CIDs that are queued, pinning or pinned, each counted once
}

// NewRegistration is what a stranger gives to register.
type NewRegistration struct {
	Email, Password string
	Invite          string // an invitation's code; "" is none
}

// Register makes an account for a stranger, and begins its first session. An invitation
// may be given also when registration is open, because it may have another quota. Unless
// registration is open, a stranger without a valid invitation cannot find out which
// addresses have accounts.
// Errors: *InvalidError, ErrClosed, ErrNoInvite, ErrExists, ErrBusy, *LimitError.
func (s *Service) Register(ctx context.Context, n NewRegistration) (Pair, error) {
	pair, err := s.register(ctx, n)
	var bad *InvalidError
	if err != nil && !errors.As(err, &bad) && !errors.Is(err, ErrClosed) {
		e := s.event(ctx, EventRegisterRefused, "")
		for _, known := range []error{ErrNoInvite, ErrExists, ErrBusy} {
			if errors.Is(err, known) {
				e.Detail = known.Error()
			}
		}
		s.refuse(e)
	}
	return pair, err
}

func (s *Service) register(ctx context.Context, n NewRegistration) (Pair, error) {
	if s.cfg.Registration == RegistrationClosed {
		return Pair{}, ErrClosed
	}
	if err := s.tryFrom(ctx); err != nil {
		return Pair{}, err
	}
	a := Account{ID: newID(), Quota: s.cfg.RegisterQuota, QuotaPins: s.cfg.RegisterQuotaPins, Created: s.now()}
	invite := ""
	if n.Invite != "" || s.cfg.Registration == RegistrationInvite {
		i, err := s.inviteByCode(ctx, n.Invite)
		if err == nil && !s.cfg.Now().Before(i.Expires) {
			err = ErrNoInvite
		}
		if err != nil {
			return Pair{}, fmt.Errorf("register: %w", err)
		}
		invite, a.Quota, a.QuotaPins = i.ID, i.Quota, i.QuotaPins
	}
	var err error
	if a.Email, err = NormalizeEmail(n.Email); err != nil {
		return Pair{}, err
	}
	if err := checkPassword(n.Password, a.Email); err != nil {
		return Pair{}, err
	}
	// After the checks that cost nothing: a typing error does not count as a try.
	if from := network(addressFrom(ctx)); from != "" {
		if err := s.limits.register.take(from, s.cfg.Now()); err != nil {
			return Pair{}, err
		}
	}
	if _, err := s.accounts.AccountByEmail(ctx, a.Email); err == nil {
		return Pair{}, ErrExists // before the work of a hash; the commit checks it again
	}
	if a.PasswordHash, err = s.hasher.hash(ctx, n.Password); err != nil {
		return Pair{}, err
	}
	e := s.event(ctx, EventRegistered, a.ID)
	e.Email = a.Email
	if n.Invite != "" {
		e.Detail = "invitation " + invite
		err = s.accounts.RedeemInvite(ctx, invite, a, e)
	} else {
		err = s.accounts.CreateAccount(ctx, a, e)
	}
	if err != nil {
		return Pair{}, fmt.Errorf("register: %w", err)
	}
	s.cfg.Log.Info("account registered", "account", a.ID)
	pair, err := s.begin(ctx, a, s.event(ctx, EventLogin, a.ID))
	if err != nil {
		return Pair{}, fmt.Errorf("register: %w", err)
	}
	return pair, nil
}

// defaultInvite is how long an invitation lasts if no time is given, maxInvite the maximum.
const (
	defaultInvite = 7 * 24 * time.Hour
	maxInvite     = 365 * 24 * time.Hour
)

// NewInvite is what to make an invitation from.
type NewInvite struct {
	Quota, QuotaPins uint64        // of the account that it makes
	TTL              time.Duration // 0 is 7 days
}

// Registration says who may make an account.
func (s *Service) Registration() Registration { return s.cfg.Registration }

// AddInvite makes an invitation for one account. It returns its code, which is kept
// nowhere. Errors: *InvalidError.
func (s *Service) AddInvite(ctx context.Context, n NewInvite) (Invite, string, error) {
	if n.TTL == 0 {
		n.TTL = defaultInvite
	}
	if err := CheckInviteTTL(n.TTL); err != nil {
		return Invite{}, "", err
	}
	code := rand.Text() // 128 bits
	e := s.event(ctx, EventInviteCreated, "")
	i := Invite{
		ID: inviteID(code), By: e.Actor, Created: s.now(), Expires: s.now().Add(n.TTL).Truncate(time.Second),
		Quota: n.Quota, QuotaPins: n.QuotaPins,
	}
	e.Detail = i.ID
	if err := s.accounts.CreateInvite(ctx, i, e); err != nil {
		return Invite{}, "", fmt.Errorf("create invitation: %w", err)
	}
	return i, code, nil
}

// ListInvites reads the invitations that can still be used, oldest first.
func (s *Service) ListInvites(ctx context.Context) (live []Invite, err error) {
	all, err := s.accounts.ListInvites(ctx)
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	for _, i := range all {
		if s.cfg.Now().Before(i.Expires) {
			live = append(live, i)
		}
	}
	return live, nil
}

// RevokeInvite removes an invitation. Errors: ErrNoInvite.
func (s *Service) RevokeInvite(ctx context.Context, id string) (Invite, error) {
	e := s.event(ctx, EventInviteRevoked, "")
	e.Detail = id
	i, err := s.accounts.DeleteInvite(ctx, id, e)
	if err != nil {
		return Invite{}, fmt.Errorf("revoke invitation: %w", err)
	}
	return i, nil
}

// inviteByCode finds the invitation with a code. Errors: ErrNoInvite.
func (s *Service) inviteByCode(ctx context.Context, code string) (Invite, error) {
	i, err := s.accounts.InviteByID(ctx, inviteID(code))
	if errors.Is(err, ErrNoInvite) {
		return s.accounts.InviteByID(ctx, plainInviteID(code))
	}
	return i, err
}

// inviteID is the ID of the invitation with a code. It is nearly half a hash of the code,
// and the code cannot be found from it. It is a UUID of version 8, as RFC 9562 has for this.
func inviteID(code string) string {
	id := inviteHash(code)
	id[6] = id[6]&0x0f | 0x80 // the version
	id[8] = id[8]&0x3f | 0x80 // the variant
	return id.String()
}

// plainInviteID is the ID that older invitations have: it has neither a version nor a
// variant. Such invitations last up to a year.
func plainInviteID(code string) string { return inviteHash(code).String() }

// inviteHash is half a hash of a code. People read codes aloud, so case does not matter.
func inviteHash(code string) uuid.UUID {
	hash := sha256.Sum256([]byte(strings.ToUpper(strings.TrimSpace(code))))
	return uuid.UUID(hash[:16])
}

// CheckInviteTTL checks how long an invitation is to last; 0 is the default.
// Errors: *InvalidError.
func CheckInviteTTL(ttl time.Duration) error {
	if ttl != 0 && (ttl < time.Second || ttl > maxInvite) {
		return invalid("expires", "must be from a second to 365 days")
	}
	return nil
}
