package psa

import (
	"context"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Service does the work for the handlers; *pin.Manager is one. Errors are those
// of package pin: ErrNotFound, ErrTooFast, ErrDiskFull, ErrQuota, ErrDenied,
// ErrKeyReused, ErrKeyGone, ErrClosed, ErrUnwritable, ErrDamaged, ErrInDoubt and
// *pin.InvalidError, wrapped or not.
type Service interface {
	Add(ctx context.Context, account string, s pin.Spec) (pin.View, error)
	Replace(ctx context.Context, account, id string, s pin.Spec) (pin.View, error)
	Remove(ctx context.Context, account, id string) error
	Get(ctx context.Context, account, id string) (pin.View, error)
	List(ctx context.Context, account string, q pin.Query) (pin.ViewPage, error)
}
