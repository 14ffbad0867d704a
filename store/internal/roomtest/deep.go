package roomtest

import (
	"fmt"
	"slices"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// ChainOf makes n dag-cbor blocks of which each links to the one before, and to what
// beside gives for it; the head is last.
func ChainOf(name string, n int, beside func(i int) []blocks.Block) (all []blocks.Block) {
	var below []cid.Cid
	for i := range n {
		if beside != nil {
			mine := beside(i)
			all = append(all, mine...)
			below = append(below, dagtest.CIDs(mine)...)
		}
		b := dagtest.CBOR(fmt.Sprint(name, i), below...)
		all = append(all, b)
		below = []cid.Cid{b.Cid()}
	}
	return all
}

// DeepShape is a kind of DAG that is deep and narrow.
type DeepShape struct {
	Name string
	Make func() []blocks.Block
}

// DeepShapes are such DAGs of about n blocks.
func DeepShapes(n int) []DeepShape {
	return []DeepShape{
		{"Chain", func() []blocks.Block { return ChainOf("chain", n, nil) }},
		{"Directories", func() []blocks.Block { // each with the next, and two files
			return ChainOf("directory", n/3, func(i int) []blocks.Block {
				return []blocks.Block{dagtest.Raw(fmt.Sprint("one", i)), dagtest.Raw(fmt.Sprint("two", i))}
			})
		}},
		{"Skinny", func() []blocks.Block { // each with the next, and one that has a leaf
			return ChainOf("trunk", n/3, func(i int) []blocks.Block {
				leaf := dagtest.CBOR(fmt.Sprint("leaf", i))
				return []blocks.Block{leaf, dagtest.CBOR(fmt.Sprint("twig", i), leaf.Cid())}
			})
		}},
		{"SixteenChains", func() []blocks.Block {
			var all []blocks.Block
			var heads []cid.Cid
			for c := range 16 {
				all = append(all, ChainOf(fmt.Sprint("row", c, "-"), n/16, nil)...)
				heads = append(heads, dagtest.Last(all))
			}
			return append(all, dagtest.CBOR("top", heads...))
		}},
	}
}

// Over makes a DAG that shares the given blocks: they, and a root over the last of them.
func Over(name string, all ...blocks.Block) []blocks.Block {
	return append(slices.Clone(all), dagtest.PB(name, dagtest.Last(all)))
}

// OneLeafEach is a DAG of n nodes under a root, each with a leaf of its own. It gives the hashes of
// the leaves, too.
func OneLeafEach(n int) (all []blocks.Block, leaves []multihash.Multihash) {
	var nodes []cid.Cid
	for i := range n {
		leaf := dagtest.Raw(fmt.Sprint("leaf", i))
		node := dagtest.PB(fmt.Sprint("node", i), leaf.Cid())
		all, leaves, nodes = append(all, leaf, node), append(leaves, leaf.Cid().Hash()), append(nodes, node.Cid())
	}
	return append(all, dagtest.PB("root", nodes...)), leaves
}
