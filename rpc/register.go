package rpc

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// Pins are the requests of all accounts; *pin.Manager has them. Errors are those of
// package pin.
type Pins interface {
	Add(ctx context.Context, account string, s pin.Spec) (pin.View, error)
	Replace(ctx context.Context, account, id string, s pin.Spec) (pin.View, error)
	Remove(ctx context.Context, account, id string) error
	Get(ctx context.Context, account, id string) (pin.View, error)
	List(ctx context.Context, account string, q pin.Query) (pin.ViewPage, error)
}

// Node is what the commands id and version say of the server.
type Node struct {
	ID        string   // the peer ID
	PublicKey string   // its key as protobuf, in base64; "" if it is not known
	Addresses []string // each ends in /p2p/ID
	Protocols []string // that it speaks
	Version   string   // of this program
}

// Config is what the commands stand on. All is required, except where it says otherwise.
type Config struct {
	Pins Pins
	// Upload begins an upload of an account. The errors of it are those of package pin.
	Upload func(ctx context.Context, account string) (Upload, error)
	// Profile is by which profile add makes UnixFS. The zero value is [upload.Default].
	Profile upload.Profile
	// Blocks has the blocks of all accounts. It must not ask the network. An error of it
	// that is a [pin.ErrDenied] is told as such.
	Blocks blockstore.Blockstore
	// Above lists the DAGs that contain what c names, under the codec of c or, if that is
	// raw, under any. It looks at limit links at most, and all is false if there were more.
	Above func(ctx context.Context, c cid.Cid, limit int) (dags []pin.DAG, all bool, err error)
	// Links lists what a block links to, in its order and as often as it does.
	Links func(c cid.Cid, data []byte) ([]cid.Cid, error)
	// Below reads the blocks below a root as Blocks would, many at once. Nil reads Blocks.
	Below dagcar.Source
	// Seen makes a set for one call, which closes it.
	Seen func() dagcar.Seen
	// Room is the memory that all calls share, and others may share with them. Nil is without a limit.
	Room *room.Room
	// DeniedPath says why a path such as "/ipfs/CID/some/file" is not to be read; nil
	// denies none.
	DeniedPath func(path string) error
	// Node is called with each request that asks for it.
	Node func() Node
	// Repo says how much is on the disk.
	Repo Repo
	// Providers searches the network for peers that are said to have a block, and yields
	// them as they are found. It is bounded in time and in number, and ends with ctx.
	Providers func(ctx context.Context, c cid.Cid) iter.Seq[peer.AddrInfo]
	// Connections lists the connections to peers that are open.
	Connections func() []Connection
	// Auth gives the middleware that puts the [auth.Principal] of a token with that scope
	// in the context of the request, or returns an error: one that wraps
	// auth.ErrUnauthorized, auth.ErrForbidden or auth.ErrUnavailable is answered as such.
	Auth func(auth.Scope) echo.MiddlewareFunc
	// Refuse says why a command is not served here, in a sentence for users; "" if it is. Nil
	// serves all.
	Refuse func(command string) string
	// Stopping says that calls which wait are to end. Nil is never.
	Stopping func() bool
	// Logger gets the causes of what is answered 500. Nil logs nothing.
	Logger *slog.Logger
}

// Register adds the commands to a group, whose prefix is /api/v0. It handles every path
// and method beneath it, except for CORS, which is the router's. The group must get no
// middleware after this. The error is of the Config.
func Register(g *echo.Group, cfg Config) error {
	checked, err := cfg.checked()
	if err != nil {
		return err
	}
	newAPI(checked, accountWays()).register(g)
	return nil
}

// checked gives the configuration with its defaults.
func (cfg Config) checked() (Config, error) {
	if cfg.Pins == nil || cfg.Upload == nil || cfg.Blocks == nil || cfg.Above == nil || cfg.Links == nil || cfg.Seen == nil || cfg.Node == nil || cfg.Repo == nil ||
		cfg.Providers == nil || cfg.Connections == nil || cfg.Auth == nil {
		return cfg, errors.New("the RPC needs pins, uploads, blocks, their links, sets, a node, what is on its disk and in its network, and authentication")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Profile.Name == "" {
		cfg.Profile = upload.Default
	}
	return cfg, nil
}

// register adds the commands. before is called before who asks is known.
func (a *api) register(g *echo.Group, before ...echo.MiddlewareFunc) {
	for i := range a.ways.commands {
		cmd := &a.ways.commands[i]
		around := append(append([]echo.MiddlewareFunc{a.errors}, before...), a.Auth(cmd.scope))
		if cmd.files {
			around = append([]echo.MiddlewareFunc{drained}, around...)
		}
		g.POST("/"+cmd.name, func(c echo.Context) error { return a.serve(c, cmd) }, around...)
	}
	around := append([]echo.MiddlewareFunc{a.errors}, before...)
	g.RouteNotFound("", a.noCommand, around...)
	g.RouteNotFound("/*", a.noCommand, around...)
}

// noCommand answers what no handler is for.
func (a *api) noCommand(c echo.Context) error {
	for _, cmd := range a.ways.commands {
		if c.Param("*") == cmd.name {
			c.Response().Header().Set(echo.HeaderAllow, "OPTIONS, POST")
			return fail(http.StatusMethodNotAllowed, codeNormal, "405 - Method Not Allowed: commands are called by POST")
		}
	}
	return fail(http.StatusNotFound, codeNormal, "there is no such command here; the commands are %s", commandNames(a.ways.commands))
}

// errors answers every error, and every panic, of what it wraps.
func (a *api) errors(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		// What is within gives the request a context of its own, and ends that.
		conn := c.Request().Context()
		defer func() {
			if p := faults.Recovered(recover()); p != nil {
				err = p
			}
			if err != nil {
				a.answer(c, conn, err)
				err = nil
			}
		}()
		return next(c)
	}
}
