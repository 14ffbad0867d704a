package node

import (
	"testing"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-msgio"
)

// listenBitswap has a host hear Bitswap's messages, and answer none.
func listenBitswap(h host.Host, got chan<- message.BitSwapMessage) {
	h.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) {
		defer s.Close()
		r := msgio.NewVarintReaderSize(s, network.MessageSizeMax)
		for {
			m, _, err := message.FromMsgReader(r)
			if err != nil {
				return
			}
			got <- m
		}
	})
}

// sendBitswap sends one message, on a stream of its own.
func sendBitswap(t *testing.T, h host.Host, to peer.ID, m message.BitSwapMessage) {
	t.Helper()
	s, err := h.NewStream(t.Context(), to, bsnet.ProtocolBitswap)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := m.ToNetV1(s); err != nil {
		t.Fatal(err)
	}
}
