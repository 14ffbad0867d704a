package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/rpc"
	"github.com/holdfast-ipfs/holdfast/store"
)

// localRPC is Kubo's RPC for programs of this machine. nil says that there is none.
type localRPC struct {
	http *http.Server
	at   string // unix:PATH, or the base URL
}

func (l *localRPC) server() *http.Server {
	if l == nil {
		return nil
	}
	return l.http
}

func (l *localRPC) address() string {
	if l == nil {
		return ""
	}
	return l.at
}

// serveRPC serves Kubo's RPC to programs of this machine, if that is configured.
func (p *Program) serveRPC(ctx, background context.Context) error {
	c := p.Config.RPC
	if c.Listen == "" {
		return nil
	}
	network, address, err := c.Address()
	if err != nil {
		return fmt.Errorf("rpc.listen = %q: %w", c.Listen, err)
	}
	if err := p.makeRPCAccount(ctx); err != nil {
		return err
	}
	local, err := p.newLocalRPC(network)
	if err != nil {
		return err
	}
	l, err := listenLocally(ctx, network, address)
	if err != nil {
		return hint.Add(fmt.Errorf("serve the RPC on %s: %w", c.Listen, err), "rpc.listen sets the address; empty, there is none")
	}
	e := echo.New()
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = answerFault(p.Log, "there is nothing at this path; the RPC is at "+RPCPath)
	if p.metrics != nil {
		e.Use(p.metrics.Requests.MiddlewareOf(metrics.LocalRPC))
	}
	e.Use(logRequests(p.Log), faults.RecoverPanics)
	local.Register(e.Group(RPCPath))
	server := httpd.NewServer(httpd.Secure(e), p.Log)
	p.localRPC = &localRPC{server, config.UnixPrefix + address}
	// Over a Unix socket ipfs-cluster makes a connection for each request, and leaves it open.
	server.SetKeepAlivesEnabled(network == "tcp")
	if network == "tcp" {
		p.localRPC.at = httpd.BaseURL("http", l.Addr())
	}
	p.serve(server, l)
	p.background.Go(func() { local.Run(background) })
	p.Log.Info("the RPC is served to programs of this machine, without a password", "rpc", p.localRPC.at, "account", c.Account)
	return nil
}

// newLocalRPC puts the commands together. network is what they are served on.
func (p *Program) newLocalRPC(network string) (*rpc.Local, error) {
	shared := p.api.rpcConfig()
	shared.Node = func() rpc.Node {
		n := p.api.content.node()
		n.Addresses = p.whereNode() // those of a private network too, by which the other nodes of a cluster connect
		return n
	}
	cfg := rpc.LocalConfig{
		Config: shared,
		Account: func(ctx context.Context) (auth.Account, error) {
			a, err := p.core.auth.AccountByEmail(ctx, p.Config.RPC.Account)
			if err == nil && a.Disabled {
				err = auth.ErrDisabled
			}
			return a, err
		},
		Pins: localPins{p.pins, p.core.store},
		Upload: func(ctx context.Context, account string) (rpc.LooseUpload, error) {
			u, err := p.pins.Upload(ctx, account)
			if err != nil {
				return nil, err
			}
			return u, nil
		},
		Collect: p.collect,
		Connect: p.node.Connect,
		TempDir: p.Data.File(datadir.TempDirName), TempRoom: p.core.store.RoomForTemp,
	}
	if network == "tcp" {
		cfg.Host = p.isRPCHost
	} else {
		cfg.Stall = rpc.Stall // ipfs-cluster cannot give up a request over a Unix socket
	}
	return rpc.NewLocal(cfg)
}

// localPins is an [rpc.LocalPins].
type localPins struct {
	*pin.Manager
	store *store.Store
}

var _ rpc.LocalPins = localPins{}

// Repairing implements [rpc.LocalPins].
func (l localPins) Repairing(ctx context.Context, d pin.DAG) (bool, error) {
	return l.store.Repairing(ctx, d)
}

// collect ends all grace, and gives back the space.
func (p *Program) collect(ctx context.Context) error {
	if _, err := p.pins.EndLingering(ctx); err != nil {
		return err
	}
	if err := p.pins.WaitUnpinned(ctx); err != nil {
		return err
	}
	_, err := p.core.store.Reclaim(ctx, nil)
	return err
}

// isRPCHost reports whether a program that calls the RPC may name that host. A web page of another
// name, which leads here, cannot be told from one otherwise.
func (p *Program) isRPCHost(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	named, _, _ := net.SplitHostPort(p.Config.RPC.Listen)
	return strings.EqualFold(host, "localhost") || strings.EqualFold(host, named)
}

// serviceAccount is the address of the account of rpc.account, which is for a program; "" is that
// there is none.
func (p *Program) serviceAccount() string {
	if p.Config.RPC.Listen == "" {
		return ""
	}
	email, _ := auth.NormalizeEmail(p.Config.RPC.Account) // it was checked
	return email
}

// makeRPCAccount makes the account of rpc.account, unless it is there. Its password is known to
// nobody: `holdfast user passwd` sets another.
func (p *Program) makeRPCAccount(ctx context.Context) error {
	email := p.Config.RPC.Account
	_, err := p.core.auth.AccountByEmail(ctx, email)
	if !errors.Is(err, auth.ErrNoAccount) {
		return err
	}
	if _, err := p.core.auth.AddAccount(ctx, auth.NewAccount{Email: email, Password: rand.Text()}); err != nil && !errors.Is(err, auth.ErrExists) {
		return fmt.Errorf("make the account of rpc.account: %w", err)
	}
	return nil
}

// probeTimeout is for finding out whether somebody listens on a socket.
const probeTimeout = time.Second

// listenLocally listens on a Unix socket, for the user of this process alone, or on a loopback
// address. A socket that nobody listens on is left from a server that was killed.
func listenLocally(ctx context.Context, network, address string) (net.Listener, error) {
	if network != "unix" {
		l, err := new(net.ListenConfig).Listen(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // whatever the system made of it
			return nil, errors.Join(fmt.Errorf("%s is no loopback address", l.Addr()), l.Close())
		}
		return l, nil
	}
	switch is, err := os.Lstat(address); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case is.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there, and is no socket", address)
	default:
		dialer := net.Dialer{Timeout: probeTimeout}
		conn, err := dialer.DialContext(ctx, network, address)
		switch {
		case err == nil:
			return nil, errors.Join(errors.New("another program listens there"), conn.Close())
		case !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist): // such as one that is too busy to answer
			return nil, fmt.Errorf("find out whether another program listens there: %w", err)
		}
	}
	return admin.Listen(ctx, address)
}
