package admin

import (
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// userHeader carries the address, or the id, of the account that a request acts for,
// query-escaped. Without it there must be one account only.
const userHeader = "Holdfast-User"

// hintHeader carries a hint, query-escaped, beside a failure of the PSA.
const hintHeader = "Holdfast-Hint"

// Failure is the body of every answer that is no success. Those of the PSA read as one.
type Failure = authhttp.Failure

// success is the whole of an answer, or what is put into one.
type success struct {
	Status string `json:"status"` // "success"
}

var ok = success{"success"}

// ServerInfo is who answers.
type ServerInfo struct {
	Running bool `json:"running"` // false within a command
}

// Account is an account.
type Account struct {
	ID       string    `json:"id"`
	Email    string    `json:"email,omitempty"` // left out: it is damaged, and its address is not known
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	Quota    uint64    `json:"quota"`    // bytes; 0 is no limit
	MaxPins  uint64    `json:"max_pins"` // 0 is no limit
	Created  time.Time `json:"created,omitzero"`
	Damaged  bool      `json:"damaged,omitempty"` // its record cannot be read: only id and email say something
	// Usage is in answers to GET alone, and left out if it cannot be read.
	Usage *auth.Usage `json:"usage,omitempty"`
}

func accountOf(a auth.Account) Account {
	return Account{a.ID, a.Email, a.Admin, a.Disabled, a.Quota, a.QuotaPins, a.Created, a.Damaged, nil}
}

// NewAccount is an account to be made.
type NewAccount struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Admin    bool   `json:"admin"`
	Quota    uint64 `json:"quota"`    // bytes; 0 is no limit
	MaxPins  uint64 `json:"max_pins"` // 0 is no limit
}

// RemovedAccount is an account that is gone. By its ID pins are known that were kept.
type RemovedAccount struct {
	Account Account `json:"account"`
	Pins    int     `json:"pins"` // requests that were removed with it
}

// NewPassword is a password for an account.
type NewPassword struct {
	Password     string `json:"password"`
	RevokeTokens bool   `json:"revoke_tokens"` // end the device tokens, too
	// OwnPassword is the present password of the admin who asks, over TCP. By the socket
	// it is not asked for.
	OwnPassword string `json:"own_password,omitempty"`
}

// NewRole says what an account is from now on.
type NewRole struct {
	Admin *bool `json:"admin"`
}

// Ended is what a new password ended.
type Ended struct {
	Sessions    int `json:"sessions"`
	Devices     int `json:"devices"`      // device tokens that were ended
	DevicesLeft int `json:"devices_left"` // device tokens that go on working
}

// NewQuota has what is to change; what is left out stays. 0 is no limit.
type NewQuota struct {
	Bytes *uint64 `json:"quota,omitempty"`
	Pins  *uint64 `json:"max_pins,omitempty"`
}

// Owner is an account that has pins.
type Owner struct {
	ID    string `json:"id"`
	Email string `json:"email,omitempty"`
	Gone  bool   `json:"gone,omitempty"` // there is no such account any more
}

// AdoptedPins says how many pins changed hands.
type AdoptedPins struct {
	Adopted int `json:"adopted"`
	Left    int `json:"left"` // whose CID cannot be read
}

// RemovedPins says how many pins are gone.
type RemovedPins struct {
	Removed int `json:"removed"`
}

// TokenInfo is a token, of which it does not have what is shown.
type TokenInfo struct {
	ID      string     `json:"id"`
	Kind    auth.Kind  `json:"kind,omitempty"`
	Name    string     `json:"name,omitempty"`
	Scope   auth.Scope `json:"scope,omitempty"`
	Created time.Time  `json:"created,omitzero"`
	Expires time.Time  `json:"expires,omitzero"`   // left out: never
	Used    time.Time  `json:"last_used,omitzero"` // to some minutes; left out: never
	Address string     `json:"address,omitempty"`  // where it was made from; left out: this host
	Damaged bool       `json:"damaged,omitempty"`  // its record cannot be read: only id says something
}

func tokenInfoOf(t auth.Token) TokenInfo {
	return TokenInfo{t.ID, t.Kind, t.Name, t.Scope, t.Created, t.Expires, t.Used, t.Address, t.Damaged}
}

// newToken is a device token to be made.
type newToken struct {
	Name      string     `json:"name"`
	Scope     auth.Scope `json:"scope"`
	ExpiresIn int64      `json:"expires_in"` // seconds; 0 is never
}

// CreatedToken is a token with what is shown.
type CreatedToken struct {
	TokenInfo
	Secret string `json:"token"` // the token itself, which is shown only now
	// Endpoint is the URL of the pinning service.
	Endpoint string `json:"endpoint"`
}

// InviteInfo is an invitation, of which it does not have the code.
type InviteInfo struct {
	ID      string    `json:"id"`
	By      string    `json:"by,omitempty"` // the account's id; left out: the host's operator
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Quota   uint64    `json:"quota"`    // bytes; 0 is no limit
	MaxPins uint64    `json:"max_pins"` // 0 is no limit
}

func inviteInfoOf(i auth.Invite) InviteInfo {
	return InviteInfo{i.ID, i.By, i.Created, i.Expires, i.Quota, i.QuotaPins}
}

// newInvite is an invitation to be made.
type newInvite struct {
	Quota     uint64 `json:"quota"`
	MaxPins   uint64 `json:"max_pins"`
	ExpiresIn int64  `json:"expires_in"` // seconds; 0 is 7 days
}

// CreatedInvite is an invitation with its code.
type CreatedInvite struct {
	InviteInfo
	Code string `json:"invite"` // shown only now
	// Registration says whether it is of use now. It is in answers by the socket alone.
	Registration auth.Registration `json:"registration,omitempty"`
}

type newKeys struct {
	EndTokens bool `json:"end_tokens"`
}

// KeyInfo is a key that signs tokens, or did.
type KeyInfo struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created,omitzero"`
	Until   time.Time `json:"until,omitzero"` // left out: it signs
}

// Event is an entry of the audit record.
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
