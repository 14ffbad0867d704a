package admin

import (
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// The admin API is HTTP with JSON, over the Unix socket of a running server or
// within the command that is run while there is none. Whoever reaches it may do
// everything.
//
//	GET    /server                      ServerInfo
//	GET    /users                       []Account
//	POST   /users                       NewAccount -> Account
//	DELETE /user?email=                 RemovedAccount; with &pins=keep they stay
//	POST   /user/quota?email=           NewQuota -> Account
//	POST   /user/password?email=        NewPassword -> auth.Ended
//	POST   /user/disable?email=         Account
//	POST   /user/enable?email=          Account
//	GET    /user/tokens?email=          []TokenInfo
//	POST   /user/tokens?email=          NewToken -> CreatedToken
//	DELETE /token?id=                   TokenInfo
//	GET    /invites                     []InviteInfo
//	POST   /invites                     NewInvite -> CreatedInvite
//	DELETE /invite?id=                  InviteInfo
//	POST   /keys/rotate                 NewKeys -> []KeyInfo
//	GET    /audit                       []Event; see [auth.EventQuery]: email=
//	                                    or account=, from=, before=, limit=
//	GET    /store/stats                 store.Stats
//	POST   /store/reclaim               StoreMessage, on many lines
//	POST   /store/verify?repair=        StoreMessage, on many lines
//	GET    /owners                      []Owner: whose pins there are
//	POST   /pins/adopt?from=&to=        AdoptedPins; from is an account's id, to an address
//	DELETE /pins?account=               RemovedPins; account is an address or an id
//	POST   /psa/pins/{id}/retry         202
//	       /psa/...                     the PSA, as its own handlers serve it
//
// Under /psa the account is that of the header [userHeader]; of one that is gone, or that
// cannot be read, pins can be read and removed there. Errors are a
// [Failure]; those under /psa the PSA's Failure, which reads as one.

// userHeader carries the address, or the id, of the account that a request acts for,
// query-escaped. Without it there must be one account only.
const userHeader = "Holdfast-User"

// hintHeader carries a hint, query-escaped, beside a failure of the PSA.
const hintHeader = "Holdfast-Hint"

type ServerInfo struct {
	Running bool `json:"running"` // false within a command
}

type Account struct {
	ID       string    `json:"id"`
	Email    string    `json:"email"`
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	Quota    uint64    `json:"quota"`    // bytes; 0 is no limit
	MaxPins  uint64    `json:"max_pins"` // 0 is no limit
	Created  time.Time `json:"created"`
	Damaged  bool      `json:"damaged,omitempty"` // its record cannot be read: only id and email say something
}

func accountOf(a auth.Account) Account {
	return Account{a.ID, a.Email, a.Admin, a.Disabled, a.Quota, a.QuotaPins, a.Created, a.Damaged}
}

type NewAccount struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Admin    bool   `json:"admin"`
	Quota    uint64 `json:"quota"`
	MaxPins  uint64 `json:"max_pins"`
}

type RemovedAccount struct {
	Email string `json:"email"`
	Pins  int    `json:"pins"` // requests that were removed with it
	ID    string `json:"id"`   // by which pins are known that were kept
}

// Owner is an account that has pins.
type Owner struct {
	ID    string `json:"id"`
	Email string `json:"email,omitempty"`
	Gone  bool   `json:"gone,omitempty"` // there is no such account any more
}

type AdoptedPins struct {
	Adopted int `json:"adopted"`
	Left    int `json:"left"` // whose CID cannot be read
}

type RemovedPins struct {
	Removed int `json:"removed"`
}

type NewPassword struct {
	Password     string `json:"password"`
	RevokeTokens bool   `json:"revoke_tokens"`
}

// NewQuota has what is to change; what is left out stays. 0 is no limit.
type NewQuota struct {
	Bytes *uint64 `json:"quota,omitempty"`
	Pins  *uint64 `json:"max_pins,omitempty"`
}

type TokenInfo struct {
	ID      string     `json:"id"`
	Kind    auth.Kind  `json:"kind"`
	Name    string     `json:"name,omitempty"`
	Scope   auth.Scope `json:"scope"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires,omitzero"`   // left out: never
	Used    time.Time  `json:"last_used,omitzero"` // to some minutes; left out: never
	Address string     `json:"address,omitempty"`  // where it was made from; left out: this host
	Damaged bool       `json:"damaged,omitempty"`  // its record cannot be read: only id says something
}

func tokenInfoOf(t auth.Token) TokenInfo {
	return TokenInfo{t.ID, t.Kind, t.Name, t.Scope, t.Created, t.Expires, t.Used, t.Address, t.Damaged}
}

type NewToken struct {
	Name    string        `json:"name"`
	Scope   auth.Scope    `json:"scope"`
	Expires time.Duration `json:"expires"` // nanoseconds from now; 0 is never
}

type CreatedToken struct {
	TokenInfo
	Secret string `json:"token"` // the token itself, which is shown only now
	// Endpoint is the URL of the pinning service.
	Endpoint string `json:"endpoint"`
}

type InviteInfo struct {
	ID      string    `json:"id"`
	By      string    `json:"by,omitempty"` // the account's id; left out: the host's operator
	Quota   uint64    `json:"quota"`        // bytes; 0 is no limit
	MaxPins uint64    `json:"max_pins"`     // 0 is no limit
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

func inviteInfoOf(i auth.Invite) InviteInfo {
	return InviteInfo{i.ID, i.By, i.Quota, i.QuotaPins, i.Created, i.Expires}
}

type NewInvite struct {
	Quota   uint64        `json:"quota"`
	MaxPins uint64        `json:"max_pins"`
	Expires time.Duration `json:"expires"` // nanoseconds from now; 0 is 7 days
}

type CreatedInvite struct {
	InviteInfo
	Code string `json:"invite"`
	// Registration says whether it is of use now.
	Registration auth.Registration `json:"registration"`
}

type NewKeys struct {
	EndTokens bool `json:"end_tokens"`
}

type KeyInfo struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created,omitzero"`
	Until   time.Time `json:"until,omitzero"` // left out: it signs
}

type Event struct {
	ID      string         `json:"id"`
	Time    time.Time      `json:"time"`
	Kind    auth.EventKind `json:"event"`
	Account string         `json:"account,omitempty"`
	Email   string         `json:"email,omitempty"`
	Actor   string         `json:"actor,omitempty"`   // the account's id; left out: the host's operator, or a stranger
	Address string         `json:"address,omitempty"` // left out: this host
	Token   string         `json:"token,omitempty"`
	Detail  string         `json:"detail,omitempty"`
	Count   int            `json:"count"`
}

// Failure is the body of every answer that is not a success.
type Failure struct {
	Error struct {
		Reason  string `json:"reason"`
		Details string `json:"details"`
		Hint    string `json:"hint,omitempty"`
	} `json:"error"`
}
