// Package client says which addresses count as one client.
package client

import "net/netip"

// Network returns what limits count as one client: an IPv4 address, or an IPv6 network of 64
// bits, which is what one customer has. It ignores the zone of an address.
func Network(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
