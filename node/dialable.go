package node

import (
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// nonPublic are the ranges outside the public internet that netip.Addr has no
// method for (IANA special-purpose registries).
func nonPublic() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),       // this network
		netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
		netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation
		netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays, withdrawn
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
		netip.MustParsePrefix("64:ff9b:1::/48"),  // NAT64, local use
		netip.MustParsePrefix("100::/64"),        // discard
		netip.MustParsePrefix("2001::/23"),       // protocol assignments
		netip.MustParsePrefix("2001:db8::/32"),   // documentation
		netip.MustParsePrefix("3fff::/20"),       // documentation
		netip.MustParsePrefix("5f00::/16"),       // segment routing
		netip.MustParsePrefix("fec0::/10"),       // site-local, withdrawn
	}
}

// publicIP reports whether an address is one of the public internet. Addresses
// that carry an IPv4 address (mapped, NAT64, 6to4) are as public as that.
func publicIP(ip netip.Addr) bool {
	ip = ip.Unmap()
	if v4, ok := embeddedIPv4(ip); ok {
		return publicIP(v4)
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false // unspecified, loopback, link-local, multicast, RFC 1918, ULA
	}
	for _, p := range nonPublic() {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// embeddedIPv4 gives the IPv4 address that packets to a NAT64 or 6to4 address
// end up at.
func embeddedIPv4(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// dialable reports whether an address may be dialled while private addresses
// may not: one of the public internet, or a name, whose addresses are judged
// one by one after it is resolved.
func dialable(addr ma.Multiaddr) bool {
	if len(addr) == 0 {
		return false
	}
	switch addr[0].Protocol().Code {
	case ma.P_IP4, ma.P_IP6:
		ip, err := manet.ToIP(addr)
		if err != nil {
			return false
		}
		n, ok := netip.AddrFromSlice(ip)
		return ok && publicIP(n)
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR:
		return true
	}
	return false // an IPv6 zone is link-local; nothing else leads out
}
