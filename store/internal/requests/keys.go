package requests

import (
	"encoding/binary"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// The first bytes of keys. The comment of package store has the table.
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
	KLinger    = 0x1d
	KLingers   = 0x1e
	KLingering = 0x1f
	KDelivered = 0x30
)

// Numbers in keys are big endian, so that keys sort as numbers do.

func accountKey(a kv.Account) []byte { return append([]byte{KAccount}, a[:]...) }

// requestKey is the key of a request's record. ms is Created, in Unix milliseconds.
func requestKey(a kv.Account, ms int64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{KRequest}, a[:]...), uint64(ms))
}

func rowKey(a kv.Account, seq uint64) []byte { return seqKey(KRow, a, seq) }

func holdsKey(a kv.Account, seq uint64) []byte { return seqKey(KHolds, a, seq) }

func detailsKey(a kv.Account, seq uint64) []byte { return seqKey(KDetails, a, seq) }

// chargeKey is the key of what an account is charged for a DAG.
func chargeKey(a kv.Account, d pin.DAG) []byte {
	return holding.AppendDAG(kv.AccountPrefix(KCharge, a), d)
}

// deliveredKey is the key of who delivered a DAG that an account has pinned.
func deliveredKey(a kv.Account, d pin.DAG) []byte {
	return holding.AppendDAG(kv.AccountPrefix(KDelivered, a), d)
}

// onceKey is the key of what was made under an idempotency key, of which it has the hash.
func onceKey(a kv.Account, key nameHash) []byte { return append(kv.AccountPrefix(KOnce, a), key[:]...) }

// onceOrderKey is the key of the hash of the idempotency key under which a request was made.
func onceOrderKey(a kv.Account, seq uint64) []byte { return seqKey(KOnceOrder, a, seq) }

func usageKey(a kv.Account) []byte { return kv.AccountPrefix(KUsage, a) }

func seqKey(kind byte, a kv.Account, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{kind}, a[:]...), seq)
}

// A list is a bitmap. The key of a chunk of it is the list's prefix, then the number of the chunk
// in 4 bytes.

// statusList is the list of an account's requests of a status.
func statusList(s statusCode, a kv.Account) []byte {
	return append([]byte{KStatus, byte(s)}, a[:]...)
}

// dagList is the list of an account's requests for a DAG, of all statuses.
func dagList(d pin.DAG, a kv.Account) []byte {
	return append(dagLists(d), a[:]...)
}

// dagLists is the prefix of all accounts' lists for a DAG.
func dagLists(d pin.DAG) []byte { return holding.AppendDAG([]byte{KByDAG}, d) }

// nameList is the list of an account's requests with one name, of which it has the hash.
func nameList(a kv.Account, name nameHash) []byte {
	return append(append([]byte{KByName}, a[:]...), name[:]...)
}

func chunkKey(list []byte, chunk uint32) []byte {
	key := make([]byte, 0, len(list)+4)
	return binary.BigEndian.AppendUint32(append(key, list...), chunk)
}
