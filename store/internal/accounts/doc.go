// Package accounts keeps accounts, tokens, invitations and the audit record: keys 40 to 46
// of the database. It knows nothing of pins.
package accounts

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Store keeps accounts. It is an [auth.Accounts]. All methods may be called concurrently.
type Store struct {
	kv      *kv.DB
	pins    pinEvents
	changed atomic.Pointer[time.Time] // when accounts or tokens last changed; nil is not since the start
	known   known
}

// New opens this room on a database. It ends with the database.
func New(db *kv.DB) *Store { return &Store{kv: db} }
