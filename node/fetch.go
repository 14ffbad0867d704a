package node

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// walk walks a DAG once.
func (n *Node) walk(ctx context.Context, job pin.Job) (pin.Totals, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)() // the node's Close ends it too

	origins := n.startOrigins(ctx, job)
	defer origins.stop()
	defer cancel()
	session := n.bitswap.exchange.NewSession(string(job.DAG), peerIDs(job.Origins))
	defer session.Close()
	defer func() {
		for _, p := range session.Providers() {
			n.remember(p)
		}
	}()
	refuse := n.refuse()
	if job.Repair {
		refuse = nil
	}
	return walk.Run(ctx, walk.Config{
		Store:   n.store,
		Asker:   session,
		Durable: n.bitswap.server.NotifyNewBlocks,
		Refuse:  refuse,
		Dir:     n.cfg.TempDir,
		Share:   &n.share,
		Logger:  n.log,
	}, job)
}

// peerIDs gives the peers of multiaddrs that end in /p2p/ID.
func peerIDs(addrs []string) (ids []peer.ID) {
	for _, s := range addrs {
		if ai, err := peer.AddrInfoFromString(s); err == nil { // else it was checked where it came in
			ids = append(ids, ai.ID)
		}
	}
	return ids
}
