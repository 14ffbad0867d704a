package daemon

import (
	"context"
	"encoding/base64"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/rpc"
)

// RPCPath is the base path of Kubo's RPC.
const RPCPath = "/api/v0"

// content is what the RPC reads, and the node that it names.
type content struct {
	blocks     blockstore.Blockstore
	above      func(ctx context.Context, c cid.Cid, limit int) (dags []pin.DAG, whole bool, err error)
	deniedPath func(path string) error // nil denies none
	node       func() rpc.Node
	upload     func(ctx context.Context, account string) (rpc.Upload, error)
}

// content is the program's.
func (p *Program) content() content {
	return content{
		blocks: p.node.Served(), above: p.core.store.DAGsAbove, deniedPath: p.denials.DeniedPath,
		node: func() rpc.Node {
			id := p.node.PeerID()
			return rpc.Node{ID: id, PublicKey: publicKey(id), Addresses: p.node.Delegates(), Version: p.Version}
		},
		upload: func(ctx context.Context, account string) (rpc.Upload, error) {
			u, err := p.pins.Upload(ctx, account)
			if err != nil {
				return nil, err
			}
			return u, nil
		},
	}
}

// publicKey gives the key in a peer ID as Kubo writes it; "" if the ID does not have it.
func publicKey(id string) string {
	p, err := peer.Decode(id)
	if err != nil {
		return ""
	}
	key, err := p.ExtractPublicKey()
	if err != nil { // a long key is not in the ID
		return ""
	}
	b, err := crypto.MarshalPublicKey(key)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

func (a *api) registerRPC(e *echo.Echo) error {
	return rpc.Register(e.Group(RPCPath), rpc.Config{
		Pins: a.pins, Upload: a.content.upload, Blocks: a.content.blocks, Above: a.content.above, Links: links.Of,
		DeniedPath: a.content.deniedPath, Node: a.content.node, Stopping: a.probes.draining.Load, Logger: a.log,
		Auth: func(scope auth.Scope) echo.MiddlewareFunc {
			authenticate := authhttp.ForScope(a.auth, scope, func(_ echo.Context, err error) error { return err })
			return func(next echo.HandlerFunc) echo.HandlerFunc { return a.refuseWhileDraining(authenticate(next)) }
		},
	})
}
