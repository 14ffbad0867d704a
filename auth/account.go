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
	// Sessions and Devices are how often its sessions and its device tokens
	// were all ended at once. A token that was made before counts no more.
	Sessions uint64
	Devices  uint64
	// Damaged: its record cannot be read, and only ID and Email say something; Email is
	// "" if it is not known either.
	Damaged bool
}

// Allows reports whether the account lets t count: it is enabled, and has not
// ended tokens of that kind since t was made. It does not look at the time.
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
	Session Kind = "session" // a login: its access tokens and its refresh token
	Device  Kind = "device"  // one named program, until revoked or expired
)

// Scope is what a token may be used for. Each holds those before it.
type Scope string

const (
	ScopeRead  Scope = "read"  // look at the account and its pins
	ScopePin   Scope = "pin"   // add, replace and remove pins too
	ScopeAdmin Scope = "admin" // whatever its account may, as a session does
)

// Scopes lists every scope, from the least to the most.
func Scopes() []Scope { return []Scope{ScopeRead, ScopePin, ScopeAdmin} }

// Includes reports whether s may do what is allowed to other. A scope that is
// not one of [Scopes] includes none and is included in none.
func (s Scope) Includes(other Scope) bool {
	has, needs := slices.Index(Scopes(), s), slices.Index(Scopes(), other)
	return needs >= 0 && has >= needs
}

// Token is the record that a JWT stands on. It holds nothing that could be
// shown as a token.
type Token struct {
	ID      string // UUID, never used again; the JWT's sid
	Account string // the account's ID
	Kind    Kind
	Name    string // that the user gave a device token; "" for a session
	Scope   Scope
	Key     string // kid of the key that signed the newest JWT that stands on it
	Address string // where it was made from; "" is the host itself
	// Epoch is what the account's counter for the kind was when it was made.
	Epoch uint64
	// Refresh is the jti of the one refresh token that works for a session,
	// and Previous that of the one before it; "" for a device token.
	Refresh, Previous string
	// Refreshed is when Refresh was made. UTC, to the second; the zero time for
	// a device token.
	Refreshed time.Time
	// Used is about when it was last shown: it is behind by some minutes. UTC,
	// to the second; the zero time is never.
	Used    time.Time
	Created time.Time // UTC, to the second
	// Expires is when the last JWT that stands on it does. UTC, to the second;
	// the zero time is never.
	Expires time.Time
	// Damaged: its record cannot be read, and only ID and Account say something. It does
	// not count.
	Damaged bool
}

// Expired reports whether the token's time is over.
func (t Token) Expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// Invite lets one person make an account. Its code, which is shown once, is
// kept nowhere; what is here could not be shown for it.
type Invite struct {
	ID      string    // UUID, made of the code
	By      string    // ID of the account that made it; "" is the host's operator
	Created time.Time // UTC, to the second
	Expires time.Time // UTC, to the second
	// Quota and QuotaPins are what the account that it makes has of them.
	Quota, QuotaPins uint64
}

// maxEmail is the longest address that a mail server can be told (RFC 5321).
const maxEmail = 254

// NormalizeEmail gives the form in which an address is stored and compared:
// without spaces around it, in lower case, in Unicode's NFC. It checks the
// address no further than that it is one: no mail is ever sent to it.
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

// notInEmail are the characters that only a quoted address may hold, which
// nobody has, and those that cannot be seen.
func notInEmail(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`"<>()[]\,;:`, r)
}
