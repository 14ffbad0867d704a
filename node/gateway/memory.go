package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/ipfs/boxo/blockstore"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/path"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/internal/room"
)

// client is who all requests are in [Config.Room]: the gateway leaves memory for others.
const client = "gateway"

// bounded is a block store for boxo's readers, by which a request holds no more in memory than it may: the
// nodes of a file or a directory that is deep and wide, those on the way of a path, and a node of dag-cbor
// or dag-json, which takes far more than its block. Blocks are those of requests of this gateway.
func (c Config) bounded(b blockstore.Blockstore) blockstore.Blockstore {
	return held{Blockstore: room.Decoded{Blockstore: b, Share: shareOf}, links: c.Links}
}

// shareOf is the share of the request that a context belongs to; nil is without a limit.
func shareOf(ctx context.Context) *room.Share {
	if f, ok := ctx.Value(faultKey{}).(*fault); ok {
		return f.share
	}
	return nil
}

// held notes the nodes with links that a request holds.
type held struct {
	blockstore.Blockstore
	links func(c cid.Cid, data []byte) ([]cid.Cid, error)
}

// Get implements [blockstore.Blockstore].
func (h held) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := h.Blockstore.Get(ctx, c)
	f, ok := ctx.Value(faultKey{}).(*fault)
	if ok && err == nil && c.Type() == cid.DagProtobuf && len(b.RawData()) > 0 {
		b, err = h.open(ctx, f, b)
	}
	if err = tooMuch(err); ok {
		f.noteFull(err)
	}
	return b, err
}

// open notes a node. It gives its block with bytes of its own, which go with the node.
func (h held) open(ctx context.Context, f *fault, b blocks.Block) (blocks.Block, error) {
	links, err := h.links(b.Cid(), b.RawData())
	if err != nil || len(links) == 0 {
		return b, nil // boxo finds out itself what is wrong with it
	}
	data := bytes.Clone(b.RawData())
	if way, ok := ctx.Value(wayKey{}).(*atomic.Int64); ok {
		if way.Add(room.NodeMemory(len(data), len(links))) > room.MaxOpen {
			return nil, &room.TooDeepError{Max: room.MaxOpen}
		}
	}
	if b, err = blocks.NewBlockWithCid(data, b.Cid()); err != nil {
		return nil, err
	}
	return b, f.held.Open(room.Gone(&data[0]), len(data), len(links))
}

// tooMuch makes an error of a lack of memory one that boxo answers with a status.
func tooMuch(err error) error {
	if !isTooMuch(err) {
		return err
	}
	return boxo.NewErrorStatusCode(err, statusOf(err))
}

// statusOf is the status of a lack of memory.
func statusOf(err error) int {
	if errors.Is(err, room.ErrFull) {
		return http.StatusServiceUnavailable
	}
	return http.StatusUnprocessableEntity
}

// noteFull notes a refusal of [tooMuch].
func (f *fault) noteFull(err error) {
	if !isTooMuch(err) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missed = true
	if f.full == nil {
		f.full = cmp.Or(errors.Unwrap(err), err) // without a status
	}
}

// isTooMuch reports whether an error is of a lack of memory.
func isTooMuch(err error) bool {
	_, deep := errors.AsType[*room.TooDeepError](err)
	return deep || errors.Is(err, room.ErrFull)
}

// refusal gives the first refusal for want of memory; nil is none.
func (f *fault) refusal() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}

type wayKey struct{}

// resolve finds what a path leads to. The nodes on the way are held together.
func (b *backend) resolve(ctx context.Context, p path.ImmutablePath) (boxo.ContentPathMetadata, error) {
	return b.BlocksBackend.ResolvePath(context.WithValue(ctx, wayKey{}, new(atomic.Int64)), p)
}
