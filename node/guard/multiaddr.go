package guard

import (
	"net/netip"

	ma "github.com/multiformats/go-multiaddr"
)

// Hint judges a multiaddr as a stranger gave it, with nothing resolved yet. A name passes:
// what it leads to is judged when it is dialled. An address through a relay that is known by
// its peer ID alone passes too, since the relay itself has to be dialled first. Errors:
// [*RefusedError].
func (g Guard) Hint(a ma.Multiaddr) error { return g.multiaddr(a, true) }

// Dial judges a multiaddr that libp2p is about to dial, after names were resolved. An address
// that still begins with a name is refused: if it were resolved later, nothing would judge
// the result. The exception is an address through a relay: libp2p resolves it, and asks,
// when it dials the relay. Errors: [*RefusedError].
func (g Guard) Dial(a ma.Multiaddr) error { return g.multiaddr(a, false) }

// Filter gives the addresses that Hint lets pass.
func (g Guard) Filter(addrs []ma.Multiaddr) []ma.Multiaddr {
	if g.AllowPrivate {
		return addrs
	}
	var out []ma.Multiaddr
	for _, a := range addrs {
		if g.Hint(a) == nil {
			out = append(out, a)
		}
	}
	return out
}

func (g Guard) multiaddr(a ma.Multiaddr, names bool) error {
	if g.AllowPrivate {
		return nil
	}
	refuse := func(why string) error { return &RefusedError{Addr: a.String(), Why: why} }
	relayed := false
	for _, c := range a {
		relayed = relayed || c.Protocol().Code == ma.P_CIRCUIT
	}
	if len(a) == 0 {
		return refuse("no address")
	}
	switch a[0].Protocol().Code {
	case ma.P_IP4, ma.P_IP6:
	case ma.P_IP6ZONE:
		return refuse("an address within one link")
	case ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR:
		if !names && !relayed {
			return refuse("a name that was not resolved")
		}
	case ma.P_P2P:
		if !relayed {
			return refuse("no address")
		}
	default: // a Unix socket, another network
		return refuse("no address of the internet")
	}
	// Behind the first component there should be no address but one for a relay. All are
	// judged.
	for _, c := range a {
		var ip netip.Addr
		switch c.Protocol().Code {
		case ma.P_IP4, ma.P_IP6:
			ip, _ = netip.AddrFromSlice(c.RawValue())
		case ma.P_DNS, ma.P_DNS4, ma.P_DNS6, ma.P_DNSADDR:
			var err error
			if ip, err = netip.ParseAddr(c.Value()); err != nil {
				continue // a name
			}
		default:
			continue
		}
		if why := g.why(ip); why != "" {
			return refuse(why)
		}
	}
	return nil
}
