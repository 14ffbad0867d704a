package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/backup"
	"github.com/holdfast-ipfs/holdfast/node"
	"github.com/holdfast-ipfs/holdfast/node/find"
	"github.com/holdfast-ipfs/holdfast/node/provide"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// maxWorkers is far above what any disk can use: more is a typing error.
const maxWorkers = 1024

// maxConnections is how many files Linux lets one process open, unless fs.nr_open is raised.
const maxConnections = 1 << 20

// Validate names every wrong value, with its key and what would be right.
func (c *Config) Validate() error {
	var errs []error
	check := func(key string, value any, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s = %q: %w", key, fmt.Sprint(value), err))
		}
	}
	each := func(key string, values []string, ok func(string) error) {
		for _, v := range values {
			check(key, v, ok(v))
		}
	}
	check("http.listen", c.HTTP.Listen, checkHostPort(c.HTTP.Listen))
	check("http.public_url", c.HTTP.PublicURL, checkPublicURL(c.HTTP.PublicURL))
	c.validateTLS(check)
	if c.HTTP.MaxConnections < 1 || c.HTTP.MaxConnections > maxConnections {
		check("http.max_connections", c.HTTP.MaxConnections, fmt.Errorf("want a number from 1 to %d", maxConnections))
	}
	each("http.trusted_proxies", c.HTTP.TrustedProxies, func(s string) error { _, err := ParseProxy(s); return err })
	each("http.cors_origins", c.HTTP.CORSOrigins, checkOrigin)
	each("node.listen", c.Node.Listen, func(s string) error { return checkListen(s, c.HTTP.TLS) })
	each("node.announce", c.Node.Announce, checkMultiaddr)
	each("node.append_announce", c.Node.AppendAnnounce, checkMultiaddr)
	each("node.bootstrap", c.Node.Bootstrap, checkBootstrap)
	check("node.routing", c.Node.Routing, oneOf(c.Node.Routing, "auto", "none"))
	check("node.profile", c.Node.Profile, oneOf(c.Node.Profile, ProfileSmall, profileDefault, profileLarge))
	check("node.reachability", c.Node.Reachability,
		oneOf(c.Node.Reachability, node.ReachabilityAuto, node.ReachabilityPublic, node.ReachabilityPrivate))
	each("node.static_relays", c.Node.StaticRelays, checkPeer)
	if c.Metrics.Listen != "" {
		check("metrics.listen", c.Metrics.Listen, checkHostPort(c.Metrics.Listen))
	}
	each("node.delegated_routers", c.Node.DelegatedRouters, find.CheckRouterURL)
	each("node.peering", c.Node.Peering, checkPeer)
	check("provide.strategy", c.Provide.Strategy, oneOf(c.Provide.Strategy, strategies()...))
	check("provide.interval", c.Provide.Interval, checkProvideInterval(c.Provide.Interval))
	if c.Pin.Workers < 1 || c.Pin.Workers > maxWorkers {
		check("pin.workers", c.Pin.Workers, fmt.Errorf("want a number from 1 to %d", maxWorkers))
	}
	for key, n := range map[string]int{
		"pin.max_dag_blocks": c.Pin.MaxDAGBlocks, "pin.max_links": c.Pin.MaxLinks, "pin.max_depth": c.Pin.MaxDepth,
		"auth.register_max_pins": c.Auth.RegisterMaxPins,
	} {
		if n < 0 {
			check(key, n, errors.New("want a number, or 0 for no limit"))
		}
	}
	check("pin.import_profile", c.Pin.ImportProfile, oneOf(c.Pin.ImportProfile, importProfiles()...))
	if c.Pin.TotalTimeout != 0 {
		check("pin.total_timeout", c.Pin.TotalTimeout, atLeastSecond(c.Pin.TotalTimeout))
	}
	check("pin.stall_timeout", c.Pin.StallTimeout, atLeastSecond(c.Pin.StallTimeout))
	check("auth.registration", c.Auth.Registration, oneOf(c.Auth.Registration, registrations()...))
	check("auth.access_token_ttl", c.Auth.AccessTokenTTL, atLeastSecond(c.Auth.AccessTokenTTL))
	check("auth.refresh_token_ttl", c.Auth.RefreshTokenTTL, atLeastSecond(c.Auth.RefreshTokenTTL))
	c.validateGateway(check)
	c.validateCluster(check)
	c.validateRPC(check)
	if c.Backup.To != "" {
		_, err := backup.OpenPlace(c.Backup.To)
		check("backup.to", c.Backup.To, err)
	}
	if c.Backup.Every != 0 {
		check("backup.every", c.Backup.Every, atLeastSecond(c.Backup.Every))
	}
	if c.Backup.KeepLast < 1 {
		check("backup.keep_last", c.Backup.KeepLast, errors.New("want a number from 1 on"))
	}
	each("denylist.dirs", c.Denylist.Dirs, checkDenylistDir)
	check("log.level", c.Log.Level, oneOf(c.Log.Level, "debug", "info", "warn", "error"))
	check("log.format", c.Log.Format, oneOf(c.Log.Format, "text", "json"))
	return errors.Join(errs...)
}

// validateTLS checks the keys that depend on http.tls.
func (c *Config) validateTLS(check func(key string, value any, err error)) {
	h := c.HTTP
	check("http.tls", h.TLS, oneOf(h.TLS, TLSOff, TLSFiles, TLSACME))
	check("http.acme_ca", h.ACMECA, checkCA(h.ACMECA))
	for _, name := range h.ACMEDomains {
		check("http.acme_domains", name, checkDomain(name))
	}
	needed := func(by, what string) error { return fmt.Errorf("http.tls = %q needs %s", by, what) }
	switch {
	case h.TLS == TLSFiles && h.TLSCert == "":
		check("http.tls_cert", "", needed(TLSFiles, "the file of a certificate"))
	case h.TLS == TLSFiles && h.TLSKey == "":
		check("http.tls_key", "", needed(TLSFiles, "the file of the certificate's key"))
	case h.TLS == TLSACME && len(h.ACMEDomains) == 0:
		check("http.acme_domains", "", needed(TLSACME, "the names under which clients reach the server"))
	}
}

func checkCA(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" {
		return errors.New("want the URL of an ACME directory, such as https://acme-v02.api.letsencrypt.org/directory")
	}
	return nil
}

func checkDomain(s string) error {
	if strings.Trim(s, ".") != s || !strings.Contains(s, ".") || strings.ContainsAny(s, "/:@* ") || isAddress(s) {
		return errors.New("want a host name such as pins.example.com")
	}
	return nil
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// warnings names keys that are set and have no effect.
func (c *Config) warnings() (w []string) {
	if c.Node.HolePunching && !c.Node.RelayClient && c.Node.Routing != node.RoutingNone {
		w = append(w, "node.hole_punching has no effect without node.relay_client: it makes connections through relays direct")
	}
	if slices.ContainsFunc(c.Node.Listen, node.NeedsCertificate) && c.HTTP.PublicName() == "" && len(c.Node.Announce) == 0 {
		w = append(w, "node.listen has an address with TLS, and http.public_url has no name: others are told an IP address, by which the certificate cannot be checked")
	}
	if c.Node.Routing == node.RoutingNone && len(c.Node.DelegatedRouters) > 0 {
		w = append(w, "node.delegated_routers has no effect with node.routing = \"none\": no router is asked")
	}
	w = append(w, c.sameListen()...)
	w = append(w, c.clusterWarnings()...)
	return w
}

// sameListen names keys by which two HTTP servers would take the same port.
func (c *Config) sameListen() (w []string) {
	type place struct{ key, address, host, port string }
	var all []place
	everywhere := func(host string) bool {
		ip := net.ParseIP(host)
		return host == "" || ip != nil && ip.IsUnspecified()
	}
	for _, p := range []place{
		{key: "http.listen", address: c.HTTP.Listen}, {key: "gateway.listen", address: c.Gateway.Listen},
		{key: "metrics.listen", address: c.Metrics.Listen}, {key: "rpc.listen", address: c.RPC.Listen},
	} {
		var err error
		if p.host, p.port, err = net.SplitHostPort(p.address); err != nil || p.port == "0" {
			continue
		}
		for _, o := range all {
			if p.port == o.port && (p.host == o.host || everywhere(p.host) || everywhere(o.host)) {
				w = append(w, fmt.Sprintf("%s = %q and %s = %q are the same port: only one of them can listen there", o.key, o.address, p.key, p.address))
			}
		}
		all = append(all, p)
	}
	return w
}

func strategies() (names []string) {
	for _, s := range provide.Strategies() {
		names = append(names, string(s))
	}
	return names
}

func registrations() (names []string) {
	for _, r := range auth.Registrations() {
		names = append(names, string(r))
	}
	return names
}

func atLeastSecond(d Duration) error {
	if time.Duration(d) < time.Second {
		return errors.New("want a second or more")
	}
	return nil
}

func oneOf(s string, choices ...string) error {
	if !slices.Contains(choices, s) {
		return fmt.Errorf("want one of %s", strings.Join(choices, ", "))
	}
	return nil
}

func checkHostPort(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("want HOST:PORT, such as 127.0.0.1:5050, or :5050 for every address of this host")
	}
	return nil
}

func checkPublicURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("want a URL such as https://pins.example.com")
	}
	return nil
}

// ParseProxy reads an address, or a network of addresses.
func ParseProxy(s string) (*net.IPNet, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		s = netip.PrefixFrom(a, a.BitLen()).String()
	}
	_, network, err := net.ParseCIDR(s)
	if err != nil {
		return nil, errors.New("want an address or a network, such as 10.0.0.7 or 10.0.0.0/8")
	}
	return network, nil
}

func checkOrigin(s string) error {
	if s == "*" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || s != u.Scheme+"://"+u.Host {
		return errors.New("want \"*\" or an origin such as https://app.example.com, without a path")
	}
	return nil
}

func checkDenylistDir(s string) error {
	if s != AutoDenylists && !filepath.IsAbs(s) {
		return errors.New("want \"auto\", or the path of a directory from the root, such as /etc/ipfs/denylists")
	}
	return nil
}

func checkMultiaddr(s string) error {
	if _, err := multiaddr.NewMultiaddr(s); err != nil {
		return fmt.Errorf("want a multiaddr such as /ip4/0.0.0.0/tcp/4040: %w", err)
	}
	return nil
}

// checkListen looks at an address to listen on while http.tls is as given.
func checkListen(s, httpTLS string) error {
	if err := checkMultiaddr(s); err != nil {
		return err
	}
	if httpTLS == TLSOff && node.NeedsCertificate(s) {
		return fmt.Errorf("its certificate is that of http.tls, which is %q", httpTLS)
	}
	return nil
}

func checkBootstrap(s string) error {
	if s == AutoBootstrap {
		return nil
	}
	if _, err := peer.AddrInfoFromString(s); err != nil {
		return fmt.Errorf("want \"auto\" or a multiaddr that ends in /p2p/ID: %w", err)
	}
	return nil
}

func checkPeer(s string) error {
	if _, err := peer.AddrInfoFromString(s); err != nil {
		return fmt.Errorf("want a multiaddr that ends in /p2p/ID: %w", err)
	}
	return nil
}

// checkProvideInterval refuses less than a minute, in which hardly a sweep ends.
func checkProvideInterval(d Duration) error {
	if d := time.Duration(d); d < time.Minute || d > provide.MaxInterval {
		return fmt.Errorf("want a time from a minute to %v, the life of a record in the DHT", provide.MaxInterval)
	}
	return nil
}

// importProfiles are the names of all profiles.
func importProfiles() (names []string) {
	for _, p := range upload.Profiles() {
		names = append(names, p.Name)
	}
	return names
}
