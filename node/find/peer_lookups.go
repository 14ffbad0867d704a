package find

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// What one lookup may take. In the public DHT nine of ten have ended after 10 s.
	peerLookupTime = 15 * time.Second
	// What was found is not looked up again for so long: an address that has just failed
	// may work at the next try.
	peerFresh = time.Minute
	// A peer that was not found is not looked up again for so long, and then for twice as
	// long each time.
	peerAgain    = 15 * time.Second
	peerAgainMax = 10 * time.Minute
	// Of so many peers it is remembered what was found, and when.
	peersKnown = 4096
)

// ErrUnknownPeer: nobody who was asked knows an address of the peer.
var ErrUnknownPeer = errors.New("nobody who was asked knows an address of the peer")

// PeerSource finds addresses of a peer. An error, and no address, both mean that it knows
// none. It has to end soon after its context does.
type PeerSource func(context.Context, peer.ID) ([]ma.Multiaddr, error)

// PeerLookups finds addresses of peers by their IDs, for all who need some: a peer is looked up
// once at a time, and what was found, or that nothing was, is remembered for a while. How
// many peers are looked up at the same time is for the callers to bound, such as by
// [Lookups]. Its methods may be called concurrently.
type PeerLookups struct {
	sources []PeerSource
	now     func() time.Time

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards what follows, and all that is known of peers
	closed bool
	known  *lru.Cache[peer.ID, *peerKnown]
}

var _ routing.ContentDiscovery = (*PeerLookups)(nil)

// peerKnown is what is known of one peer.
type peerKnown struct {
	addrs  []ma.Multiaddr
	failed int           // lookups in a row that found nothing
	until  time.Time     // it is not looked up before
	some   chan struct{} // closed when the lookup that runs has found something, or has ended; nil if none runs
}

// NewPeerLookups makes one. The caller closes it, before its sources. now is the clock; nil is
// time.Now.
func NewPeerLookups(now func() time.Time, sources ...PeerSource) *PeerLookups {
	if now == nil {
		now = time.Now
	}
	ps := &PeerLookups{sources: sources, now: now}
	ps.known, _ = lru.New[peer.ID, *peerKnown](peersKnown) // fails for a size below 1 alone
	ps.ctx, ps.cancel = context.WithCancel(context.Background())
	return ps
}

// Close ends all lookups and waits for them. It may be called twice.
func (ps *PeerLookups) Close() {
	ps.mu.Lock()
	ps.closed = true
	ps.mu.Unlock()
	ps.cancel()
	ps.wg.Wait()
}

// Find gives the addresses of a peer that are known so far, as soon as there is one. They
// are hearsay, and nobody has asked yet whether they may be dialled. Errors:
// ErrUnknownPeer, also while it is too soon to look the peer up again; the context's.
func (ps *PeerLookups) Find(ctx context.Context, p peer.ID) ([]ma.Multiaddr, error) {
	ps.mu.Lock()
	k, ok := ps.known.Get(p)
	if !ok {
		k = new(peerKnown)
		ps.known.Add(p, k)
	}
	if k.some == nil && !ps.closed && !ps.now().Before(k.until) {
		some := make(chan struct{})
		k.some = some
		ps.wg.Go(func() { ps.lookUp(p, k) })
	}
	some := k.some
	ps.mu.Unlock()
	if some != nil {
		select {
		case <-some:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(k.addrs) == 0 {
		return nil, fmt.Errorf("%s: %w", p, ErrUnknownPeer)
	}
	return slices.Clone(k.addrs), nil
}

// FindProvidersAsync gives a peer and its addresses, for the CID that its ID is
// ([peer.ToCid]): so [Lookups] can share out the lookups of peers, too.
func (ps *PeerLookups) FindProvidersAsync(ctx context.Context, c cid.Cid, _ int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo, 1)
	go func() { // ends with ctx, or with the lookup
		defer close(out)
		p, err := peer.FromCid(c)
		if err != nil {
			return
		}
		if addrs, err := ps.Find(ctx, p); err == nil {
			out <- peer.AddrInfo{ID: p, Addrs: addrs}
		}
	}()
	return out
}

// lookUp asks all sources, and is done when all have answered.
func (ps *PeerLookups) lookUp(p peer.ID, k *peerKnown) {
	defer ps.ended(k)
	ps.mu.Lock()
	k.addrs = nil
	ps.mu.Unlock()
	ctx, cancel := context.WithTimeout(ps.ctx, peerLookupTime)
	defer cancel()
	var asked sync.WaitGroup
	for _, source := range ps.sources {
		asked.Go(func() {
			addrs, err := source(ctx, p)
			if err == nil {
				ps.found(k, addrs[:min(len(addrs), maxAddrs)])
			}
		})
	}
	asked.Wait()
}

// found adds what one source knows.
func (ps *PeerLookups) found(k *peerKnown, addrs []ma.Multiaddr) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	had := len(k.addrs) > 0
	for _, a := range addrs {
		if len(a) > 0 && !ma.Contains(k.addrs, a) {
			k.addrs = append(k.addrs, a)
		}
	}
	if !had && len(k.addrs) > 0 {
		close(k.some)
	}
}

// ended says when the peer may be looked up again.
func (ps *PeerLookups) ended(k *peerKnown) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	some := k.some
	k.some = nil
	if len(k.addrs) > 0 {
		k.failed, k.until = 0, ps.now().Add(peerFresh)
		return
	}
	k.until = ps.now().Add(min(peerAgain<<min(k.failed, 10), peerAgainMax))
	k.failed++
	close(some)
}
