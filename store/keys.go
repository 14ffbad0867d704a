package store

import (
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
	"github.com/ipfs/boxo/blockstore"
	dshelp "github.com/ipfs/boxo/datastore/dshelp"
	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// The first byte of a record's key says what it is. The package comment has
// the table. Keys of the go-datastore start with '/', 0x2f.
const (
	kMeta     = 0x01
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
	kDeleting = 0x22
	kBlockDAG = 0x23
	kDAGBlock = 0x24
	kLoose    = 0x25
)

// Names of metaKey.
const (
	metaDead   = "dead"   // bytes of blocks deleted since a reclaim last gave space back
	metaMark   = "mark"   // written by a reclaim, to know what is out of memory
	metaFiller = "filler" // never there for long
)

// maxKeyTail is more than what follows any prefix that is scanned backwards
// from its end.
const maxKeyTail = 32

// account is an account's id as it is in keys.
type account [16]byte

// accountOf parses an account's id. ok is false if it is not a UUID in its
// usual form; no record is kept for such an account.
func accountOf(s string) (a account, ok bool) {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return account{}, false
	}
	return account(u), true
}

func (a account) String() string { return uuid.UUID(a).String() }

// Numbers in keys are big endian, so that keys sort as numbers do.

func metaKey(name string) []byte { return append([]byte{kMeta}, name...) }

func accountKey(a account) []byte { return append([]byte{kAccount}, a[:]...) }

// requestKey is where a request's record is. ms is Created, in Unix
// milliseconds.
func requestKey(a account, ms int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{kRequest}, a[:]...), uint64(ms))
}

func rowKey(a account, seq uint64) []byte { return seqKey(kRow, a, seq) }

func holdsKey(a account, seq uint64) []byte { return seqKey(kHolds, a, seq) }

func detailsKey(a account, seq uint64) []byte { return seqKey(kDetails, a, seq) }

// chargeKey is what an account is charged for a DAG.
func chargeKey(a account, d pin.DAG) []byte { return appendDAG(accountPrefix(kCharge, a), d) }

func usageKey(a account) []byte { return accountPrefix(kUsage, a) }

// accountPrefix is what all of an account's keys of a kind start with.
func accountPrefix(kind byte, a account) []byte { return append([]byte{kind}, a[:]...) }

func seqKey(kind byte, a account, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{kind}, a[:]...), seq)
}

// A bitmap's key is a list's prefix, then the number of the chunk in 4 bytes.

// statusList holds the account's requests of a status.
func statusList(s statusCode, a account) []byte {
	return append([]byte{kStatus, byte(s)}, a[:]...)
}

// dagList holds the account's requests for a DAG, whatever their status.
func dagList(d pin.DAG, a account) []byte {
	return append(dagLists(d), a[:]...)
}

// dagLists is the prefix of the lists of all accounts for a DAG.
func dagLists(d pin.DAG) []byte { return appendDAG([]byte{kByDAG}, d) }

// nameList holds the account's requests with exactly that name, which is known
// by its hash.
func nameList(a account, name [16]byte) []byte {
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

func attemptKey(a pin.Attempt) []byte { return attemptPrefix(kAttempt, a) }

func deletingKey(a pin.Attempt) []byte { return attemptPrefix(kDeleting, a) }

func attemptPrefix(kind byte, a pin.Attempt) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(a))
}

// A multihash says its own length, so none is the prefix of another.

func blockDAGKey(h multihash.Multihash, a pin.Attempt) []byte {
	key := make([]byte, 0, 1+len(h)+8)
	key = append(append(key, kBlockDAG), h...)
	return binary.BigEndian.AppendUint64(key, uint64(a))
}

func dagBlockKey(a pin.Attempt, h multihash.Multihash) []byte {
	key := make([]byte, 0, 1+8+len(h))
	key = binary.BigEndian.AppendUint64(append(key, kDAGBlock), uint64(a))
	return append(key, h...)
}

// looseKey notes that nothing may refer to the block any more.
func looseKey(h multihash.Multihash) []byte { return append([]byte{kLoose}, h...) }

// blockRefs is what all references to a block start with.
func blockRefs(h multihash.Multihash) []byte { return append([]byte{kBlockDAG}, h...) }

// splitBlockDAG takes apart what [blockDAGKey] made. The hash is a part of key.
func splitBlockDAG(key []byte) (h multihash.Multihash, a pin.Attempt, err error) {
	end := len(key) - 8
	if end < 1 {
		return nil, 0, fmt.Errorf("reference %x is too short", key)
	}
	return multihash.Multihash(key[1:end]), pin.Attempt(binary.BigEndian.Uint64(key[end:])), nil
}

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
