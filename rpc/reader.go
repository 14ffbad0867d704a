package rpc

import (
	"context"
	"errors"
	"sync"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	_ "github.com/ipld/go-ipld-prime/codec/cbor"    // dag/get writes and
	_ "github.com/ipld/go-ipld-prime/codec/dagcbor" // reads these codecs
	_ "github.com/ipld/go-ipld-prime/codec/dagjson"
	_ "github.com/ipld/go-ipld-prime/codec/json"
	_ "github.com/ipld/go-ipld-prime/codec/raw"

	"github.com/holdfast-ipfs/holdfast/internal/faults"
	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// reader reads blocks for one call. It is boxo's view of them, and notes what is the
// store's fault: boxo does not always pass errors on as they are.
type reader struct {
	blocks  blockservice.BlockService
	decoded blockservice.BlockService // of blocks that become nodes
	dag     ipld.DAGService
	share   *room.Share // of the memory that all calls have
	held    *room.Nodes // of files and directories that are open

	mu    sync.Mutex
	fault error // the first of the store's
}

func newReader(b blockstore.Blockstore, share *room.Share) *reader {
	r := &reader{share: share, held: room.NewNodes(share, room.MaxOpen)}
	stored := noted{b, r}
	r.blocks = blockservice.New(stored, offline.Exchange(stored))
	become := room.Decoded{Blockstore: stored, Share: func(context.Context) *room.Share { return share }}
	r.decoded = blockservice.New(become, offline.Exchange(become))
	r.dag = readOnly{merkledag.NewReadOnlyDagService(merkledag.NewDAGService(r.decoded))}
	return r
}

// block reads a block.
func (r *reader) block(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	return r.blocks.GetBlock(ctx, c)
}

// blame finds whose fault an error of a command is: the store's, or else the content's or
// the request's.
func (r *reader) blame(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	if fault != nil {
		return fault
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// content makes an error of boxo's, which is about the content unless it is known.
func content(err error) error {
	if err == nil || failureOf(context.Background(), context.Background(), err) != nil {
		return err
	}
	if _, panicked := errors.AsType[*faults.PanicError](err); panicked {
		return err
	}
	return cannot("%v", err)
}

// noted is a block store whose faults are noted. Its panics are errors: boxo reads blocks
// in goroutines of its own.
type noted struct {
	blockstore.Blockstore
	reader *reader
}

func (n noted) Has(ctx context.Context, c cid.Cid) (has bool, err error) {
	defer n.note(ctx, &err)
	return n.Blockstore.Has(ctx, c)
}

func (n noted) Get(ctx context.Context, c cid.Cid) (b blocks.Block, err error) {
	defer n.note(ctx, &err)
	return n.Blockstore.Get(ctx, c)
}

func (n noted) GetSize(ctx context.Context, c cid.Cid) (size int, err error) {
	defer n.note(ctx, &err)
	return n.Blockstore.GetSize(ctx, c)
}

// note is for defer.
func (n noted) note(ctx context.Context, err *error) {
	if p := faults.Recovered(recover()); p != nil {
		*err = p
	}
	if *err == nil || ipld.IsNotFound(*err) || ctx.Err() != nil {
		return
	}
	n.reader.mu.Lock()
	defer n.reader.mu.Unlock()
	if n.reader.fault == nil {
		n.reader.fault = *err
	}
}

// readOnly reads nodes. A codec's panic is an error, also in the goroutine of GetMany.
type readOnly struct{ ipld.DAGService }

func (d readOnly) Get(ctx context.Context, c cid.Cid) (nd ipld.Node, err error) {
	defer func() {
		if p := faults.Recovered(recover()); p != nil {
			nd, err = nil, p
		}
	}()
	if nd, err = d.DAGService.Get(ctx, c); err != nil && !pin.CanRead(c.Type()) {
		return nil, cannot("%v", err)
	}
	return nd, err
}

func (d readOnly) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	return getEach(ctx, cids, d.Get)
}

// getEach gets one node after the other.
func getEach(ctx context.Context, cids []cid.Cid, get func(context.Context, cid.Cid) (ipld.Node, error)) <-chan *ipld.NodeOption {
	found := make(chan *ipld.NodeOption)
	go func() {
		defer close(found)
		for _, c := range cids {
			nd, err := get(ctx, c)
			select {
			case found <- &ipld.NodeOption{Node: nd, Err: err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return found
}
