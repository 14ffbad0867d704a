package upload

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// nodes is a sink as boxo's builders use it. What they read has the builder of the upload, so
// that a node which is read and changed gets the CID that it would have got at first.
type nodes struct {
	sink    Sink
	builder cid.Builder
}

var _ ipld.DAGService = nodes{}

// Add implements [ipld.NodeAdder].
func (n nodes) Add(ctx context.Context, nd ipld.Node) error {
	return n.sink.Put(ctx, nd.Cid(), nd.RawData())
}

// AddMany implements [ipld.NodeAdder].
func (n nodes) AddMany(ctx context.Context, all []ipld.Node) error {
	for _, nd := range all {
		if err := n.Add(ctx, nd); err != nil {
			return err
		}
	}
	return nil
}

// Get implements [ipld.NodeGetter].
func (n nodes) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	data, err := n.sink.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return nil, err
	}
	if c.Type() == cid.Raw {
		return merkledag.DecodeRawBlock(b)
	}
	nd, err := merkledag.DecodeProtobufBlock(b)
	if err != nil {
		return nil, err
	}
	pb, ok := nd.(*merkledag.ProtoNode)
	if !ok {
		return nil, fmt.Errorf("block %s is no node of dag-pb", c)
	}
	return pb, pb.SetCidBuilder(n.builder)
}

// GetMany implements [ipld.NodeGetter].
func (n nodes) GetMany(ctx context.Context, all []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(all))
	defer close(out)
	for _, c := range all {
		nd, err := n.Get(ctx, c)
		out <- &ipld.NodeOption{Node: nd, Err: err}
	}
	return out
}

// errKept: a sink lets go of nothing.
var errKept = errors.New("what was put stays")

// Remove implements [ipld.DAGService]. Nobody calls it.
func (nodes) Remove(context.Context, cid.Cid) error { return errKept }

// RemoveMany implements [ipld.DAGService]. Nobody calls it.
func (nodes) RemoveMany(context.Context, []cid.Cid) error { return errKept }
