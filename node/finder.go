package node

import (
	"context"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/holdfast-ipfs/holdfast/node/guard"
)

// guardedFinder finds providers that may be dialled. It leaves out addresses that may not
// be dialled, so that they are neither kept nor tried. A provider without any other address
// does not count: there are many records of hosts in private networks, which would stand in
// the way of the others.
type guardedFinder struct {
	routing.ContentDiscovery
	guard     guard.Guard
	connected func(peer.ID) bool // peers that are connected count in any case
}

// FindProvidersAsync implements [routing.ContentDiscovery].
func (f guardedFinder) FindProvidersAsync(ctx context.Context, c cid.Cid, most int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo)
	go func() { // ends when the search does, which ctx ends
		defer close(out)
		ctx, cancel := context.WithCancel(ctx)
		found := f.ContentDiscovery.FindProvidersAsync(ctx, c, 0)
		defer func() {
			cancel()
			for range found { // it closes soon, and must not wait for us
			}
		}()
		given := 0
		for p := range found {
			named := len(p.Addrs) > 0 // else the host may know an address
			if p.Addrs = f.guard.Filter(p.Addrs); named && len(p.Addrs) == 0 && !f.connected(p.ID) {
				continue
			}
			select {
			case out <- p:
			case <-ctx.Done():
				return
			}
			if given++; given == most {
				return
			}
		}
	}()
	return out
}
