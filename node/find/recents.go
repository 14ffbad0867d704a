package find

import (
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// recentAddrs bounds the addresses that are kept of one peer.
const recentAddrs = 8

// Recents are the peers that delivered last: those who want something pinned
// often have what they want pinned next. Its methods may be called concurrently.
type Recents struct {
	most int

	mu    sync.Mutex
	peers []peer.AddrInfo // the last is the newest
}

// NewRecents keeps up to most peers.
func NewRecents(most int) *Recents { return &Recents{most: most} }

// Note makes a peer the newest. Without an address it is only moved, if it is
// there.
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
	if len(r.peers) > r.most {
		r.peers = slices.Delete(r.peers, 0, len(r.peers)-r.most)
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
