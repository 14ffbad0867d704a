package store

import (
	"github.com/google/uuid"
)

// account is an account's id as it is in keys.
type account [16]byte

// accountOf parses an account's id. ok is false if it is not a UUID in its
// usual form; no record is kept for such an account.
func accountOf(s string) (a account, ok bool) {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return account{}, false
	}
	return account(u), true
}

func (a account) String() string { return uuid.UUID(a).String() }

// accountPrefix is what all of an account's keys of a kind start with.
func accountPrefix(kind byte, a account) []byte { return append([]byte{kind}, a[:]...) }

// maxKeyTail is more than what follows any prefix that is scanned backwards
// from its end.
const maxKeyTail = 32
