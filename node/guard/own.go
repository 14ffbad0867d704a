package guard

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// ownAge is how old what is known of the interfaces may be: addresses change when a
// lease does, or an operator changes them.
const ownAge = 10 * time.Second

// Own knows the addresses of this machine. nil knows none. Methods may be called
// concurrently.
type Own struct {
	list func() ([]net.Addr, error)

	mu    sync.Mutex
	read  time.Time // zero is never
	addrs map[netip.Addr]struct{}
}

// Interfaces gives the addresses of this machine's interfaces, as they were 10 s ago
// at the earliest. While they cannot be read those that were read last hold.
func Interfaces() *Own { return &Own{list: net.InterfaceAddrs} }

// has reports whether an address, without a zone and unmapped, is one of them.
func (o *Own) has(ip netip.Addr) bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.read) > ownAge {
		if all, err := o.list(); err == nil {
			o.addrs = make(map[netip.Addr]struct{}, len(all))
			for _, a := range all {
				if p, err := netip.ParsePrefix(a.String()); err == nil { // as net.IPNet writes it
					o.addrs[plain(p.Addr())] = struct{}{}
				}
			}
		}
		o.read = time.Now()
	}
	_, ok := o.addrs[ip]
	return ok
}
