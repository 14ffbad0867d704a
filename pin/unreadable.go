package pin

import "github.com/holdfast-ipfs/holdfast/internal/diskerr"

// ErrUnreadable: something is kept here, and what it says cannot be read: the disk gives
// an error or other bytes than were written. It is neither absent nor empty, and is not
// to be taken for that; what is asked for next may well be readable.
var ErrUnreadable = diskerr.ErrUnreadable
