package guard

import (
	"fmt"
	"net/netip"
)

// Guard is the decision. The zero value refuses every address that is not one
// of the public internet. Its methods may be called concurrently.
type Guard struct {
	// AllowPrivate lets every address pass, for operators of a network of their own.
	AllowPrivate bool
	// Own are addresses that are refused although they are public: they lead to this
	// machine, behind its firewall. nil is none.
	Own *Own
	// Port reports whether this server itself listens on a port of this machine, which
	// [Guard.Requester] refuses. nil is no port. It may be called concurrently.
	Port func(port uint16) bool
}

// RefusedError is why an address is not connected to.
type RefusedError struct {
	Addr string // as it was given
	Why  string // what it is, such as "a loopback address"
}

func (e *RefusedError) Error() string { return fmt.Sprintf("%s is %s", e.Addr, e.Why) }

// Addr judges an IP address: nil if it may be connected to, else a
// [*RefusedError].
func (g Guard) Addr(ip netip.Addr) error {
	if why := g.why(ip); why != "" {
		return &RefusedError{Addr: ip.String(), Why: why}
	}
	return nil
}

// why says what a refused address is. It is "" for one that is not refused.
func (g Guard) why(ip netip.Addr) string {
	if g.AllowPrivate {
		return ""
	}
	if why := private(ip); why != "" {
		return why
	}
	if g.Own.has(plain(ip)) {
		return "an address of this machine"
	}
	return ""
}

// Public reports whether an address is one of the public internet.
func Public(ip netip.Addr) bool { return private(ip) == "" }

// private says what an address outside the public internet is. It is "" for one of the public
// internet.
func private(ip netip.Addr) string {
	if !ip.IsValid() {
		return "no address"
	}
	ip = plain(ip) // a prefix contains no address that has a zone
	for _, r := range refused {
		if r.prefix.Contains(ip) {
			return r.what
		}
	}
	if ip.Is6() && !globalUnicast.Contains(ip) {
		return "an address that nobody was assigned"
	}
	return ""
}

// plain gives an address in the form in which addresses are compared.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// globalUnicast is the part of IPv6 that addresses of the internet are
// assigned from; the rest is for special purposes or for the future.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// refused are the ranges outside the public internet: IANA's registries of
// special-purpose addresses, and multicast. A range comes before a wider one that contains
// it.
var refused = [...]struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private address"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private address"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private address"},
	{netip.MustParsePrefix("100.64.0.0/10"), "an address behind a carrier's NAT"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"}, // 169.254.169.254 is most clouds' metadata
	{netip.MustParsePrefix("168.63.129.16/32"), "an address of a cloud's metadata"},
	{netip.MustParsePrefix("0.0.0.0/32"), "the unspecified address"}, // connects to this host
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this network"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay's address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "an address for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "an address for documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"}, // broadcast, too

	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("::/128"), "the unspecified address"},
	{netip.MustParsePrefix("::/96"), "an IPv4-compatible address"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "an IPv4-translated address"},
	{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64 address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a NAT64 address"},
	{netip.MustParsePrefix("100::/64"), "an address that discards"},
	{netip.MustParsePrefix("2001::/32"), "a Teredo address"},
	{netip.MustParsePrefix("2001::/23"), "a reserved address"},
	{netip.MustParsePrefix("2001:db8::/32"), "an address for documentation"},
	{netip.MustParsePrefix("2002::/16"), "a 6to4 address"},
	{netip.MustParsePrefix("3fff::/20"), "an address for documentation"},
	{netip.MustParsePrefix("5f00::/16"), "a segment routing address"},
	{netip.MustParsePrefix("fc00::/7"), "a unique local address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}
