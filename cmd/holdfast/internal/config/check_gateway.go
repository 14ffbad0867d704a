package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// validateGateway checks the section gateway.
func (c *Config) validateGateway(check func(key string, value any, err error)) {
	g := c.Gateway
	if g.Listen != "" {
		check("gateway.listen", g.Listen, checkHostPort(g.Listen))
	}
	if g.MaxRequests < 1 || g.MaxRequests > maxConnections {
		check("gateway.max_requests", g.MaxRequests, fmt.Errorf("want a number from 1 to %d", maxConnections))
	}
	dashboard := c.HTTP.dashboardHost()
	var all []string
	for _, list := range []struct {
		key       string
		hosts     []string
		addresses bool
	}{
		{"gateway.hosts", g.Hosts, false},
		{"gateway.path_hosts", g.PathHosts, true},
		{"gateway.dnslink_hosts", g.DNSLinkHosts, false},
	} {
		for _, h := range list.hosts {
			check(list.key, h, checkHost(h, list.addresses))
			if slices.Contains(all, h) {
				check(list.key, h, errors.New("a host can be in the lists of the gateway once"))
			}
			all = append(all, h)
			switch {
			case h == "" || dashboard == "":
			case h == dashboard:
				check(list.key, h, errors.New("it is the host of the dashboard (http.public_url, or the first of http.acme_domains): "+
					"pages from the gateway would share its cookies, whatever the port. Want a host of its own"))
			case list.key == "gateway.hosts" && strings.HasSuffix(dashboard, "."+h):
				check(list.key, h, fmt.Errorf("the dashboard (http.public_url, or the first of http.acme_domains) is at %s, which is below this host: "+
					"pages from the gateway could set cookies for it. Want a host that is not above it", dashboard))
			case list.key == "gateway.hosts" && strings.HasSuffix(h, "."+dashboard):
				check(list.key, h, fmt.Errorf("it is below the host of the dashboard, %s (http.public_url, or the first of http.acme_domains): "+
					"pages from the gateway could set cookies for that. Want a host that is not below it, such as one beside it", dashboard))
			}
		}
	}
}

// dashboardHost is the host at which browsers find the dashboard, or "" if that is not known.
func (c HTTP) dashboardHost() string {
	if c.PublicURL == "" && len(c.ACMEDomains) == 0 {
		return ""
	}
	u, err := url.Parse(c.Public())
	if err != nil {
		return "" // it is reported for itself
	}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
}

func checkHost(s string, address bool) error {
	if isAddress(s) {
		if !address {
			return errors.New("an IP address has no subdomains and no DNSLink: it can be in gateway.path_hosts")
		}
		return nil
	}
	if s == "" || s != strings.ToLower(s) || s != strings.Trim(s, ".") || strings.ContainsAny(s, "/:@* []") {
		return errors.New("want a host name such as dweb.example.com: in lower case, without a scheme and a port")
	}
	return nil
}
