package upload

import (
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	pb "github.com/ipfs/boxo/ipld/unixfs/pb"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	pool "github.com/libp2p/go-buffer-pool"
	"google.golang.org/protobuf/encoding/protowire"
)

// pbLayout lays a file out as [balanced.Layout] does, for leaves that are nodes of UnixFS. boxo
// copies the data of such a leaf three times or more, which took as long as hashing it. Here it
// is copied once, into the block.
type pbLayout struct {
	b       *helpers.DagBuilderHelper
	builder cid.Builder // of dag-pb
	pooled  bool        // chunks come from the pool of buffers
}

// balancedPB lays out what the helper reads. pooled says that its chunks come from [pool], and that
// nobody else has them, as with boxo's chunks of one size.
func balancedPB(b *helpers.DagBuilderHelper, pooled bool) (ipld.Node, error) {
	if b.Done() { // a file without data
		return balanced.Layout(b)
	}
	l := pbLayout{b, b.GetCidBuilder().WithCodec(cid.DagProtobuf), pooled}
	root, size, err := l.leaf()
	for depth := 1; err == nil && !b.Done(); depth++ {
		above := b.NewFSNodeOverDag(unixfs.TFile)
		if err = above.AddChild(root, size, b); err == nil {
			root, size, err = l.fill(above, depth)
		}
	}
	if err != nil {
		return nil, err
	}
	return root, b.Add(root)
}

// fill adds to a node of some depth until it is full.
func (l pbLayout) fill(node *helpers.FSNodeOverDag, depth int) (filled ipld.Node, size uint64, err error) {
	for node.NumChildren() < l.b.Maxlinks() && !l.b.Done() {
		var child ipld.Node
		if depth == 1 {
			child, size, err = l.leaf()
		} else {
			child, size, err = l.fill(l.b.NewFSNodeOverDag(unixfs.TFile), depth-1)
		}
		if err == nil {
			err = node.AddChild(child, size, l.b)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	filled, err = node.Commit()
	return filled, node.FileSize(), err
}

// leaf makes a node of the next chunk.
func (l pbLayout) leaf() (ipld.Node, uint64, error) {
	data, err := l.b.Next()
	if err != nil {
		return nil, 0, err
	}
	n := uint64(len(data))
	inner := 2 + 1 + protowire.SizeBytes(len(data)) + 1 + protowire.SizeVarint(n)
	buf := make([]byte, 0, 1+protowire.SizeBytes(inner))
	buf = protowire.AppendTag(buf, 1, protowire.BytesType) // Data of a PBNode
	buf = protowire.AppendVarint(buf, uint64(inner))
	buf = protowire.AppendTag(buf, 1, protowire.VarintType) // Type of UnixFS's Data
	buf = protowire.AppendVarint(buf, uint64(pb.Data_File))
	buf = protowire.AppendTag(buf, 2, protowire.BytesType) // Data
	buf = protowire.AppendBytes(buf, data)
	if l.pooled {
		pool.Put(data) // the next chunk needs as much
	}
	buf = protowire.AppendTag(buf, 3, protowire.VarintType) // filesize
	buf = protowire.AppendVarint(buf, n)
	c, err := l.builder.Sum(buf)
	if err != nil {
		return nil, 0, err
	}
	b, err := blocks.NewBlockWithCid(buf, c)
	return leaf{Block: b}, n, err
}

// leaf is a node as far as builders ask for one: its CID, its bytes and its size.
type leaf struct {
	ipld.Node
	blocks.Block
}

func (l leaf) Cid() cid.Cid             { return l.Block.Cid() }
func (l leaf) RawData() []byte          { return l.Block.RawData() }
func (l leaf) String() string           { return l.Block.String() }
func (l leaf) Loggable() map[string]any { return l.Block.Loggable() }

// Size implements [ipld.Node].
func (l leaf) Size() (uint64, error) { return uint64(len(l.RawData())), nil }
