package store

import (
	"encoding/binary"
	"fmt"

	"github.com/ipfs/boxo/blockstore"
	dshelp "github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// The first byte of a record's key says what it is. The package comment has
// the table. Keys of the go-datastore start with '/', 0x2f.
const (
	kAccount  = 0x10
	kRequest  = 0x11
	kRow      = 0x12
	kStatus   = 0x13
	kByDAG    = 0x14
	kByName   = 0x15
	kHolds    = 0x16
	kDetails  = 0x17
	kCharge   = 0x18
	kUsage    = 0x19
	kDAG      = 0x20
	kAttempt  = 0x21
	kReleased = 0x22
	kLinkTo   = 0x23
	kLinkFrom = 0x24
	kLoose    = 0x25
	kNodes    = 0x26
	kNode     = 0x27
	kWhole    = 0x28
)

// Numbers in keys are big endian, so that keys sort as numbers do.

func accountKey(a kv.Account) []byte { return append([]byte{kAccount}, a[:]...) }

// requestKey is where a request's record is. ms is Created, in Unix
// milliseconds.
func requestKey(a kv.Account, ms int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{kRequest}, a[:]...), uint64(ms))
}

func rowKey(a kv.Account, seq uint64) []byte { return seqKey(kRow, a, seq) }

func holdsKey(a kv.Account, seq uint64) []byte { return seqKey(kHolds, a, seq) }

func detailsKey(a kv.Account, seq uint64) []byte { return seqKey(kDetails, a, seq) }

// chargeKey is what an account is charged for a DAG.
func chargeKey(a kv.Account, d pin.DAG) []byte { return appendDAG(kv.AccountPrefix(kCharge, a), d) }

func usageKey(a kv.Account) []byte { return kv.AccountPrefix(kUsage, a) }

func seqKey(kind byte, a kv.Account, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{kind}, a[:]...), seq)
}

// A bitmap's key is a list's prefix, then the number of the chunk in 4 bytes.

// statusList holds the account's requests of a status.
func statusList(s statusCode, a kv.Account) []byte {
	return append([]byte{kStatus, byte(s)}, a[:]...)
}

// dagList holds the account's requests for a DAG, whatever their status.
func dagList(d pin.DAG, a kv.Account) []byte {
	return append(dagLists(d), a[:]...)
}

// dagLists is the prefix of the lists of all accounts for a DAG.
func dagLists(d pin.DAG) []byte { return appendDAG([]byte{kByDAG}, d) }

// nameList holds the account's requests with exactly that name, which is known
// by its hash.
func nameList(a kv.Account, name [16]byte) []byte {
	return append(append([]byte{kByName}, a[:]...), name[:]...)
}

func chunkKey(list []byte, chunk uint32) []byte {
	key := make([]byte, 0, len(list)+4)
	return binary.BigEndian.AppendUint32(append(key, list...), chunk)
}

func dagKey(d pin.DAG) []byte { return appendDAG([]byte{kDAG}, d) }

// appendDAG puts the length first: no DAG is then the prefix of another.
func appendDAG(key []byte, d pin.DAG) []byte {
	return append(binary.BigEndian.AppendUint16(key, uint16(len(d))), d...)
}

func attemptKey(a pin.Attempt) []byte { return holderKey(kAttempt, graph.HolderOf(a)) }

// releasedKey marks an attempt, or a node, whose links are to be dropped.
func releasedKey(h graph.Holder) []byte { return holderKey(kReleased, h) }

// A link has a key on each side. A multihash says its own length, so none is the
// prefix of another. A codec has 2 bytes: those that can be walked need no more.

func linkToKey(l graph.Link) []byte { return holderTail(linksTo(l.Hash, l.Codec), l.Holder) }

func linkFromKey(l graph.Link) []byte {
	key := make([]byte, 0, 1+8+len(l.Hash)+2)
	key = binary.BigEndian.AppendUint64(append(key, kLinkFrom), uint64(l.Holder))
	return binary.BigEndian.AppendUint16(append(key, l.Hash...), uint16(l.Codec))
}

// blockLinks is what all links to a block start with.
func blockLinks(h multihash.Multihash) []byte { return append([]byte{kLinkTo}, h...) }

// linksTo is what all links to a block under a codec start with.
func linksTo(h multihash.Multihash, codec uint64) []byte {
	key := append(make([]byte, 0, 1+len(h)+2+8), kLinkTo)
	return binary.BigEndian.AppendUint16(append(key, h...), uint16(codec))
}

// linksFrom is what all links of a holder start with.
func linksFrom(h graph.Holder) []byte { return holderKey(kLinkFrom, h) }

// splitLinkTo takes apart what [linkToKey] made, and splitLinkFrom what
// [linkFromKey] did. The hash is a part of key, and the size is in the value.
func splitLinkTo(key []byte) (l graph.Link, err error) {
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
	l.Size = sizeOr0(key, value)
	return l, nil
}

// nodesKey lists a node of a DAG, as one attempt reads it, under the block and
// the codec.
func nodesKey(n graph.Node) []byte { return holderTail(nodesOf(n.DAG), n.ID) }

// nodesOf is what the keys of all nodes of a block under a codec start with.
func nodesOf(d pin.DAG) []byte { return appendDAG([]byte{kNodes}, d) }

// nodeKey says what a holder is the node of.
func nodeKey(h graph.Holder) []byte { return holderKey(kNode, h) }

// wholeKey marks a holder of which all that is below is there.
func wholeKey(h graph.Holder) []byte { return holderKey(kWhole, h) }

func holderKey(kind byte, h graph.Holder) []byte { return holderTail([]byte{kind}, h) }

func holderTail(key []byte, h graph.Holder) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(h))
}

// tailHolder gives the holder that a key ends with.
func tailHolder(key []byte) graph.Holder {
	return graph.Holder(binary.BigEndian.Uint64(key[len(key)-8:]))
}

// looseKey notes that nothing may refer to the block any more.
func looseKey(h multihash.Multihash) []byte { return append([]byte{kLoose}, h...) }

// blockKey is where the blockstore has a block.
func blockKey(h multihash.Multihash) []byte {
	return blockstore.BlockPrefix.Child(dshelp.MultihashToDsKey(h)).Bytes()
}

// blockOf gives the hash of the block that a key of the go-datastore is for. ok
// is false if it is for something else.
func blockOf(key datastore.Key) (h multihash.Multihash, ok bool) {
	if !blockstore.BlockPrefix.IsAncestorOf(key) {
		return nil, false
	}
	h, err := dshelp.DsKeyToMultihash(datastore.RawKey("/" + key.BaseNamespace()))
	return h, err == nil
}
