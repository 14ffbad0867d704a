package requests

import (
	"context"

	"github.com/google/uuid"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// ChangeKind says what was done to a request.
type ChangeKind int

// The kinds of changes.
const (
	Added ChangeKind = iota
	Replaced
	Removed
	Retried
	Failed
)

// Change is what was done to a request of an account, or to several of them.
type Change struct {
	Kind    ChangeKind
	Account string // a UUID
	Now     Named  // the request; if it is removed, as it was
	Was     Named  // what Replaced replaced
	Reason  string // why it Failed
	Count   int    // of requests. If it is not 1, they have in common only a CID
}

// Named is how people know a request.
type Named struct{ ID, CID, Name string }

func (r *request) named() Named {
	n := Named{ID: uuid.UUID(r.ID).String(), CID: r.CID, Name: r.Name}
	if r.damage != nil && r.damage.dag == "" {
		n.CID = ""
	}
	return n
}

// changed tells of a change to one request.
func (s *Store) changed(ctx context.Context, t *kv.Tx, kind ChangeKind, now, was *request) error {
	if s.Changed == nil {
		return nil
	}
	c := Change{Kind: kind, Account: now.account.String(), Now: now.named(), Count: 1}
	if was != nil {
		c.Was = was.named()
	}
	return s.Changed(ctx, t, c)
}

// someFailed tells that requests of a chunk failed. Nobody did that.
func (s *Store) someFailed(t *kv.Tx, d pin.DAG, of chunkOf, which *chunk, reason string) error {
	if s.Changed == nil {
		return nil
	}
	c := Change{Kind: Failed, Account: of.account.String(), Now: Named{CID: d.String()}, Reason: reason, Count: which.count()}
	for bit := range which.up {
		if c.Count > 1 {
			break
		}
		req, found, err := s.load(&t.Reader, of.account, seqAt(of.number, bit), codeFailed)
		if err != nil {
			return err
		}
		if found && !req.Damaged {
			c.Now = Named{ID: req.ID, CID: req.CID, Name: req.Name}
		}
	}
	return s.Changed(context.Background(), t, c)
}
