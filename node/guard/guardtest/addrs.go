package guardtest

import (
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
)

// Address is an address that strangers may name, and must not be connected to.
type Address struct {
	Addr netip.Addr
	Why  string // a part of what the guard says of it
}

// Hostile lists addresses of every range outside the public internet, the first
// and the last of the larger ones among them, and ways of writing them in IPv6.
func Hostile() []Address {
	var all []Address
	add := func(why string, addrs ...string) {
		for _, s := range addrs {
			all = append(all, Address{netip.MustParseAddr(s), why})
		}
	}
	add("unspecified", "0.0.0.0", "::", "::ffff:0.0.0.0")
	add("this network", "0.0.0.1", "0.255.255.255")
	add("loopback", "127.0.0.1", "127.0.0.0", "127.1.2.3", "127.255.255.255", "::1", "::ffff:127.0.0.1")
	add("private", "10.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.0", "172.16.0.1", "172.31.255.255",
		"192.168.0.0", "192.168.1.1", "192.168.255.255", "::ffff:10.0.0.1", "::ffff:172.16.0.1", "::ffff:192.168.1.1")
	add("carrier", "100.64.0.0", "100.64.0.1", "100.100.100.200", "100.127.255.255", "::ffff:100.64.0.1")
	add("link-local", "169.254.0.0", "169.254.169.254", "169.254.255.255", "::ffff:169.254.169.254",
		"fe80::1", "fe80::1%eth0", "febf:ffff::1")
	add("metadata", "168.63.129.16", "::ffff:168.63.129.16")
	add("unique local", "fc00::", "fc00::1", "fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	add("site-local", "fec0::1", "feff::1")
	add("multicast", "224.0.0.0", "224.0.0.1", "239.255.255.255", "ff00::", "ff02::1", "ff0e::1", "::ffff:224.0.0.1")
	add("reserved", "192.0.0.1", "192.0.0.192", "240.0.0.0", "240.0.0.1", "255.255.255.255", "::ffff:240.0.0.1",
		"2001:1::1", "2001:1ff:ffff::1")
	add("documentation", "192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "3fff:fff::1")
	add("benchmarks", "198.18.0.1", "198.19.255.255")
	add("6to4 relay", "192.88.99.1")
	// Also those whose IPv4 address is a public one.
	add("NAT64", "64:ff9b::", "64:ff9b::10.0.0.1", "64:ff9b::1.1.1.1", "64:ff9b::ffff:ffff",
		"64:ff9b:1::", "64:ff9b:1::10.0.0.1", "64:ff9b:1:ffff::1.1.1.1")
	add("6to4", "2002::", "2002:a00:1::1", "2002:7f00:1::1", "2002:101:101::1", "2002:ffff:ffff::1")
	add("Teredo", "2001::1", "2001:0:101:101::1")
	add("IPv4-compatible", "::127.0.0.1", "::10.0.0.1", "::1.1.1.1")
	add("IPv4-translated", "::ffff:0:127.0.0.1", "::ffff:0:1.1.1.1")
	add("discards", "100::1")
	add("segment routing", "5f00::1")
	add("nobody was assigned", "1::1", "64:ff9b:2::1", "4000::1", "8000::1", "fbff::1")
	return all
}

// Own is a public address that is this machine's own in a network of [Isolated].
var Own = netip.MustParseAddr("9.9.9.9")

// Public lists addresses that may be connected to, those next to a range that
// may not among them.
func Public() []netip.Addr {
	var all []netip.Addr
	for _, s := range []string{
		"1.0.0.0", "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
		"128.0.0.0", "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
		"192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
		"198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"::ffff:1.1.1.1", "2001:200::1", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700::1111", "2a00:1450::1",
		"3ffe::1", "3fff:1000::1",
	} {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// Multiaddr writes an address as libp2p does, in front of the rest.
func Multiaddr(ip netip.Addr, rest string) ma.Multiaddr {
	switch {
	case ip.Zone() != "":
		return ma.StringCast("/ip6zone/" + ip.Zone() + "/ip6/" + ip.WithZone("").String() + rest)
	case ip.Is4():
		return ma.StringCast("/ip4/" + ip.String() + rest)
	}
	return ma.StringCast("/ip6/" + ip.String() + rest)
}
