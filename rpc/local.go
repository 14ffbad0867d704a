package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// LocalPins are what [Local] needs beside Pins; *pin.Manager has them.
type LocalPins interface {
	Pins
	// ByCID gives the account's request for a CID as it is written. Errors: pin.ErrNotFound.
	ByCID(ctx context.Context, account string, c cid.Cid) (pin.View, error)
	// AddOnce makes a request, unless the account has one for the CID as it is written: then it
	// gives that, and made is false.
	AddOnce(ctx context.Context, account string, s pin.Spec) (v pin.View, made bool, err error)
	// Unpin removes the account's request for a CID as it is written, and what it held lingers.
	// Errors: pin.ErrNotFound.
	Unpin(ctx context.Context, account string, c cid.Cid) error
	// UnpinRequest removes that request alone, and what it held lingers. Errors: pin.ErrNotFound.
	UnpinRequest(ctx context.Context, account, id string) error
	// Repairing reports whether a DAG was complete, and damage in it is being mended.
	Repairing(ctx context.Context, d pin.DAG) (bool, error)
	// Changed gives a channel that has something soon after the requests for a DAG changed, until
	// end is called. It may have something without a change.
	Changed(d pin.DAG) (changed <-chan pin.Change, end func())
}

// LooseUpload is an Upload of which nothing need be pinned.
type LooseUpload interface {
	Upload
	// Keep makes durable what was put, and keeps it for some time after Close, for pins that
	// come.
	Keep(ctx context.Context) error
}

// LocalConfig is what [Local] stands on. All is required, except where it says otherwise.
type LocalConfig struct {
	// Config is what both doors share. Its Pins, Upload and Auth are not used.
	Config
	// Account gives the account that all calls are for. It is called with each. Errors:
	// auth.ErrNoAccount; auth.ErrDisabled.
	Account func(context.Context) (auth.Account, error)
	Pins    LocalPins
	// Upload begins an upload of the account.
	Upload func(ctx context.Context, account string) (LooseUpload, error)
	// Collect ends the grace of all that lingers, and gives back the space of what nothing holds.
	Collect func(context.Context) error
	// Connect connects to a peer, at addresses that may be dialled.
	Connect func(context.Context, peer.AddrInfo) error
	// TempDir is a directory for what is too much for memory; it goes with the call.
	TempDir string
	// TempRoom fails if there is no room for so many bytes there. Nil never does.
	TempRoom func(bytes uint64) error
	// Stall ends a pin/add that gets no block for so long, for clients that cannot hang up; 0 is
	// never.
	Stall time.Duration
	// Host reports whether a request may have that Host, without its port. Nil lets all pass,
	// for a socket that no web page can reach.
	Host func(host string) bool
}

// Local serves the commands to programs of this machine, without tokens: to ipfs-cluster as its
// IPFS node, and to `ipfs --api`. Who can connect can do all that it offers.
//
// Its pins are those of one account, and as Kubo's: of a CID as it is written, recursive or
// direct. What is unpinned lingers: see [pin.Manager.Unpin]. A request that its client gave up on goes
// on for [putOffFor], and lingers then.
type Local struct {
	cfg LocalConfig
	api *api
	off *putOff
}

// NewLocal makes one. The error is of the LocalConfig.
func NewLocal(cfg LocalConfig) (*Local, error) {
	if cfg.Account == nil || cfg.Pins == nil || cfg.Upload == nil || cfg.Collect == nil || cfg.Connect == nil || cfg.TempDir == "" {
		return nil, errors.New("the RPC for this machine needs an account, its pins and uploads, a way to collect what nothing holds, the network and a directory")
	}
	l := &Local{cfg: cfg, off: newPutOff()}
	cfg.Config.Pins = cfg.Pins
	cfg.Config.Upload = func(ctx context.Context, account string) (Upload, error) { return cfg.Upload(ctx, account) }
	cfg.Auth = l.asAccount
	checked, err := cfg.Config.checked()
	if err != nil {
		return nil, err
	}
	l.api = newAPI(checked, localWays())
	l.api.local = l
	return l, nil
}

// Register adds the commands to a group, whose prefix is /api/v0, as [Register] does.
func (l *Local) Register(g *echo.Group) {
	g.OPTIONS("", noContent)
	g.OPTIONS("/*", noContent)
	l.api.register(g, l.refuseBrowsers)
}

// Run ends what was put off, when its time has come, until ctx ends.
func (l *Local) Run(ctx context.Context) {
	tick := time.NewTicker(putOffTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, one := range l.off.due(time.Now()) {
			if err := l.endPutOff(ctx, one); err != nil && ctx.Err() == nil {
				l.api.log.Error("end a pin that its client gave up on", "cid", one.root, "account", one.account, "err", err)
				l.off.again(one, time.Now())
			}
		}
	}
}

// endPutOff ends a request that is not done. One that became pinned meanwhile stays, also while
// damage in it is being mended: the client finds it when it comes again. Other requests of the
// account for the same CID stay too. So does one whose CID a call pins again.
func (l *Local) endPutOff(ctx context.Context, one aPin) error {
	ended, ok := l.off.begin(one, time.Now())
	if !ok {
		return nil
	}
	defer ended()
	v, err := l.cfg.Pins.Get(ctx, one.account, one.id)
	if err == nil && !v.Status.Done() {
		var repairing bool
		if repairing, err = l.cfg.Pins.Repairing(ctx, v.DAG()); err == nil && !repairing {
			if err = l.cfg.Pins.UnpinRequest(ctx, one.account, one.id); err == nil {
				l.api.log.Info("a pin is ended that its client gave up on and did not ask for again",
					"cid", one.root, "requestid", one.id, "account", one.account, "after", putOffFor)
			}
		}
	}
	if errors.Is(err, pin.ErrNotFound) {
		return nil
	}
	return err
}

// asAccount makes every request one of the account.
func (l *Local) asAccount(auth.Scope) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if l.cfg.Stopping != nil && l.cfg.Stopping() {
				return pin.ErrClosed
			}
			r := c.Request()
			a, err := l.cfg.Account(r.Context())
			switch {
			case errors.Is(err, auth.ErrNoAccount):
				return cannot("the account that rpc.account names does not exist any more: a start of the server makes it")
			case errors.Is(err, auth.ErrDisabled):
				return cannot("the account that rpc.account names is disabled")
			case err != nil:
				return fmt.Errorf("find the account of rpc.account: %w", err)
			}
			p := auth.Principal{Account: a.ID, Email: a.Email, Admin: true, Scope: auth.ScopeAdmin}
			c.SetRequest(r.WithContext(auth.WithPrincipal(r.Context(), p)))
			return next(c)
		}
	}
}

// noContent answers a request for what is allowed: no web page is.
func noContent(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderAllow, "OPTIONS, POST")
	return c.NoContent(http.StatusNoContent)
}
