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

// The first bytes of keys. The comment of package store has the table.
const (
	KDAG      = 0x20
	KAttempt  = 0x21
	kReleased = 0x22
	KLinkTo   = 0x23
	kLinkFrom = 0x24
	KLoose    = 0x25
	kNodes    = 0x26
	kNode     = 0x27
	kWhole    = 0x28
	KPartial  = 0x29
	kKept     = 0x2a
)

// DAGKey is the key of a DAG's record.
func DAGKey(d pin.DAG) []byte { return AppendDAG([]byte{KDAG}, d) }

// AppendDAG appends a DAG to a key. Its length comes first, so that no DAG is the prefix of
// another.
func AppendDAG(key []byte, d pin.DAG) []byte {
	return append(binary.BigEndian.AppendUint16(key, uint16(len(d))), d...)
}

func attemptKey(a pin.Attempt) []byte { return holderKey(KAttempt, graph.HolderOf(a)) }

// releasedKey is the mark of an attempt or a node whose links are to be dropped.
func releasedKey(h graph.Holder) []byte { return holderKey(kReleased, h) }

func linkToKey(l graph.Link) []byte { return holderTail(linksTo(l.Hash, l.Codec), l.Holder) }

func linkFromKey(l graph.Link) []byte {
	key := make([]byte, 0, 1+8+len(l.Hash)+2)
	key = binary.BigEndian.AppendUint64(append(key, kLinkFrom), uint64(l.Holder))
	return binary.BigEndian.AppendUint16(append(key, l.Hash...), uint16(l.Codec))
}

// BlockLinks is the prefix of all links to a block.
func BlockLinks(h multihash.Multihash) []byte { return append([]byte{KLinkTo}, h...) }

// linksTo is the prefix of all links to a block under a codec.
func linksTo(h multihash.Multihash, codec uint64) []byte {
	key := append(make([]byte, 0, 1+len(h)+2+8), KLinkTo)
	return binary.BigEndian.AppendUint16(append(key, h...), uint16(codec))
}

// linksFrom is the prefix of all links of a holder.
func linksFrom(h graph.Holder) []byte { return holderKey(kLinkFrom, h) }

// SplitLinkTo is the opposite of linkToKey, and splitLinkFrom that of linkFromKey. The hash is a
// part of key, and not a copy. The size is in the value.
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

// nodesKey is the key by which a node is found from its block and codec.
func nodesKey(n graph.Node) []byte { return holderTail(nodesOf(n.DAG), n.ID) }

// nodesOf is the prefix of the keys of all nodes of a block under a codec.
func nodesOf(d pin.DAG) []byte { return AppendDAG([]byte{kNodes}, d) }

// nodeKey is the key of the DAG that a node is the root of.
func nodeKey(h graph.Holder) []byte { return holderKey(kNode, h) }

// WholeKey is the mark of a holder below which everything is there.
func WholeKey(h graph.Holder) []byte { return holderKey(kWhole, h) }

func holderKey(kind byte, h graph.Holder) []byte { return holderTail([]byte{kind}, h) }

func holderTail(key []byte, h graph.Holder) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(h))
}

// TailHolder is the holder at the end of a key.
func TailHolder(key []byte) graph.Holder {
	return graph.Holder(binary.BigEndian.Uint64(key[len(key)-8:]))
}

// looseKey is the note of a block to which there may be no link any more.
func looseKey(h multihash.Multihash) []byte { return append([]byte{KLoose}, h...) }

// blockKey is the key of a block in the go-datastore.
func blockKey(h multihash.Multihash) []byte {
	return blockstore.BlockPrefix.Child(dshelp.MultihashToDsKey(h)).Bytes()
}

// BlockOf gives the hash of the block that is under a key of the go-datastore. ok is false if
// the key is for something else.
func BlockOf(key datastore.Key) (h multihash.Multihash, ok bool) {
	if !blockstore.BlockPrefix.IsAncestorOf(key) {
		return nil, false
	}
	h, err := dshelp.DsKeyToMultihash(datastore.RawKey("/" + key.BaseNamespace()))
	return h, err == nil
}

// SizeOr0 gives the size in the value of a link or a note; 0 if it cannot be read. Sizes are
// for reports, and nothing is decided by them.
func SizeOr0(key, value []byte) int {
	size, err := decodeSize(key, value)
	if err != nil {
		return 0
	}
	return size
}

// MaxDAG is how many bytes a root's CID may have, since it is a part of keys. All CIDs that
// verifcid accepts are far shorter.
const MaxDAG = 1 << 10
