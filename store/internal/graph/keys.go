package graph

import (
	"encoding/binary"
	"fmt"

	"github.com/ipfs/boxo/blockstore"
	dshelp "github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
)

// The first bytes of the keys of what holds blocks; the comment of package store has the
// table.
const (
	KDAG      = 0x20
	KAttempt  = 0x21
	KReleased = 0x22
	KLinkTo   = 0x23
	KLinkFrom = 0x24
	KLoose    = 0x25
	KNodes    = 0x26
	KNode     = 0x27
	KWhole    = 0x28
	KPartial  = 0x29
)

func DAGKey(d pin.DAG) []byte { return AppendDAG([]byte{KDAG}, d) }

// AppendDAG puts the length first: no DAG is then the prefix of another.
func AppendDAG(key []byte, d pin.DAG) []byte {
	return append(binary.BigEndian.AppendUint16(key, uint16(len(d))), d...)
}

func AttemptKey(a pin.Attempt) []byte { return holderKey(KAttempt, graph.HolderOf(a)) }

// releasedKey marks an attempt, or a node, whose links are to be dropped.
func releasedKey(h graph.Holder) []byte { return holderKey(KReleased, h) }

func LinkToKey(l graph.Link) []byte { return HolderTail(LinksTo(l.Hash, l.Codec), l.Holder) }

func LinkFromKey(l graph.Link) []byte {
	key := make([]byte, 0, 1+8+len(l.Hash)+2)
	key = binary.BigEndian.AppendUint64(append(key, KLinkFrom), uint64(l.Holder))
	return binary.BigEndian.AppendUint16(append(key, l.Hash...), uint16(l.Codec))
}

// BlockLinks is what all links to a block start with.
func BlockLinks(h multihash.Multihash) []byte { return append([]byte{KLinkTo}, h...) }

// LinksTo is what all links to a block under a codec start with.
func LinksTo(h multihash.Multihash, codec uint64) []byte {
	key := append(make([]byte, 0, 1+len(h)+2+8), KLinkTo)
	return binary.BigEndian.AppendUint16(append(key, h...), uint16(codec))
}

// linksFrom is what all links of a holder start with.
func linksFrom(h graph.Holder) []byte { return holderKey(KLinkFrom, h) }

// SplitLinkTo takes apart what [linkToKey] made, and splitLinkFrom what
// [linkFromKey] did. The hash is a part of key, and the size is in the value.
func SplitLinkTo(key []byte) (l graph.Link, err error) {
	end := len(key) - 10
	if end < 1 {
		return l, fmt.Errorf("link %x is too short", key)
	}
	l.Hash = multihash.Multihash(key[1:end])
	l.Codec = uint64(binary.BigEndian.Uint16(key[end:]))
	l.Holder = graph.Holder(binary.BigEndian.Uint64(key[end+2:]))
	return l, nil
}

func splitLinkFrom(key, value []byte) (l graph.Link, err error) {
	end := len(key) - 2
	if end < 9 {
		return l, fmt.Errorf("link %x is too short", key)
	}
	l.Holder = graph.Holder(binary.BigEndian.Uint64(key[1:]))
	l.Hash = multihash.Multihash(key[9:end])
	l.Codec = uint64(binary.BigEndian.Uint16(key[end:]))
	l.Size = SizeOr0(key, value)
	return l, nil
}

// nodesKey lists a node of a DAG, as one attempt reads it, under the block and
// the codec.
func nodesKey(n graph.Node) []byte { return HolderTail(NodesOf(n.DAG), n.ID) }

// NodesOf is what the keys of all nodes of a block under a codec start with.
func NodesOf(d pin.DAG) []byte { return AppendDAG([]byte{KNodes}, d) }

// NodeKey says what a holder is the node of.
func NodeKey(h graph.Holder) []byte { return holderKey(KNode, h) }

// WholeKey marks a holder of which all that is below is there.
func WholeKey(h graph.Holder) []byte { return holderKey(KWhole, h) }

func holderKey(kind byte, h graph.Holder) []byte { return HolderTail([]byte{kind}, h) }

func HolderTail(key []byte, h graph.Holder) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(h))
}

// TailHolder gives the holder that a key ends with.
func TailHolder(key []byte) graph.Holder {
	return graph.Holder(binary.BigEndian.Uint64(key[len(key)-8:]))
}

// LooseKey notes that nothing may refer to the block any more.
func LooseKey(h multihash.Multihash) []byte { return append([]byte{KLoose}, h...) }

// BlockKey is where the blockstore has a block.
func BlockKey(h multihash.Multihash) []byte {
	return blockstore.BlockPrefix.Child(dshelp.MultihashToDsKey(h)).Bytes()
}

// BlockOf gives the hash of the block that a key of the go-datastore is for. ok
// is false if it is for something else.
func BlockOf(key datastore.Key) (h multihash.Multihash, ok bool) {
	if !blockstore.BlockPrefix.IsAncestorOf(key) {
		return nil, false
	}
	h, err := dshelp.DsKeyToMultihash(datastore.RawKey("/" + key.BaseNamespace()))
	return h, err == nil
}

// SizeOr0 gives the size in the value of a link or a note. It is what is told of a block,
// and nothing goes by it.
func SizeOr0(key, value []byte) int {
	size, err := decodeSize(key, value)
	if err != nil {
		return 0
	}
	return size
}

// MaxDAG bounds the bytes of a root's CID, since they are part of keys. Any that
// verifcid lets pass is shorter by far.
const MaxDAG = 1 << 10
