package daemon

import (
	"context"
	"errors"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// quotas gives the limits of accounts to the manager of pins, and to the records, which
// decide by them. It is a [pin.Quotas].
type quotas struct {
	accounts *auth.Service
}

var _ pin.Quotas = quotas{}

// Quota implements [pin.Quotas]. A removed account has no limit, since its pins will be
// removed too. An account whose record cannot be read has none either. It can ask for nothing
// new, and an error here would also hold up other accounts that wait for the same DAG.
func (q quotas) Quota(ctx context.Context, account string) (pin.Quota, error) {
	a, err := q.accounts.AccountByID(ctx, account)
	if errors.Is(err, auth.ErrNoAccount) || errors.Is(err, auth.ErrDamaged) {
		return pin.Quota{}, nil
	}
	return pin.Quota{Bytes: a.Quota, Pins: a.QuotaPins}, err
}
