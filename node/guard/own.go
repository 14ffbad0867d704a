package guard

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-netroute"
)

// ownAge is how old what is known of the interfaces may be: addresses change when a
// lease does, or an operator changes them.
const ownAge = 10 * time.Second

// Own knows the addresses of this machine, and of the routers that it sends by. nil knows
// none. Methods may be called concurrently.
type Own struct {
	list      func() ([]net.Addr, error)
	routersOf func() []netip.Addr // nil: there are none

	mu      sync.Mutex
	read    time.Time // zero is never
	addrs   map[netip.Addr]struct{}
	routers map[netip.Addr]struct{}
}

// Interfaces gives the addresses of this machine's interfaces and those of the routers to
// the internet, as they were 10 s ago at the earliest. While the interfaces cannot be read
// those that were read last hold.
func Interfaces() *Own { return &Own{list: net.InterfaceAddrs, routersOf: defaultRouters} }

// defaultRouters looks into the routing table, and sends nothing. What forwards
// connections to this machine, and puts its own address in the place of their senders',
// has one of these addresses: the host of a container, or a router at home.
func defaultRouters() (all []netip.Addr) {
	table, err := netroute.New()
	if err != nil {
		return nil // this system's table cannot be read
	}
	for _, there := range []string{"1.1.1.1", "2606:4700:4700::1111"} { // any address of the internet
		_, gateway, _, err := table.Route(net.ParseIP(there))
		if err != nil {
			continue // there is no way to it
		}
		if ip, ok := netip.AddrFromSlice(gateway); ok {
			all = append(all, plain(ip))
		}
	}
	return all
}

// has reports whether an address, without a zone and unmapped, is one of them.
func (o *Own) has(ip netip.Addr) bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refresh()
	_, ok := o.addrs[ip]
	return ok
}

// isRouter reports whether an address, without a zone and unmapped, is a router's.
func (o *Own) isRouter(ip netip.Addr) bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.refresh()
	_, ok := o.routers[ip]
	return ok
}

// refresh reads what is too old. The lock is held.
func (o *Own) refresh() {
	if time.Since(o.read) > ownAge {
		if all, err := o.list(); err == nil {
			o.addrs = make(map[netip.Addr]struct{}, len(all))
			for _, a := range all {
				if p, err := netip.ParsePrefix(a.String()); err == nil { // as net.IPNet writes it
					o.addrs[plain(p.Addr())] = struct{}{}
				}
			}
		}
		o.routers = make(map[netip.Addr]struct{})
		if o.routersOf != nil {
			for _, ip := range o.routersOf() {
				o.routers[ip] = struct{}{}
			}
		}
		o.read = time.Now()
	}
}
