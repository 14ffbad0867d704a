package find

import (
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// recentAddrs is how many addresses of one peer are kept.
const recentAddrs = 8

// Recents are the peers that delivered last. Whoever has something pinned often has what is
// pinned next. Its methods may be called concurrently.
type Recents struct {
	limit int

	mu    sync.Mutex
	peers []peer.AddrInfo // the last is the newest
}

// NewRecents keeps up to limit peers.
func NewRecents(limit int) *Recents { return &Recents{limit: limit} }

// Note makes a peer the newest. A peer without an address is only moved, if it is there.
func (r *Recents) Note(ai peer.AddrInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.peers, func(have peer.AddrInfo) bool { return have.ID == ai.ID })
	if len(ai.Addrs) == 0 && i < 0 || ai.ID == "" {
		return
	}
	if i >= 0 {
		if len(ai.Addrs) == 0 {
			ai = r.peers[i]
		}
		r.peers = slices.Delete(r.peers, i, i+1)
	}
	ai.Addrs = slices.Clone(ai.Addrs[:min(len(ai.Addrs), recentAddrs)])
	r.peers = append(r.peers, ai)
	if len(r.peers) > r.limit {
		r.peers = slices.Delete(r.peers, 0, len(r.peers)-r.limit)
	}
}

// List gives the peers, the newest first.
func (r *Recents) List() []peer.AddrInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := slices.Clone(r.peers)
	slices.Reverse(out)
	return out
}
