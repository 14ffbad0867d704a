package cluster

import (
	"net/netip"
	"strings"
)

// Delegates are addresses of the nodes, where clients that have the content may connect to: of
// each node in turn, so that a client that tries a few tries several nodes.
func (e *Engine) Delegates() (all []string) {
	var lists [][]string
	for _, p := range e.peers {
		if is, _ := p.state(); is.Node.ID != "" {
			lists = append(lists, dialable(is.Node.Addresses, is.Node.ID))
		}
	}
	if len(lists) == 0 {
		return e.cfg.Delegates
	}
	for i := 0; ; i++ {
		more := false
		for _, l := range lists {
			if i < len(l) {
				all, more = append(all, l[i]), true
			}
		}
		if !more {
			return all
		}
	}
}

// dialable are the addresses of a node that others may reach, each with its ID at the end. Those
// of the host alone come last: they are all there is on one machine.
func dialable(addrs []string, id string) (all []string) {
	var local []string
	for _, a := range addrs {
		if !strings.Contains(a, "/p2p/") {
			a += "/p2p/" + id
		}
		if isLoopback(a) {
			local = append(local, a)
		} else {
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		return local
	}
	return all
}

// isLoopback reports whether a multiaddr is one of the host alone.
func isLoopback(addr string) bool {
	parts := strings.SplitN(addr, "/", 4)
	if len(parts) < 3 {
		return false
	}
	ip, err := netip.ParseAddr(parts[2])
	return err == nil && ip.IsLoopback()
}
