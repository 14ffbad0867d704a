package rpc

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"weak"

	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

const (
	// maxOpen is what one call may hold in memory of nodes that have links. Who reads a file or a
	// directory holds those on the way to the place where it reads, and some beside them. With 16,384
	// links in each, the most that can be uploaded, that is 40 MiB.
	maxOpen = 64 << 20
	// linkMemory is what a link takes in memory beside its bytes in the block.
	linkMemory = 128
)

// openNodes reads nodes, and fails when too many of those that have links are held at a time. The maker
// of a DAG chooses how deep it is, and boxo's readers hold all nodes on the way down.
type openNodes struct {
	ipld.DAGService
	max int // bytes that may be held

	mu    sync.Mutex
	nodes []openNode
	bytes int // of nodes
}

// openNode is a node that was read. It is not held any more when its links are gone.
type openNode struct {
	link  weak.Pointer[ipld.Link]
	bytes int
}

func (o *openNodes) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	nd, err := o.DAGService.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	if links := nd.Links(); len(links) > 0 {
		err = o.open(openNode{weak.Make(links[0]), len(nd.RawData()) + len(links)*linkMemory})
	}
	return nd, err
}

// GetMany implements [ipld.NodeGetter].
func (o *openNodes) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	return getEach(ctx, cids, o.Get)
}

// open notes a node. Which nodes are held any more is known after a collection of garbage: when twice as
// much was read as may be held, it asks for one. A reader of an honest file has read hundreds of
// gigabytes by then.
func (o *openNodes) open(n openNode) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nodes = append(o.nodes, n)
	o.bytes += n.bytes
	if o.bytes <= 2*o.max {
		return nil
	}
	if o.forget(); o.bytes <= o.max {
		return nil
	}
	runtime.GC()
	if o.forget(); o.bytes <= o.max {
		return nil
	}
	return cannot("what is read is too deep and wide at once: the nodes on the way to it take more than %d bytes of memory", o.max)
}

// forget forgets the nodes that are not held any more.
func (o *openNodes) forget() {
	o.nodes = slices.DeleteFunc(o.nodes, func(n openNode) bool {
		gone := n.link.Value() == nil
		if gone {
			o.bytes -= n.bytes
		}
		return gone
	})
}
