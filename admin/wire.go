package admin

import (
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
)

// userHeader names the account that a request acts for, by its address or its id,
// query-escaped. Without this header there must be only one account.
const userHeader = "Holdfast-User"

// hintHeader has the hint for a failure of the PSA, query-escaped.
const hintHeader = "Holdfast-Hint"

// Failure is the body of every answer that is no success. Failures of the PSA can be read
// into it.
type Failure = authhttp.Failure

// success is a whole answer, or the part of one that says that it is a success.
type success struct {
	Status string `json:"status"` // "success"
}

var ok = success{"success"}

// ServerInfo says what answers.
type ServerInfo struct {
	Running bool `json:"running"` // false if it is a command, and no server
}

// Account is an account.
type Account = authhttp.Account

// NewAccount is an account to make.
type NewAccount struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Admin    bool   `json:"admin"`
	Quota    uint64 `json:"quota"`    // bytes; 0 is no limit
	MaxPins  uint64 `json:"max_pins"` // 0 is no limit
}

// RemovedAccount is an account that is gone. Pins that were kept are under its ID.
type RemovedAccount struct {
	Account Account `json:"account"`
	Pins    int     `json:"pins"` // the number of requests that were removed with it
}

// NewPassword is a new password for an account.
type NewPassword struct {
	Password     string `json:"password"`
	RevokeTokens bool   `json:"revoke_tokens"` // also end the device tokens
	// OwnPassword is the present password of the admin who calls over TCP. The socket does
	// not ask for it.
	OwnPassword string `json:"own_password,omitempty"`
}

// NewRole says what an account is from now on.
type NewRole struct {
	Admin *bool `json:"admin"`
}

// Ended says what a new password ended.
type Ended struct {
	Sessions    int `json:"sessions"`
	Devices     int `json:"devices"`      // device tokens that were ended
	DevicesLeft int `json:"devices_left"` // device tokens that still work
}

// NewQuota says which limits to change. What is left out does not change. 0 is no limit.
type NewQuota struct {
	Bytes *uint64 `json:"quota,omitempty"`
	Pins  *uint64 `json:"max_pins,omitempty"`
	// Replication is in how many copies a cluster keeps the pins of the account, such as "2-3";
	// "" is as the server has it.
	Replication *string `json:"replication,omitempty"`
}

// Owner is an account that has pins.
type Owner struct {
	ID    string `json:"id"`
	Email string `json:"email,omitempty"`
	Gone  bool   `json:"gone,omitempty"` // the account does not exist any more
}

// AdoptedPins says how many pins another account got.
type AdoptedPins struct {
	Adopted int `json:"adopted"`
	Left    int `json:"left"` // not adopted, because their CID cannot be read
}

// RemovedPins says how many pins were removed.
type RemovedPins struct {
	Removed int `json:"removed"`
}

// TokenInfo describes a token, without the token itself.
type TokenInfo = authhttp.Token

// newToken is a device token to make.
type newToken struct {
	Name      string     `json:"name"`
	Scope     auth.Scope `json:"scope"`
	ExpiresIn int64      `json:"expires_in"` // seconds; 0 is never
}

// CreatedToken is a new token.
type CreatedToken struct {
	TokenInfo
	Secret string `json:"token"` // the token itself; it is shown only now
	// Endpoint is the URL of the pinning service.
	Endpoint string `json:"endpoint"`
}

// InviteInfo describes an invitation, without its code.
type InviteInfo struct {
	ID      string    `json:"id"`
	By      string    `json:"by,omitempty"` // ID of an account; left out: the host's operator
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Quota   uint64    `json:"quota"`    // bytes; 0 is no limit
	MaxPins uint64    `json:"max_pins"` // 0 is no limit
}

func inviteInfoOf(i auth.Invite) InviteInfo {
	return InviteInfo{i.ID, i.By, i.Created, i.Expires, i.Quota, i.QuotaPins}
}

// newInvite is an invitation to make.
type newInvite struct {
	Quota     uint64 `json:"quota"`
	MaxPins   uint64 `json:"max_pins"`
	ExpiresIn int64  `json:"expires_in"` // seconds; 0 is 7 days
}

// CreatedInvite is a new invitation.
type CreatedInvite struct {
	InviteInfo
	Code string `json:"invite"` // shown only now
	// Registration says whether the invitation can be used now. Only the socket gives it.
	Registration auth.Registration `json:"registration,omitempty"`
}

type newKeys struct {
	EndTokens bool `json:"end_tokens"`
}

// KeyInfo is a key that signs tokens, or signed tokens before.
type KeyInfo struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created,omitzero"`
	Until   time.Time `json:"until,omitzero"` // left out: it is the one that signs
}

// Event is an entry of the audit record.
type Event struct {
	ID      string         `json:"id"`
	Time    time.Time      `json:"time"`
	Kind    auth.EventKind `json:"event"`
	Account string         `json:"account,omitempty"`
	Email   string         `json:"email,omitempty"`
	Actor   string         `json:"actor,omitempty"`   // ID of an account; left out: the host's operator, or a stranger
	Address string         `json:"address,omitempty"` // left out: this host
	Token   string         `json:"token,omitempty"`
	Pin     string         `json:"requestid,omitempty"`
	CID     string         `json:"cid,omitempty"`
	Was     string         `json:"replaced,omitempty"` // ID of a pin request
	Detail  string         `json:"detail,omitempty"`
	Count   int            `json:"count"`
}
