package kv

import (
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
)

// Kind is what is under keys that begin with one byte.
type Kind struct {
	Prefix byte
	Name   string
	// Check says whether a value is as it was written. Errors: diskerr.ErrUnreadable.
	Check func(c Codec, key, value []byte) error
	Many  bool // there are as many as blocks, so that only a check of all of them looks
}

// CheckRecord checks a value that [Codec] encodes.
func CheckRecord[T any](c Codec, _, value []byte) error {
	var rec T
	return c.Decode(value, &rec)
}

// CheckLen checks that a value has so many bytes.
func CheckLen(n int) func(Codec, []byte, []byte) error {
	return func(_ Codec, _, value []byte) error {
		if len(value) != n {
			return fmt.Errorf("%w: %d bytes, not %d", diskerr.ErrUnreadable, len(value), n)
		}
		return nil
	}
}
