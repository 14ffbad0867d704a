package roomtest

import (
	"encoding/binary"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/fxamacker/cbor/v2"
	"github.com/ipfs/boxo/blockstore"
	dshelp "github.com/ipfs/boxo/datastore/dshelp"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// The first bytes of keys.
const (
	KAccount   = 0x10
	KRequest   = 0x11
	KRow       = 0x12
	KStatus    = 0x13
	KByDAG     = 0x14
	KByName    = 0x15
	KHolds     = 0x16
	KDetails   = 0x17
	KCharge    = 0x18
	KUsage     = 0x19
	KLinger    = 0x1d
	KLingers   = 0x1e
	KLingering = 0x1f
	KDAG       = 0x20
	KAttempt   = 0x21
	KReleased  = 0x22
	KLinkTo    = 0x23
	KLinkFrom  = 0x24
	KLoose     = 0x25
	KNodes     = 0x26
	KNode      = 0x27
	KWhole     = 0x28
	KKept      = 0x2a
)

// key puts a key together: bytes as they are, numbers in 8, 4 or 2 bytes, DAGs after their
// length.
func key(kind byte, parts ...any) []byte {
	k := []byte{kind}
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			k = append(k, p)
		case []byte:
			k = append(k, p...)
		case kv.Account:
			k = append(k, p[:]...)
		case uint16:
			k = binary.BigEndian.AppendUint16(k, p)
		case uint32:
			k = binary.BigEndian.AppendUint32(k, p)
		case uint64:
			k = binary.BigEndian.AppendUint64(k, p)
		case pin.DAG:
			k = append(binary.BigEndian.AppendUint16(k, uint16(len(p))), p...)
		default:
			panic(p)
		}
	}
	return k
}

// AccountOf is an account's id in keys.
func AccountOf(id string) kv.Account {
	a, ok := kv.AccountOf(id)
	if !ok {
		panic(id)
	}
	return a
}

// RequestKey is where a request's record is.
func RequestKey(r pin.Request) []byte {
	return key(KRequest, AccountOf(r.Account), uint64(r.Created.UnixMilli()))
}

// RowKey is where the row is of an account's request of a number.
func RowKey(a kv.Account, seq uint64) []byte { return key(KRow, a, seq) }

// ByDAGKey is the first chunk of an account's list of requests for a DAG.
func ByDAGKey(d pin.DAG, a kv.Account) []byte { return key(KByDAG, d, a, uint32(0)) }

// DAGKey is where a DAG's record is.
func DAGKey(d pin.DAG) []byte { return key(KDAG, d) }

// LinkTo is the block's side of a link, and LinkFrom the holder's.
func LinkTo(l graph.Link) []byte {
	return key(KLinkTo, []byte(l.Hash), uint16(l.Codec), uint64(l.Holder))
}

// LinkFrom is the holder's side of a link.
func LinkFrom(l graph.Link) []byte {
	return key(KLinkFrom, uint64(l.Holder), []byte(l.Hash), uint16(l.Codec))
}

// splitLinkTo takes the block's side of a link apart.
func splitLinkTo(k []byte) graph.Link {
	end := len(k) - 10
	return graph.Link{
		Ref: graph.Ref{Hash: multihash.Multihash(k[1:end])}, Codec: uint64(binary.BigEndian.Uint16(k[end:])), Holder: holderAt(k),
	}
}

// holderAt is the holder that a key ends with.
func holderAt(k []byte) graph.Holder { return graph.Holder(binary.BigEndian.Uint64(k[len(k)-8:])) }

// LooseKey is where a note of a block is, and SizeValue what is there.
func LooseKey(h multihash.Multihash) []byte { return key(KLoose, []byte(h)) }

// SizeValue is the value of a note or a link: a size.
func SizeValue(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// BlockKey is where a block is.
func BlockKey(h multihash.Multihash) []byte {
	return blockstore.BlockPrefix.Child(dshelp.MultihashToDsKey(h)).Bytes()
}

// decode decodes a record of version 1.
func decode(value []byte, record any) error {
	if len(value) > 0 {
		value = value[1:]
	}
	return lenient.Unmarshal(value, record)
}

var lenient = func() cbor.DecMode {
	mode, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// Read reads what is under a key.
func Read(tb testing.TB, db *kv.DB, key []byte) (value string, found bool) {
	tb.Helper()
	Must(tb, db.View(tb.Context(), func(r *kv.Reader) error {
		b, ok, err := r.Get(key)
		value, found = string(b), ok
		return err
	}))
	return value, found
}

// Set writes a key beside all rules, as damage does; nil deletes it.
func Set(tb testing.TB, db *badger.DB, key, value []byte) {
	tb.Helper()
	Must(tb, db.Update(func(txn *badger.Txn) error {
		if value == nil {
			return txn.Delete(key)
		}
		return txn.Set(key, value)
	}))
}
