package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
)

const (
	leafSize = 128
	width    = 174 // links of a node, as Kubo makes them
)

type digest [sha256.Size]byte

// made is a block store that makes its blocks when they are read. Only the hashes are in memory.
type made struct {
	levels [][]digest     // of the tree, the leaves first
	sizes  []uint64       // by level: the bytes below a full node
	list   []digest       // from the end of the list
	at     map[digest]int // where a block is: level<<32 | index; the list has the level -1
}

func newBlocks() *made { return &made{at: make(map[digest]int)} }

func leaf(i int) []byte {
	b := make([]byte, leafSize)
	x := uint64(i)*0x9e3779b97f4a7c15 + 1 // splitmix64
	for n := 0; n < leafSize; n += 8 {
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(b[n:], z^z>>31)
	}
	return b
}

// cidOf is the CIDv1 of a digest.
func cidOf(codec uint64, d digest) cid.Cid {
	h, err := multihash.Encode(d[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // a digest of its own length
	}
	return cid.NewCidV1(codec, h)
}

// addTree makes a tree over a number of leaves.
func (m *made) addTree(leaves int) cid.Cid {
	level := make([]digest, leaves)
	for i := range level {
		level[i] = sha256.Sum256(leaf(i))
		m.at[level[i]] = i
	}
	m.levels, m.sizes = [][]digest{level}, []uint64{leafSize}
	for len(level) > 1 {
		n := len(m.levels)
		next := make([]digest, (len(level)+width-1)/width)
		for i := range next {
			next[i] = sha256.Sum256(m.node(n, i))
			m.at[next[i]] = n<<32 | i
		}
		m.levels, m.sizes = append(m.levels, next), append(m.sizes, m.sizes[n-1]*width)
		level = next
	}
	if len(m.levels) == 1 {
		return cidOf(cid.Raw, level[0])
	}
	return cidOf(cid.DagProtobuf, level[0])
}

// node makes a node of the tree: dag-pb, with links to some of the level below.
func (m *made) node(level, i int) []byte {
	codec := uint64(cid.DagProtobuf)
	if level == 1 {
		codec = cid.Raw
	}
	below := m.levels[level-1]
	var b []byte
	for _, d := range below[i*width : min((i+1)*width, len(below))] {
		b = appendLink(b, cidOf(codec, d), m.sizes[level-1])
	}
	return append(b, 0x0a, 0) // no data
}

// appendLink appends a PBLink: https://ipld.io/specs/codecs/dag-pb/spec/
func appendLink(b []byte, c cid.Cid, size uint64) []byte {
	var l []byte
	l = append(binary.AppendUvarint(append(l, 0x0a), uint64(c.ByteLen())), c.Bytes()...)
	l = append(l, 0x12, 0) // no name
	l = binary.AppendUvarint(append(l, 0x18), size)
	return append(binary.AppendUvarint(append(b, 0x12), uint64(len(l))), l...)
}

const listLevel = -1

// addList makes a list of nodes, each with a link to the one before.
func (m *made) addList(nodes int) cid.Cid {
	m.list = make([]digest, nodes)
	for i := range m.list {
		m.list[i] = sha256.Sum256(m.item(i))
		m.at[m.list[i]] = listLevel<<32 | i
	}
	return cidOf(cid.DagProtobuf, m.list[nodes-1])
}

func (m *made) item(i int) []byte {
	var b []byte
	if i > 0 {
		b = appendLink(b, cidOf(cid.DagProtobuf, m.list[i-1]), uint64(i))
	}
	data := fmt.Sprintf("node %d", i)
	return append(binary.AppendUvarint(append(b, 0x0a), uint64(len(data))), data...)
}

// bytes makes the block of a CID.
func (m *made) bytes(c cid.Cid) ([]byte, bool) {
	decoded, err := multihash.Decode(c.Hash())
	if err != nil || len(decoded.Digest) != sha256.Size {
		return nil, false
	}
	at, ok := m.at[digest(decoded.Digest)]
	if !ok {
		return nil, false
	}
	switch level, i := at>>32, at&0xffffffff; level {
	case listLevel:
		return m.item(i), true
	case 0:
		return leaf(i), true
	default:
		return m.node(level, i), true
	}
}

// Has implements blockstore.Blockstore.
func (m *made) Has(_ context.Context, c cid.Cid) (bool, error) {
	_, ok := m.bytes(c)
	return ok, nil
}

// Get implements blockstore.Blockstore.
func (m *made) Get(_ context.Context, c cid.Cid) (blocks.Block, error) {
	b, ok := m.bytes(c)
	if !ok {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	return blocks.NewBlockWithCid(b, c)
}

// GetSize implements blockstore.Blockstore.
func (m *made) GetSize(_ context.Context, c cid.Cid) (int, error) {
	b, ok := m.bytes(c)
	if !ok {
		return 0, ipld.ErrNotFound{Cid: c}
	}
	return len(b), nil
}

var errReadOnly = errors.New("these blocks are made, not stored")

// Put implements blockstore.Blockstore.
func (*made) Put(context.Context, blocks.Block) error { return errReadOnly }

// PutMany implements blockstore.Blockstore.
func (*made) PutMany(context.Context, []blocks.Block) error { return errReadOnly }

// DeleteBlock implements blockstore.Blockstore.
func (*made) DeleteBlock(context.Context, cid.Cid) error { return errReadOnly }

// AllKeysChan implements blockstore.Blockstore.
func (*made) AllKeysChan(context.Context) (<-chan cid.Cid, error) { return nil, errReadOnly }
