package daemon

import (
	"context"
	"encoding/base64"
	"iter"
	"slices"
	"strings"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/rpc"
	"github.com/holdfast-ipfs/holdfast/store"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// RPCPath is the base path of Kubo's RPC.
const RPCPath = "/api/v0"

// content is what the RPC reads, and the node that it names.
type content struct {
	blocks     blockstore.Blockstore
	below      dagcar.Source
	seen       func() dagcar.Seen
	complete   func(ctx context.Context, c cid.Cid) (bool, error)
	above      func(ctx context.Context, c cid.Cid, limit int) (dags []pin.DAG, whole bool, err error)
	deniedPath func(path string) error // nil denies none
	node       func() rpc.Node
	upload     func(ctx context.Context, account string) (rpc.Upload, error)
	profile    upload.Profile
	repo       rpc.Repo
	providers  func(ctx context.Context, c cid.Cid) iter.Seq[peer.AddrInfo]
	conns      func() []rpc.Connection
	refuse     func(command string) string // nil refuses none
	answers    *room.Room                  // the memory that large answers share; nil has no limit
}

// content is the program's.
func (p *Program) content() content {
	profile, _ := upload.ProfileNamed(p.Config.Pin.ImportProfile) // it was checked
	if p.cluster != nil {
		return p.clusterContent(profile)
	}
	return content{
		profile: profile, answers: p.answers,
		blocks: p.node.Served(), below: p.node.ServedBelow, seen: seenIn(p.Data.File(datadir.TempDirName), p.core.store.RoomForTemp),
		complete: p.node.Complete, above: p.core.store.DAGsAbove, deniedPath: p.denials.DeniedPath,
		node: func() rpc.Node {
			id := p.node.PeerID()
			return rpc.Node{ID: id, PublicKey: publicKey(id), Addresses: p.node.Delegates(), Protocols: p.node.Protocols(), Version: p.Version}
		},
		upload: p.upload,
		repo:   repo{p.core.store, quotas{p.core.auth}, p.pins.Claims}, providers: p.node.Providers,
		conns: func() (all []rpc.Connection) {
			for _, c := range p.node.Connections() {
				all = append(all, rpc.Connection(c))
			}
			return all
		},
	}
}

// upload begins an upload of an account.
func (p *Program) upload(ctx context.Context, account string) (rpc.Upload, error) {
	u, err := p.pins.Upload(ctx, account)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// repo is an [rpc.Repo].
type repo struct {
	store  *store.Store
	quotas quotas
	claims func() uint64
}

var _ rpc.Repo = repo{}

// Account implements [rpc.Repo].
func (r repo) Account(ctx context.Context, account string) (u pin.Usage, q pin.Quota, err error) {
	if u, err = r.store.Usage(ctx, account); err == nil {
		q, err = r.quotas.Quota(ctx, account)
	}
	return u, q, err
}

// Storage implements [rpc.Repo].
func (r repo) Storage(ctx context.Context) (rpc.Storage, error) {
	s, err := r.store.Space(ctx)
	return rpc.Storage{Used: s.Used, Room: s.Free, Lingering: s.Lingering, Dead: s.Dead, Claimed: r.claims()}, err
}

// Blocks implements [rpc.Repo]. If nobody counts them in the background, it counts them now.
func (r repo) Blocks(ctx context.Context) (uint64, error) {
	if c := r.store.Counted(); !c.At.IsZero() {
		return c.Live.Blocks + c.Dead.Blocks, nil
	}
	st, err := r.store.Stats(ctx)
	return st.Live.Blocks + st.Dead.Blocks, err
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

// registerRPC serves Kubo's RPC to those who have a token.
func (a *api) registerRPC(e *echo.Echo) error {
	return a.serveRPC(e.Group(RPCPath), func(scope auth.Scope) echo.MiddlewareFunc {
		return authhttp.ForScope(a.auth, scope, func(_ echo.Context, err error) error { return err })
	})
}

// serveRPC serves Kubo's RPC to those whom a middleware lets through.
func (a *api) serveRPC(g *echo.Group, authenticate func(auth.Scope) echo.MiddlewareFunc) error {
	cfg := a.rpcConfig()
	cfg.Auth = func(scope auth.Scope) echo.MiddlewareFunc {
		let := authenticate(scope)
		return func(next echo.HandlerFunc) echo.HandlerFunc { return a.refuseWhileDraining(let(next)) }
	}
	return rpc.Register(g, cfg)
}

// rpcConfig is what all doors of the RPC stand on.
func (a *api) rpcConfig() rpc.Config {
	return rpc.Config{
		Pins: a.pins, Upload: a.content.upload, Profile: a.content.profile, Blocks: a.content.blocks, Above: a.content.above, Links: links.Of, Below: a.content.below, Seen: a.content.seen,
		DeniedPath: a.content.deniedPath, Node: a.content.node, Repo: a.content.repo,
		Room: a.content.answers, Providers: a.content.providers, Connections: a.content.conns, Stopping: a.probes.draining.Load, Logger: a.log, Refuse: a.content.refuse,
	}
}

// rpcBySocket serves it to the commands of this host, which act for the account that a request
// names.
func (a *api) rpcBySocket(g *echo.Group, as echo.MiddlewareFunc) error {
	return a.serveRPC(g, func(auth.Scope) echo.MiddlewareFunc { return as })
}

// noBlocks has none.
type noBlocks struct{ blockstore.Blockstore }

// atFront are the commands, beside those of pins, that are served if a cluster keeps what is pinned.
var atFront = []string{"add", "block/put", "commands", "dag/import", "dag/put", "id", "repo/stat", "version"}

// clusterContent is what the RPC has if a cluster keeps what is pinned: pins and uploads, and no blocks to
// read.
func (p *Program) clusterContent(profile upload.Profile) content {
	return content{
		profile: profile, answers: p.answers, blocks: noBlocks{blockstore.NewBlockstore(datastore.NewNullDatastore())},
		seen:       seenIn(p.Data.File(datadir.TempDirName), p.core.store.RoomForTemp),
		complete:   func(context.Context, cid.Cid) (bool, error) { return false, nil },
		above:      func(context.Context, cid.Cid, int) ([]pin.DAG, bool, error) { return nil, true, nil },
		deniedPath: p.denials.DeniedPath,
		node:       func() rpc.Node { return rpc.Node{Addresses: p.delegates(), Version: p.Version} },
		upload:     p.upload,
		repo:       repo{p.core.store, quotas{p.core.auth}, p.pins.Claims},
		providers:  func(context.Context, cid.Cid) iter.Seq[peer.AddrInfo] { return func(func(peer.AddrInfo) bool) {} },
		conns:      func() []rpc.Connection { return nil },
		refuse: func(command string) string {
			if strings.HasPrefix(command, "pin/") || slices.Contains(atFront, command) {
				return ""
			}
			return "a cluster keeps what is pinned here, so this server has no blocks to read: ask a node of the cluster, " +
				"or a gateway; uploads (add, dag/import, dag/put, block/put) and pin/add, pin/ls, pin/rm and pin/update are served here"
		},
	}
}
