package rpc

import (
	"context"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/internal/room"
)

// What is held of a DAG counts with so many bytes: an entry of a list beside its texts, a CID that is
// remembered, and a link that a walk has not followed yet.
const (
	entryMemory = 256
	seenMemory  = 100
	heldMemory  = 64
)

// high is what a call needs of its share for something that grows, and then is kept.
type high struct {
	share *room.Share
	bytes int64
}

// to says that it has so many bytes now. Errors: room.ErrFull.
func (h *high) to(bytes int) error {
	more := int64(bytes) - h.bytes
	if more <= 0 {
		return nil
	}
	if err := h.share.Grow(more); err != nil {
		return err
	}
	h.bytes += more
	return nil
}

// openNodes reads nodes, and fails when too many of those that have links are held at a time.
type openNodes struct {
	ipld.DAGService
	held *room.Nodes
}

func (o *openNodes) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	nd, err := o.DAGService.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	if links := nd.Links(); len(links) > 0 {
		err = o.held.Open(room.Gone(links[0]), len(nd.RawData()), len(links))
	}
	return nd, err
}

// GetMany implements [ipld.NodeGetter].
func (o *openNodes) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	return getEach(ctx, cids, o.Get)
}
