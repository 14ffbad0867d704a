package room

import (
	"context"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

const (
	// decoded is how many bytes a node takes for each byte of its block, in dag-cbor or dag-json, with the
	// text that it is written as. A list of small maps takes most, 107 measured; a link or a text a few.
	decoded = 112
	// decodedMax bounds it: the decoders of go-ipld-prime give up a node of more entries.
	decodedMax = 128 << 20
	// decodedPB is the same of dag-pb, whose links are few beside that.
	decodedPB = 8
)

// Decoded is a block store whose blocks are going to be decoded. A call waits until its share has room for the
// node.
type Decoded struct {
	blockstore.Blockstore
	// Share gives the share of the call that a context belongs to.
	Share func(context.Context) *Share
}

// Get implements [blockstore.Blockstore]. Errors: those of [Share.Need] as well.
func (d Decoded) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := d.Blockstore.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	n := int64(len(b.RawData()))
	switch c.Type() {
	case cid.Raw:
		return b, nil
	case cid.DagProtobuf:
		n *= decodedPB
	default:
		n = min(n*decoded, decodedMax)
	}
	if n <= free {
		return b, nil
	}
	return b, d.Share(ctx).Need(ctx, n)
}
