package store

import "github.com/holdfast-ipfs/holdfast/pin"

// ErrUnreadable is [pin.ErrUnreadable]: every read of the store that finds a key, and
// cannot have the value as it was written, returns an error that is one. The bytes are
// then nil. It was tried again before, so that a reclaim under way is not the cause.
var ErrUnreadable = pin.ErrUnreadable
