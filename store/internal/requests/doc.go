// Package requests keeps requests to pin, the lists by which they are found, the DAGs that each
// of them holds, and what accounts are charged: keys 10 to 1f and 30 of the database.
//
// It uses package graph, and never the other way: a request holds a DAG by the DAG's record.
//
// # Files
//
// There are many, since a request, its places in the lists, its quota and its DAG change in
// one commit. Each file has one kind of record, or answers one question about them. Quotas are
// decided on in quota.go (bytes) and live_count.go (pins).
package requests

import (
	"context"
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

	// damaged is what is known of requests that cannot be read.
	damaged damagedRequests
	changes changes
	quotas  pin.Quotas // nil is none

	// Changed is called in every change to requests, so that the audit record has it in the same
	// commit. Nil is nothing. It is set before anything is changed.
	Changed func(context.Context, *kv.Tx, Change) error
}

// New opens this room on a database. It ends with the database.
func New(sp *space.Space, held *holding.Store, log *slog.Logger, now func() time.Time) *Store {
	s := &Store{log: log, now: now, space: sp, kv: sp.DB(), held: held}
	held.WorkOut = s.workOutDAG
	return s
}
