package kv

import (
	"github.com/google/uuid"
)

// Account is an account's id as it is in keys.
type Account [16]byte

// AccountOf parses an account's id. ok is false if it is not a UUID in its
// usual form; no record is kept for such an account.
func AccountOf(s string) (a Account, ok bool) {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return Account{}, false
	}
	return Account(u), true
}

func (a Account) String() string { return uuid.UUID(a).String() }

// AccountPrefix is what all of an account's keys of a kind start with.
func AccountPrefix(kind byte, a Account) []byte { return append([]byte{kind}, a[:]...) }

// maxKeyTail is more than what follows any prefix that is scanned backwards
// from its end.
const maxKeyTail = 32
