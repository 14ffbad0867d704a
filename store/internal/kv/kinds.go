package kv

import (
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Kind describes the records whose keys begin with one byte.
type Kind struct {
	Prefix byte
	Name   string
	// Check fails if a value is not as it was written. Errors: diskerr.ErrUnreadable.
	Check func(key, value []byte) error
	Many  bool // there are as many as blocks; only a check of everything reads them
}

// CheckRecord checks a value that [Encode] made.
func CheckRecord[T any](_, value []byte) error {
	var rec T
	return Decode(value, &rec)
}

// CheckLen checks that a value has n bytes.
func CheckLen(n int) func(key, value []byte) error {
	return func(_, value []byte) error {
		if len(value) != n {
			return fmt.Errorf("%w: %d bytes, not %d", diskerr.ErrUnreadable, len(value), n)
		}
		return nil
	}
}
