package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/node/gateway"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
)

// gatewayConns is how many connections the gateway may have for each request that it answers
// at the same time: most connections wait for the next request.
const gatewayConns = 8

// gatewayServer is the gateway on its own address. nil says that there is none.
type gatewayServer struct {
	http     *http.Server
	listener net.Listener
}

func (g *gatewayServer) server() *http.Server {
	if g == nil {
		return nil
	}
	return g.http
}

// url is the base URL for programs on this host, or "" if there is no gateway.
func (g *gatewayServer) url() string {
	if g == nil {
		return ""
	}
	return httpd.BaseURL("http", g.listener.Addr())
}

// serveGateway serves what is pinned, if that is configured.
func (p *Program) serveGateway(ctx context.Context) error {
	c := p.Config.Gateway
	if c.Listen == "" {
		return nil
	}
	router, err := p.gatewayRouter(p.content())
	if err != nil {
		return err
	}
	limit := httpd.MaxConns(gatewayConns*c.MaxRequests, p.Machine.Files, p.Log)
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return hint.Add(fmt.Errorf("serve the gateway on %s: %w", c.Listen, err),
			"gateway.listen sets the address; port 0 takes a free port, and an empty address switches the gateway off")
	}
	conns := httpd.NewConnLimit(limit, httpd.ProxyNetworks(p.Config.HTTP.TrustedProxies), p.Log)
	server := httpd.NewServer(conns.Count(httpd.Secure(router)), p.Log)
	server.ConnContext = conns.Context
	// A DAG of many blocks takes long. The connection and the handler cut off a client that
	// takes nothing.
	server.WriteTimeout = gateway.MaxDuration
	p.gateway = &gatewayServer{http: server, listener: l}
	p.serve(server, conns.Listen(l))
	p.Log.Info("the gateway serves what is pinned", "http", p.gateway.url())
	return nil
}

// maxSeen is how many blocks of a CAR are remembered in memory, in about 3 MiB. Others are in a
// file.
const maxSeen = 1 << 16

// seenIn makes sets of what one CAR has, with files in dir.
func seenIn(dir string) func() dagcar.Seen {
	return func() dagcar.Seen { return seen.New(dir, func() int { return maxSeen }) }
}

// gatewayRouter serves the content, except for denied paths.
func (p *Program) gatewayRouter(c content) (*echo.Echo, error) {
	handler, err := gateway.New(gateway.Config{
		Blocks: c.blocks, Below: c.below, Links: links.Of, Seen: c.seen, DeniedPath: c.deniedPath,
		MaxRequests: p.Config.Gateway.MaxRequests, Logger: p.Log,
	})
	if err != nil {
		return nil, err
	}
	// Logs, client addresses and faults are as in the API.
	e := echo.New()
	e.IPExtractor = httpd.ClientIP(p.Config.HTTP.TrustedProxies)
	e.HTTPErrorHandler = answerFault(p.Log, "there is nothing at this path")
	if p.metrics != nil {
		e.Use(p.metrics.Requests.Middleware(metrics.GatewayRoute))
	}
	e.Use(logRequests(p.Log), faults.RecoverPanics)
	e.Any("/*", echo.WrapHandler(handler))
	return e, nil
}
