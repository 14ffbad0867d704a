package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/walk"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// Connected peers are asked for a root at once, and have answered after this, which
	// is more than a round trip on one continent. Answers from further away count in a
	// later turn, which is longer.
	peersAnswer = 200 * time.Millisecond
	// With many peers a turn lasts this long for each. So 512 places ask all peers together
	// some 25,000 questions a second, whatever the number of peers. That is about 1 MB/s.
	eachAnswers = 20 * time.Millisecond
)

// rootAnswers gives how long so many peers take to answer whether they have a root.
func rootAnswers(peers int) time.Duration {
	return max(peersAnswer, time.Duration(peers)*eachAnswers)
}

// Fetch implements [pin.Engine]. A DAG with a denied block is refused, unless the DAG is
// being repaired: a complete DAG stays, whatever is denied later. If the denylist changes,
// the DAG is walked again from its root. That costs little, as the walk passes over what
// is whole, and it checks again what the old list allowed.
func (n *Node) Fetch(ctx context.Context, job pin.Job) (pin.Totals, error) {
	if n.cfg.Denylist == nil || job.Repair {
		return n.walk(ctx, job)
	}
	for {
		_, changed := n.cfg.Denylist.Changes()
		totals, err := n.walkUntil(ctx, job, changed)
		if errors.As(err, new(*pin.RefusedError)) {
			return pin.Totals{}, err
		}
		select {
		case <-changed:
		default:
			return totals, err
		}
		if ctx.Err() != nil || n.ctx.Err() != nil {
			return totals, err
		}
		job.Slot.Release() // the next walk does not know that it holds it
		job.Progress.Blocks.Store(0)
		job.Progress.Bytes.Store(0)
	}
}

// walkUntil walks a DAG once. It gives up when changed is closed.
func (n *Node) walkUntil(ctx context.Context, job pin.Job, changed <-chan struct{}) (pin.Totals, error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() {
		cancel()
		<-ended
	}()
	return n.walk(ctx, job)
}

// Drop implements [pin.Engine]: the store lets go.
func (n *Node) Drop(ctx context.Context, a pin.Attempt, _ pin.DAG) error { return n.store.Drop(ctx, a) }

// Room implements [pin.Engine]: it is the store's.
func (n *Node) Room(ctx context.Context, bytes uint64) error { return n.store.Room(ctx, bytes) }

// walk walks a DAG once.
func (n *Node) walk(ctx context.Context, job pin.Job) (pin.Totals, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)() // the node's Close ends it too

	if len(job.Origins) == 0 {
		job.Progress.SetAnswerTime(rootAnswers(len(n.host.Network().Peers())))
	}
	origins := n.startOrigins(ctx, job)
	defer origins.stop()
	defer cancel()
	session := n.bitswap.exchange.NewSession(string(job.DAG), peerIDs(job.Origins))
	defer session.Close()
	session.Use(origins.gateways)
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
		Durable: n.serveNew,
		Refuse:  refuse,
		Dir:     n.cfg.TempDir,
		Room:    n.store.RoomForTemp,
		Share:   &n.share,
		Logger:  n.log,
	}, job)
}

// serveNew sends blocks that something needs from now on to the peers that wait for them.
// Bitswap's server knows what a peer waits for by the CID that it wrote, so it is given the
// other version of each CID, too. It takes no bytes from here, but reads them when it sends
// them. So it is given zeros: as many as the block has, or what fills a message.
func (n *Node) serveNew(ctx context.Context, held ...walk.Held) error {
	bs := make([]blocks.Block, 0, len(held))
	for _, h := range held {
		for _, c := range []cid.Cid{h.CID, otherVersion(h.CID)} {
			if !c.Defined() {
				continue
			}
			b, err := blocks.NewBlockWithCid(zeros[:min(h.Size, len(zeros))], c) // it hashes nothing
			if err != nil {
				return err
			}
			bs = append(bs, b)
		}
	}
	return n.bitswap.server.NotifyNewBlocks(ctx, bs...)
}

var zeros [messageSize]byte

// otherVersion is a CIDv0 as a CIDv1, or the other way round; undefined if there is none.
func otherVersion(c cid.Cid) cid.Cid {
	p := c.Prefix()
	switch {
	case p.Version == 0:
		return cid.NewCidV1(p.Codec, c.Hash())
	case p.Codec == cid.DagProtobuf && p.MhType == multihash.SHA2_256 && p.MhLength == sha256.Size:
		return cid.NewCidV0(c.Hash())
	}
	return cid.Undef
}

// peerIDs gives the peers of multiaddrs that end in /p2p/ID.
func peerIDs(origins []pin.Origin) (ids []peer.ID) {
	for _, o := range origins {
		if ai, err := peer.AddrInfoFromString(o.Addr); err == nil { // else the pin's info says so
			ids = append(ids, ai.ID)
		}
	}
	return ids
}
