package store

import (
	"fmt"

	"github.com/holdfast-ipfs/holdfast/internal/fault"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// kind is what is under keys that begin with one byte.
type kind struct {
	Prefix byte
	Name   string
	// Check says whether a value is as it was written. Errors: fault.ErrUnreadable.
	Check func(c kv.Codec, key, value []byte) error
	Many  bool // there are as many as blocks, so that only a check of all of them looks
}

// checkRecord checks a value that [kv.Codec] encodes.
func checkRecord[T any](c kv.Codec, _, value []byte) error {
	var rec T
	return c.Decode(value, &rec)
}

// checkLen checks that a value has so many bytes.
func checkLen(n int) func(kv.Codec, []byte, []byte) error {
	return func(_ kv.Codec, _, value []byte) error {
		if len(value) != n {
			return fmt.Errorf("%w: %d bytes, not %d", fault.ErrUnreadable, len(value), n)
		}
		return nil
	}
}
