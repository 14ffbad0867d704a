package node

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/intake"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Upload implements [pin.Engine].
func (n *Node) Upload(ctx context.Context, l pin.Limits) (pin.Intake, error) {
	in, err := intake.Begin(ctx, intake.Config{
		Store: n.store, Refuse: n.refuseUploaded(), Durable: n.serveNew, Dir: n.cfg.TempDir, Room: n.store.RoomForTemp, Share: &n.uploads,
	}, l)
	if err != nil {
		return nil, err
	}
	return in, nil
}

// refuseUploaded refuses a block that is denied. What is below it is looked at when it comes, or
// when the DAG is fetched.
func (n *Node) refuseUploaded() func(cid.Cid) error {
	if n.cfg.Denylist == nil {
		return nil
	}
	return func(c cid.Cid) error {
		err := n.cfg.Denylist.Denied(c)
		if err == nil {
			return nil
		}
		n.log.Warn("an upload has a block that is denied", "block", c, "err", err)
		return fmt.Errorf("block %s: %w", c, pin.ErrDenied)
	}
}
