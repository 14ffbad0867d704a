package node

import (
	"context"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"github.com/holdfast-ipfs/holdfast/node/guard"
)

// guardedFinder finds providers that may be dialled. What of their addresses may
// not is left out, so that it is not kept or tried at all; and who has none left
// does not count, so that records of hosts in other people's networks, of which
// there are many, do not stand in the way of others.
type guardedFinder struct {
	routing.ContentDiscovery
	guard     guard.Guard
	connected func(peer.ID) bool // who is so is given, with addresses or without
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
			named := len(p.Addrs) > 0 // else the host may know where it is
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
