// Package requests keeps requests to pin, the lists that they are found by, what each holds,
// and what accounts are charged: keys 10 to 1b of the database.
//
// It uses what package graph keeps of DAGs, one way: a request holds a DAG by its record.
//
// # Files
//
// There are many, since a request, its places in the lists, its quota and its DAG change in
// one commit. Each file has one kind of record, or one question that is asked of them. What
// decides on quotas is in quota.go (bytes) and live_count.go (pins).
package requests

import (
	"log/slog"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// Store keeps requests. With what package graph keeps it is a [pin.Records]. All methods may
// be called concurrently.
type Store struct {
	log   *slog.Logger
	now   func() time.Time
	space *space.Space
	kv    *kv.DB
	held  *holding.Store
	codec kv.Codec

	// damaged is the requests that cannot be read, as far as that is known.
	damaged damagedRequests
	quotas  pin.Quotas // nil is none
}

// New gives the requests of an open database, with which they end.
func New(sp *space.Space, held *holding.Store, log *slog.Logger, now func() time.Time) *Store {
	s := &Store{log: log, now: now, space: sp, kv: sp.DB(), held: held, codec: sp.DB().Codec()}
	held.WorkOut = s.workOutDAG
	return s
}
