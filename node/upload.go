package node

import (
	"context"

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

// refuseUploaded refuses a block that is denied; nil refuses nothing.
func (n *Node) refuseUploaded() func(cid.Cid) error {
	if n.cfg.Denylist == nil {
		return nil
	}
	return intake.RefuseDenied(n.cfg.Denylist.Denied, n.log)
}
