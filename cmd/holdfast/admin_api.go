package main

import (
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// The admin API is HTTP with JSON, over the Unix socket of a running server or
// within the command that is run while there is none. Whoever reaches it may do
// everything.
//
//	GET    /server                      serverInfo
//	GET    /users                       []userInfo
//	POST   /users                       newUser -> userInfo
//	DELETE /user?email=                 removedUser
//	POST   /user/password?email=        newPassword -> auth.Ended
//	POST   /user/disable?email=         userInfo
//	POST   /user/enable?email=          userInfo
//	GET    /user/tokens?email=          []tokenInfo
//	POST   /user/tokens?email=          newToken -> createdToken
//	DELETE /token?id=                   tokenInfo
//	POST   /psa/pins/{id}/retry         202
//	       /psa/...                     the PSA, as its own handlers serve it
//
// Under /psa the account is that of the header [userHeader]. Errors are an
// [adminFailure]; those under /psa the PSA's Failure, which reads as one.

// userHeader carries the address of the account that a request acts for,
// query-escaped. Without it there must be one account only.
const userHeader = "Holdfast-User"

type serverInfo struct {
	Running bool `json:"running"` // false within a command
}

type userInfo struct {
	ID       string    `json:"id"`
	Email    string    `json:"email"`
	Admin    bool      `json:"admin"`
	Disabled bool      `json:"disabled"`
	Quota    uint64    `json:"quota"` // bytes; 0 is no limit
	Created  time.Time `json:"created"`
}

func userInfoOf(a auth.Account) userInfo {
	return userInfo{a.ID, a.Email, a.Admin, a.Disabled, a.Quota, a.Created}
}

type newUser struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Admin    bool   `json:"admin"`
	Quota    uint64 `json:"quota"`
}

type removedUser struct {
	Email string `json:"email"`
	Pins  int    `json:"pins"` // requests that were removed with it
}

type newPassword struct {
	Password     string `json:"password"`
	RevokeTokens bool   `json:"revoke_tokens"`
}

type tokenInfo struct {
	ID      string     `json:"id"`
	Kind    auth.Kind  `json:"kind"`
	Name    string     `json:"name,omitempty"`
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"` // nil is never
}

func tokenInfoOf(t auth.Token) tokenInfo {
	info := tokenInfo{ID: t.ID, Kind: t.Kind, Name: t.Name, Created: t.Created}
	if !t.Expires.IsZero() {
		info.Expires = &t.Expires
	}
	return info
}

type newToken struct {
	Name    string        `json:"name"`
	Expires time.Duration `json:"expires"` // nanoseconds from now; 0 is never
}

type createdToken struct {
	tokenInfo
	Token string `json:"token"`
}

// adminFailure is the body of every answer that is not a success.
type adminFailure struct {
	Error struct {
		Reason  string `json:"reason"`
		Details string `json:"details"`
		Hint    string `json:"hint,omitempty"`
	} `json:"error"`
}
