package daemon

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/web"
)

// dashboard is what the pages need beside what the APIs have.
type dashboard struct {
	sessionTTL time.Duration // of the access tokens of sessions
	gateway    string        // the URL of a gateway for people; "" is none
	service    string        // the address of the account that is for a program; "" is none
	setupCode  string        // of the link that makes the first account; "" is none
	ui         *web.UI       // once it is registered; the program closes it
}

// newDashboard makes the dashboard. If there is no account, and no terminal that shows the first
// one, a link makes it.
func (p *Program) newDashboard(ctx context.Context) (*dashboard, error) {
	d := &dashboard{sessionTTL: time.Duration(p.Config.Auth.AccessTokenTTL), gateway: p.gatewayForPeople(), service: p.serviceAccount()}
	if p.Terminal == nil {
		some, err := p.hasOwner(ctx)
		if err != nil {
			return nil, err
		}
		if !some {
			d.setupCode = rand.Text() // 128 bits
		}
	}
	return d, nil
}

// gatewayForPeople is the URL of the gateway at the first of its hosts. "" is that no host shows
// content to people. At a host that others reach, a proxy does TLS, as browsers want it.
func (p *Program) gatewayForPeople() string {
	c := p.Config.Gateway
	hosts := slices.Concat(c.Hosts, c.PathHosts)
	if p.gateway == nil || !c.Deserialized || len(hosts) == 0 {
		return ""
	}
	host := hosts[0]
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return "https://" + host
	}
	_, port, err := net.SplitHostPort(p.gateway.listener.Addr().String())
	if err != nil {
		return ""
	}
	return "http://" + net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// close ends what the pages do in the background. Nil has nothing to end.
func (d *dashboard) close() {
	if d != nil && d.ui != nil {
		d.ui.Close()
	}
}

// registerWeb adds the pages to the router of the APIs.
func (a *api) registerWeb(e *echo.Echo) (err error) {
	a.web.ui, err = web.Register(e, web.Config{
		Auth: a.auth, Pins: a.pins, API: http.Handler(e), Delegates: a.delegates,
		PublicURL: a.cfg.Public(), Gateway: a.web.gateway, SessionTTL: a.web.sessionTTL, SetupCode: a.web.setupCode, ServiceAccount: a.web.service,
		Requester: httpd.Requester(a.cfg.TrustedProxies, a.cfg.Public()),
		Stopping:  a.probes.draining.Load, Logger: a.log,
	})
	return err
}
