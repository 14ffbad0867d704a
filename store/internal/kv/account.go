package kv

import (
	"github.com/google/uuid"
)

// Account is an account's id as it is in keys.
type Account [16]byte

// AccountOf parses an account's id. ok is false if it is not a UUID in its usual form. The
// store keeps no records for such an account.
func AccountOf(s string) (a Account, ok bool) {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return Account{}, false
	}
	return Account(u), true
}

func (a Account) String() string { return uuid.UUID(a).String() }

// AccountPrefix is the prefix of all keys of a kind that an account has.
func AccountPrefix(kind byte, a Account) []byte { return append([]byte{kind}, a[:]...) }

// maxKeyTail is longer than what follows the prefix of any scan that goes backwards from the
// prefix's end.
const maxKeyTail = 32
