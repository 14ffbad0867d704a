package auth

import (
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Account is one account as it is on disk.
type Account struct {
	ID           string // UUID, never used again
	Email        string // as [NormalizeEmail] gives it; unique
	PasswordHash string `json:"-"` // argon2id in the PHC string format
	Admin        bool
	Disabled     bool
	Created      time.Time // UTC, to the second
	// Quota is how many bytes its pins may hold, and QuotaPins how many pins it
	// may have: CIDs that are queued, pinning or pinned, each counted once. 0 is no limit.
	Quota, QuotaPins uint64
	// Replication is in how many copies a cluster keeps its pins, as whoever reads it writes it;
	// "" says nothing.
	Replication string
	// Sessions and Devices are how often all its sessions, and all its device
	// tokens, were ended at once. A token from before that does not count.
	Sessions uint64
	Devices  uint64
	// Damaged says that the record cannot be read. Then only ID and Email are set, and
	// Email is "" if it is not known either.
	Damaged bool
}

// Allows reports whether the account lets t count: the account is enabled, and has not
// ended tokens of that kind since t was made. It does not check whether t has expired.
func (a Account) Allows(t Token) bool {
	return !a.Disabled && t.Account == a.ID && t.Epoch == a.epoch(t.Kind)
}

func (a Account) epoch(k Kind) uint64 {
	if k == Device {
		return a.Devices
	}
	return a.Sessions
}

// LogValue keeps the password's hash and the address out of logs.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.ID) }

// Kind is what a token was made for.
type Kind string

const (
	Session Kind = "session" // made by logging in: access tokens and a refresh token
	Device  Kind = "device"  // one named program, until revoked or expired
)

// Scope is what a token may be used for. Each scope includes those before it.
type Scope string

const (
	ScopeRead  Scope = "read"  // look at the account and its pins
	ScopePin   Scope = "pin"   // add, replace and remove pins too
	ScopeAdmin Scope = "admin" // whatever its account may, as a session does
)

// Scopes lists every scope, each after those that it includes.
func Scopes() []Scope { return []Scope{ScopeRead, ScopePin, ScopeAdmin} }

// Includes reports whether s allows what other allows. A scope that is not one of
// [Scopes] includes none and is included in none.
func (s Scope) Includes(other Scope) bool {
	has, needs := slices.Index(Scopes(), s), slices.Index(Scopes(), other)
	return needs >= 0 && has >= needs
}

// Token is the record that a JWT stands on. Nothing in it works as a token.
type Token struct {
	ID      string // UUID, never used again; the JWT's sid
	Account string // the account's ID
	Kind    Kind
	Name    string // the name given to a device token; "" for a session
	Scope   Scope
	Key     string // kid of the key that signed the newest JWT
	Address string // the client that made it; "" is the host itself
	// Epoch is the value of the account's counter for the kind when the token was made.
	Epoch uint64
	// Refresh is the jti of the one refresh token that works for a session.
	// Previous is the jti of the one before it. Both are "" for a device token.
	Refresh, Previous string
	// Refreshed is when Refresh was made. UTC, to the second; the zero time for
	// a device token.
	Refreshed time.Time
	// Used is when the token was last used, but some minutes behind. UTC, to the
	// second; the zero time is never.
	Used    time.Time
	Created time.Time // UTC, to the second
	// Expires is when the last JWT that stands on it expires. UTC, to the second;
	// the zero time is never.
	Expires time.Time
	// Damaged says that the record cannot be read. Then only ID and Account are set,
	// and the token does not count.
	Damaged bool
}

// Expired reports whether the token's time is over.
func (t Token) Expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// Invite lets one person make an account. Its code is shown once and kept nowhere. It
// cannot be computed from what is here.
type Invite struct {
	ID      string    // UUID, made of the code
	By      string    // ID of the account that made it; "" is the host's operator
	Created time.Time // UTC, to the second
	Expires time.Time // UTC, to the second
	// Quota and QuotaPins are those of the account that it makes.
	Quota, QuotaPins uint64
}

// maxEmail is the length of the longest address that mail servers accept (RFC 5321).
const maxEmail = 254

// NormalizeEmail returns the form in which an address is stored and compared: without
// spaces around it, in lower case, in Unicode's NFC. It checks only that the text looks
// like an address: no mail is ever sent to it.
// Errors: [*InvalidError].
func NormalizeEmail(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", invalid("email", "is not valid UTF-8")
	}
	s = norm.NFC.String(strings.ToLower(norm.NFC.String(strings.TrimSpace(s))))
	local, domain, found := strings.Cut(s, "@")
	switch {
	case s == "":
		return "", invalid("email", "is missing")
	case len(s) > maxEmail:
		return "", invalid("email", "is longer than %d bytes", maxEmail)
	case !found || local == "" || domain == "":
		return "", invalid("email", "must be an address such as name@example.com")
	case strings.ContainsFunc(s, notInEmail):
		return "", invalid("email", "must not hold spaces, quotes, brackets, commas or control characters")
	case strings.Contains(domain, "@"):
		return "", invalid("email", "must hold one @ only")
	}
	return s, nil
}

// notInEmail reports whether a character is invisible, or allowed only in a quoted
// address, which nobody has.
func notInEmail(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`"<>()[]\,;:`, r)
}
