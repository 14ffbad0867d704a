package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// forwardingHeaders are those by which proxies say that they are one, beside all that begin
// with X-Forwarded-.
var forwardingHeaders = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For",
	"X-Envoy-External-Address", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fastly-Client-Ip",
}

// Requester finds the address of the machine that a request surely came from; zero if that
// is not certain. It is stricter than [ClientIP], which is there to tell clients apart: by
// what Requester says a server may connect to a private address, so an address that others
// share, or that a client can choose, must not come out of it.
//
// Without a trusted proxy it is the address of the connection, unless the request has any
// sign of a proxy: that would make all its users look like one. With one it is what the
// trusted proxies say, but for addresses that mean another machine to each, such as
// loopback.
//
// public is http.public_url, "" if it is not set. If it leads elsewhere than to loopback,
// requests from loopback may be anybody's: there may be a proxy that says nothing of
// itself.
func Requester(proxies []string, public string) func(*http.Request) netip.Addr {
	trusted := ProxyNetworks(proxies)
	isTrusted := func(ip netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(n *net.IPNet) bool { return n.Contains(ip.AsSlice()) })
	}
	local := public == "" || isLoopbackURL(public)
	return func(r *http.Request) netip.Addr {
		at, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return netip.Addr{} // such as that of a Unix socket
		}
		ip := at.Addr().Unmap()
		switch {
		case isTrusted(ip):
			return forwardedBy(r.Header, isTrusted)
		case hasProxy(r), ip.IsLoopback() && !local:
			return netip.Addr{}
		}
		return ip
	}
}

// hasProxy reports whether a request shows that it came by a proxy.
func hasProxy(r *http.Request) bool {
	for name := range r.Header {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if slices.Contains(forwardingHeaders, name) || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	// nginx adds no header unless it is told to. It speaks HTTP/1.0, or closes each
	// connection; those who make pins do neither.
	return !r.ProtoAtLeast(1, 1) || r.Close
}

// forwardedBy gives the address that trusted proxies had a request from.
func forwardedBy(h http.Header, isTrusted func(netip.Addr) bool) netip.Addr {
	if len(h.Values("Forwarded")) > 0 {
		return netip.Addr{} // it may be the client's own, and contradict the other
	}
	var chain []string
	for _, line := range h.Values("X-Forwarded-For") {
		chain = append(chain, strings.Split(line, ",")...)
	}
	for i, text := range slices.Backward(chain) {
		ip, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			return netip.Addr{}
		}
		if ip = ip.Unmap(); isTrusted(ip) {
			continue
		}
		// What stands before it is what it says itself: that it is a proxy, too.
		if i > 0 || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.Zone() != "" {
			return netip.Addr{}
		}
		return ip
	}
	return netip.Addr{} // the proxy asks for itself, or for a client that it says nothing of
}

// isLoopbackURL reports whether a URL leads to the machine that it is used on.
func isLoopbackURL(text string) bool {
	host := hostOf(text)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// hostOf is the host of a URL that was checked, in lower case.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
