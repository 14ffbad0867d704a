package requests

import (
	"encoding/binary"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// The first byte of a record's key says what it is. The package comment has
// the table. Keys of the go-datastore start with '/', 0x2f.
const (
	KAccount = 0x10
	KRequest = 0x11
	KRow     = 0x12
	KStatus  = 0x13
	KByDAG   = 0x14
	KByName  = 0x15
	KHolds   = 0x16
	KDetails = 0x17
	KCharge  = 0x18
	KUsage   = 0x19

	KOnce      = 0x1a
	KOnceOrder = 0x1b
	KRequester = 0x1c
)

// Numbers in keys are big endian, so that keys sort as numbers do.

func AccountKey(a kv.Account) []byte { return append([]byte{KAccount}, a[:]...) }

// RequestKey is where a request's record is. ms is Created, in Unix
// milliseconds.
func RequestKey(a kv.Account, ms int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{KRequest}, a[:]...), uint64(ms))
}

func RowKey(a kv.Account, seq uint64) []byte { return seqKey(KRow, a, seq) }

func holdsKey(a kv.Account, seq uint64) []byte { return seqKey(KHolds, a, seq) }

func detailsKey(a kv.Account, seq uint64) []byte { return seqKey(KDetails, a, seq) }

// chargeKey is what an account is charged for a DAG.
func chargeKey(a kv.Account, d pin.DAG) []byte {
	return holding.AppendDAG(kv.AccountPrefix(KCharge, a), d)
}

// onceKey is what was made under an idempotency key, which is known by its hash.
func onceKey(a kv.Account, key nameHash) []byte { return append(kv.AccountPrefix(KOnce, a), key[:]...) }

// onceOrderKey is the hash of the key that a request was made under.
func onceOrderKey(a kv.Account, seq uint64) []byte { return seqKey(KOnceOrder, a, seq) }

func UsageKey(a kv.Account) []byte { return kv.AccountPrefix(KUsage, a) }

func seqKey(kind byte, a kv.Account, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{kind}, a[:]...), seq)
}

// A bitmap's key is a list's prefix, then the number of the chunk in 4 bytes.

// StatusList holds the account's requests of a status.
func StatusList(s statusCode, a kv.Account) []byte {
	return append([]byte{KStatus, byte(s)}, a[:]...)
}

// DAGList holds the account's requests for a DAG, whatever their status.
func DAGList(d pin.DAG, a kv.Account) []byte {
	return append(dagLists(d), a[:]...)
}

// dagLists is the prefix of the lists of all accounts for a DAG.
func dagLists(d pin.DAG) []byte { return holding.AppendDAG([]byte{KByDAG}, d) }

// NameList holds the account's requests with exactly that name, which is known
// by its hash.
func NameList(a kv.Account, name nameHash) []byte {
	return append(append([]byte{KByName}, a[:]...), name[:]...)
}

func ChunkKey(list []byte, chunk uint32) []byte {
	key := make([]byte, 0, len(list)+4)
	return binary.BigEndian.AppendUint32(append(key, list...), chunk)
}

// A link has a key on each side. A multihash says its own length, so none is the
// prefix of another. A codec has 2 bytes: those that can be walked need no more.
