package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics"
	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/internal/faults"
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
		return hintListen(fmt.Errorf("serve the gateway on %s: %w", c.Listen, err),
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
	hosts := slices.Concat(c.Hosts, c.PathHosts, c.DNSLinkHosts)
	switch {
	case c.Deserialized && len(hosts) == 0:
		p.Log.Warn("gateway.deserialized has no effect without hosts, in gateway.hosts, gateway.path_hosts or gateway.dnslink_hosts")
	case !c.Deserialized && len(hosts) > 0:
		p.Log.Warn("the hosts of the gateway have no effect without gateway.deserialized: it serves no websites")
	}
	p.Log.Info("the gateway serves what is pinned", "http", p.gateway.url(), "websites", c.Deserialized)
	return nil
}

// maxSeen is how many blocks of a CAR are remembered in memory, in about 3 MiB. Others are in a
// file.
const maxSeen = 1 << 16

// seenIn makes sets of what one CAR has, with files in dir, as far as there is room for them.
func seenIn(dir string, room func(bytes uint64) error) func() dagcar.Seen {
	return func() dagcar.Seen { return seen.New(dir, func() int { return maxSeen }).Within(room) }
}

// gatewayRouter serves the content, except for denied paths.
func (p *Program) gatewayRouter(c content) (*echo.Echo, error) {
	handler, err := gateway.New(gateway.Config{
		Blocks: c.blocks, Below: c.below, Links: links.Of, Seen: c.seen, Room: c.answers, DeniedPath: c.deniedPath,
		MaxRequests: p.Config.Gateway.MaxRequests, People: people(p.Config.Gateway, c.complete), Logger: p.Log,
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
	e.Use(logRequests(p.Log), faults.RecoverPanics, trustedForwards(p.Config.HTTP.TrustedProxies),
		httpd.EachClient(max(1, p.Config.Gateway.MaxRequests/clientShare)), httpd.SlowGivesWay(p.Config.Gateway.MaxRequests))
	e.Any("/*", echo.WrapHandler(handler))
	return e, nil
}

// clientShare is the part of the gateway's requests that one client may have under way.
const clientShare = 4

// people is the part of the gateway for browsers; nil is none.
func people(c config.Gateway, complete func(context.Context, cid.Cid) (bool, error)) *gateway.People {
	if !c.Deserialized {
		return nil
	}
	return &gateway.People{
		Hosts: c.Hosts, PathHosts: c.PathHosts, DNSLinkHosts: c.DNSLinkHosts,
		LookupTXT: net.DefaultResolver.LookupTXT, Complete: complete,
	}
}

// trustedForwards takes the headers by which a proxy says how a client reached it out of
// requests that come from no trusted proxy: redirects and subdomains go by them.
func trustedForwards(proxies []string) echo.MiddlewareFunc {
	networks := httpd.ProxyNetworks(proxies)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			if ip := net.ParseIP(host); !slices.ContainsFunc(networks, func(n *net.IPNet) bool { return n.Contains(ip) }) {
				r.Header.Del("X-Forwarded-Host")
				r.Header.Del("X-Forwarded-Proto")
			}
			return next(c)
		}
	}
}
