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

// forwardingHeaders are headers that proxies add. So are all that begin with X-Forwarded-.
var forwardingHeaders = []string{
	"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For",
	"X-Envoy-External-Address", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fastly-Client-Ip",
}

// Requester finds the address of the machine that certainly sent a request. It gives the zero
// address if that is not certain. It is stricter than [ClientIP], which only has to tell
// clients apart. The server may connect to a private address that Requester gives. So it must
// never give an address that several clients share, or that a client can choose.
//
// Without a trusted proxy it gives the address of the connection. If the request has any sign
// of a proxy, it gives none: all users of that proxy would look like one. With a trusted
// proxy it gives the address that this proxy reports, except for addresses that mean another
// machine on each host, such as loopback.
//
// public is http.public_url, or "" if that is not set. If it does not lead to loopback,
// anybody may be behind a request from loopback: there may be a proxy without any sign.
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
	// By default nginx adds no header. But it speaks HTTP/1.0, or closes each connection.
	// Clients that pin do neither.
	return !r.ProtoAtLeast(1, 1) || r.Close
}

// forwardedBy gives the address from which trusted proxies got a request. It gives the zero
// address if that is not certain.
func forwardedBy(h http.Header, isTrusted func(netip.Addr) bool) netip.Addr {
	if len(h.Values("Forwarded")) > 0 {
		return netip.Addr{} // the client may have sent it, and it may contradict X-Forwarded-For
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
		// An address before this one says that this one is a proxy too.
		if i > 0 || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.Zone() != "" {
			return netip.Addr{}
		}
		return ip
	}
	return netip.Addr{} // the proxy sent the request itself, or does not name its client
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
