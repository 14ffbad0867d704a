package node

import (
	"context"

	"github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/find"
	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// fairFinder finds providers for the exchange. Sessions are about DAGs, which take turns.
type fairFinder struct{ lookups *find.Lookups }

func (f fairFinder) Find(ctx context.Context, about string, c cid.Cid) <-chan peer.AddrInfo {
	return f.lookups.Find(ctx, pin.DAG(about), c)
}

// redialsAtOnce is how many peers are looked up for newer addresses at the same time. Each
// is a lookup in the DHT of its own. Beyond that peers are not looked up.
const redialsAtOnce = 4

// redialler is Bitswap's network, but looks a peer up that does not answer, and dials it at
// its newer addresses: a provider record may be a day old.
type redialler struct {
	network.BitSwapNetwork
	guard    guard.Guard
	findPeer func(context.Context, peer.ID) ([]ma.Multiaddr, error)
	places   chan struct{}
}

func newRedialler(n network.BitSwapNetwork, g guard.Guard, findPeer func(context.Context, peer.ID) ([]ma.Multiaddr, error)) redialler {
	return redialler{n, g, findPeer, make(chan struct{}, redialsAtOnce)}
}

// Connect connects to a peer, at the addresses given or at newer ones.
func (r redialler) Connect(ctx context.Context, ai peer.AddrInfo) error {
	if len(ai.Addrs) > 0 {
		if ai.Addrs = overLibp2p(ai.Addrs); len(ai.Addrs) == 0 {
			return nil // it is asked over HTTP alone
		}
	}
	err := r.BitSwapNetwork.Connect(ctx, ai)
	if err == nil {
		return nil
	}
	select {
	case r.places <- struct{}{}:
		defer func() { <-r.places }()
	default:
		return err
	}
	addrs, notFound := r.findPeer(ctx, ai.ID)
	if notFound != nil {
		return err
	}
	fresh := ma.FilterAddrs(r.guard.Filter(addrs), func(a ma.Multiaddr) bool { return !ma.Contains(ai.Addrs, a) })
	if len(fresh) == 0 {
		return err
	}
	return r.BitSwapNetwork.Connect(ctx, peer.AddrInfo{ID: ai.ID, Addrs: fresh})
}

// overLibp2p leaves out addresses at which only HTTP is spoken.
func overLibp2p(addrs []ma.Multiaddr) []ma.Multiaddr {
	return ma.FilterAddrs(addrs, func(a ma.Multiaddr) bool { return !isHTTP(a) })
}

// isHTTP reports whether an address is one of an HTTP server, such as
// /dns4/example.com/tcp/443/tls/http or /dns4/example.com/tcp/443/https.
func isHTTP(a ma.Multiaddr) bool {
	for _, p := range []int{ma.P_HTTP, ma.P_HTTPS} {
		if _, err := a.ValueForProtocol(p); err == nil {
			return true
		}
	}
	return false
}
