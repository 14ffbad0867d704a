package node

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// hangups reports the end of a peer's last connection to those that need the peer.
type hangups struct {
	mu      sync.Mutex
	waiting map[peer.ID]map[chan struct{}]struct{}
}

func newHangups(n network.Network) *hangups {
	h := &hangups{waiting: make(map[peer.ID]map[chan struct{}]struct{})}
	n.Notify(&network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if n.Connectedness(c.RemotePeer()) != network.Connected {
			h.tell(c.RemotePeer())
		}
	}})
	return h
}

// of gives a channel that gets a value when the peer hangs up, until done is called.
func (h *hangups) of(p peer.ID) (hungUp <-chan struct{}, done func()) {
	ch := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting[p] == nil {
		h.waiting[p] = make(map[chan struct{}]struct{})
	}
	h.waiting[p][ch] = struct{}{}
	return ch, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if delete(h.waiting[p], ch); len(h.waiting[p]) == 0 {
			delete(h.waiting, p)
		}
	}
}

func (h *hangups) tell(p peer.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.waiting[p] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
