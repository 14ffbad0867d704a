package trustless

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	bsnet "github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/go-cid"
	ma "github.com/multiformats/go-multiaddr"
)

// Provider is a gateway. It is comparable, and can be a key in a map. The zero value is no
// gateway.
type Provider struct {
	base string // its URL, without a slash at the end
}

// String is the gateway's base URL.
func (p Provider) String() string { return p.base }

// ParseURL reads the base URL of a gateway, such as "https://example.com". That is the part
// before /ipfs/CID.
func ParseURL(s string) (Provider, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Provider{}, fmt.Errorf("the URL of a gateway: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return Provider{}, fmt.Errorf("%q is not the URL of a gateway, such as https://example.com", s)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return Provider{u.String()}, nil
}

// ParseMultiaddr reads the address of a gateway as provider records have it,
// such as /dns/example.com/tcp/443/tls/http, with or without /http-path and
// /p2p. HTTP without TLS is accepted for local and private addresses only, as in Kubo.
// If an address has a name for TLS (/sni), the URL has that name, and the address's port.
func ParseMultiaddr(a ma.Multiaddr) (Provider, error) {
	for _, c := range a {
		switch c.Protocol().Code {
		case ma.P_UDP, ma.P_CIRCUIT, ma.P_WS, ma.P_WSS, ma.P_DNSADDR, ma.P_UNIX:
			return Provider{}, fmt.Errorf("%s is not the address of a gateway", a)
		}
	}
	parsed, err := bsnet.ExtractHTTPAddress(a)
	if err != nil {
		return Provider{}, fmt.Errorf("the address of a gateway, %s: %w", a, err)
	}
	u := parsed.URL
	if parsed.SNI != "" {
		u.Host = strings.Replace(u.Host, u.Hostname(), parsed.SNI, 1)
		if strings.HasPrefix(u.Host, "[") { // an IPv6 address stood there
			u.Host = strings.NewReplacer("[", "", "]", "").Replace(u.Host)
		}
	}
	path, err := a.ValueForProtocol(ma.P_HTTP_PATH)
	switch {
	case err == nil:
		if u.Path, err = url.PathUnescape(path); err != nil {
			return Provider{}, fmt.Errorf("the address of a gateway, %s: %w", a, err)
		}
		u.Path = "/" + u.Path
	case !errors.Is(err, ma.ErrProtocolNotFound):
		return Provider{}, fmt.Errorf("the address of a gateway, %s: %w", a, err)
	}
	return ParseURL(u.String())
}

// Providers gives the gateways among the addresses of a peer, each once.
func Providers(addrs []ma.Multiaddr) []Provider {
	var out []Provider
	for _, a := range addrs {
		if p, err := ParseMultiaddr(a); err == nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// block gives the URL of a block.
func (p Provider) block(c cid.Cid) string { return p.base + "/ipfs/" + c.String() + "?format=raw" }
