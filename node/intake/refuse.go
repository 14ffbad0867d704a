package intake

import (
	"fmt"
	"log/slog"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// RefuseDenied gives what [Config.Refuse] needs, to refuse blocks that a denylist denies: denied gives the
// reason, or nil for a block that may be here. What is below a block is looked at when it comes, or when the
// DAG is fetched. Errors: pin.ErrDenied.
func RefuseDenied(denied func(cid.Cid) error, log *slog.Logger) func(cid.Cid) error {
	return func(c cid.Cid) error {
		err := denied(c)
		if err == nil {
			return nil
		}
		log.Warn("an upload has a block that is denied", "block", c, "err", err)
		return fmt.Errorf("block %s: %w", c, pin.ErrDenied)
	}
}
