package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Snapshot is the records as they were at one instant, and the blocks that they link to.
// Until it is closed no reclaim deletes a block, unless the disk needs the room: then the
// snapshot is lost. It is in memory alone: a crash lets go of it.
type Snapshot struct {
	s      *Store
	keep   *holding.Keep
	reader *kv.Reader
	done   func()
	pace   *pace
}

// ErrKeepLost: blocks of a snapshot or a stock may have been deleted, as the disk was too full.
var ErrKeepLost = errors.New("the disk became too full to keep blocks for the backup or the restore")

// Snapshot begins one. [Snapshot.Records] must be called soon, since what it reads cannot be
// given back until then. The caller must close it.
func (s *Store) Snapshot(ctx context.Context) (*Snapshot, error) {
	if err := s.kv.Enter(ctx); err != nil {
		return nil, err
	}
	sn := &Snapshot{s: s, pace: newPace()}
	sn.keep = s.held.KeepBlocks(func() { sn.reader, sn.done = s.kv.Snapshot() })
	return sn, nil
}

// Close lets go of the blocks. It may be called twice, and must not be called while
// another method runs.
func (sn *Snapshot) Close() {
	sn.letGo()
	sn.keep.End()
}

// letGo ends the read of records.
func (sn *Snapshot) letGo() {
	if sn.done != nil {
		sn.done()
		sn.done = nil
		sn.s.kv.Leave()
	}
}

// Layout is the layout of the records.
func (sn *Snapshot) Layout() int { return layoutVersion }

// Records calls record for each record, in the order of keys, and block for each block that
// the records link to, in the order of hashes, with a codec that it is read under. A block
// may not be there, if the DAG that needs it was not complete. What a new store finds out by
// itself is left out. Key, value and hash are valid until the call returns. unreadable counts
// the records that cannot be read, and are left out. It may be called once, and reads until it
// returns or ctx ends.
func (sn *Snapshot) Records(ctx context.Context, record func(key, value []byte) error, block func(h multihash.Multihash, codec uint64) error) (unreadable uint64, err error) {
	defer sn.letGo()
	var last []byte
	each := func(key, value []byte) (bool, error) {
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case sn.s.ctx.Err() != nil:
			return false, sn.s.ended(ctx)
		case !backedUp(key):
			return true, nil
		case value == nil:
			unreadable++
			return true, nil
		}
		if key[0] == holding.KLinkTo {
			l, err := holding.SplitLinkTo(key)
			if err != nil {
				unreadable++
				return true, nil
			}
			if !bytes.Equal(l.Hash, last) {
				last = append(last[:0], l.Hash...)
				if err := block(l.Hash, l.Codec); err != nil {
					return false, err
				}
			}
		}
		return true, record(key, value)
	}
	for first := range byte(endOfRecords) {
		prefix := []byte{first}
		if first == BackedUpKeys[0] { // not the blocks and the other keys beside these
			prefix = []byte(BackedUpKeys)
		}
		if !backedUp(prefix) {
			continue
		}
		scan := func() error { return sn.reader.ScanEach(kv.Span{Prefix: prefix}, each) }
		if first == holding.KLinkTo { // by far the largest part, in a store of large DAGs
			scan = func() error {
				return sn.reader.ScanParts(prefix, sn.s.linkCuts(), min(runtime.GOMAXPROCS(0), maxReaders), sn.s.held.Busy, each)
			}
		}
		if err := scan(); err != nil {
			return unreadable, kv.Wrap(err, "read the records for a backup")
		}
	}
	return unreadable, nil
}

// maxReaders is how many goroutines read records at a time: more than one only while no pins are written.
const maxReaders = 4

// linkCuts gives the keys that divide the links to blocks into parts of some kv.PartKeys. Almost all blocks are
// named by SHA-256, and those hashes are spread evenly.
func (s *Store) linkCuts() (cuts [][]byte) {
	parts := min(s.kv.Keys()/3/kv.PartKeys, 1<<12) // a block has about three keys
	for i := 1; i < parts; i++ {
		cuts = append(cuts, binary.BigEndian.AppendUint16([]byte{holding.KLinkTo, multihash.SHA2_256, 32}, uint16(i<<16/parts)))
	}
	return cuts
}

// endOfRecords is the first byte that no record's key begins with; blocks are between.
const endOfRecords = 0x60

// BackedUpKeys is the prefix of the keys of the go-datastore that go into a backup. A server cannot
// use the records without them. They are few and small.
const BackedUpKeys = "/holdfast/cluster/"

// backedUp reports whether a record goes into a backup: not what a reclaim keeps for itself,
// nor what an upgrade does, nor notes of blocks that nothing links to, nor keys of the
// go-datastore without the prefix [BackedUpKeys]. Links are there from one side: [Restoring.Record] makes the other.
func backedUp(key []byte) bool {
	switch key[0] {
	case kv.MetaKey("")[0]:
		return len(key) == 1 || bytes.Equal(key, kv.MetaKey(kv.MetaLayout)) || bytes.Equal(key, kv.MetaKey(kv.MetaHolder))
	case kv.KKept:
		return false
	case BackedUpKeys[0]:
		return bytes.HasPrefix(key, []byte(BackedUpKeys))
	}
	return holding.InBackup(key)
}

// Block reads a block into buf, or into new memory if buf is too small, and compares it with its hash.
// While pins are written it takes its time. Errors: ErrNoBlock; ErrUnreadable; ErrKeepLost;
// pin.ErrClosed; the context's.
func (sn *Snapshot) Block(ctx context.Context, h multihash.Multihash, buf []byte) ([]byte, error) {
	began := time.Now()
	data, err := sn.s.held.ReadHashedInto(ctx, h, buf)
	if err == nil && sn.s.held.Busy() {
		err = sn.pace.wait(ctx, time.Since(began))
	}
	switch {
	case sn.keep.Lost():
		return nil, ErrKeepLost
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil, ErrNoBlock
	case err != nil:
		return nil, kv.Wrap(err, "read block %s", cid.NewCidV1(cid.Raw, h))
	}
	return data, nil
}

// ErrNoBlock: the block is not there.
var ErrNoBlock = errors.New("the block is not in the store")

// Hurt lists the DAGs that are complete and need a block that is not as it should be. If something above
// the block counts as whole, so that no walk would come to it, the other DAGs are listed, too, or the block
// if it is in none.
func (sn *Snapshot) Hurt(ctx context.Context, h multihash.Multihash) (dags []cid.Cid, err error) {
	climb := new(holding.Climb)
	hurt, err := sn.s.hurtBy(ctx, climb, h)
	if err != nil {
		return nil, err
	}
	marked, err := sn.s.held.MarkedWhole(ctx, climb.Fresh())
	for _, d := range hurt {
		if d.Complete || len(marked) > 0 {
			dags = append(dags, d.DAG.CID())
		}
	}
	if len(dags) == 0 && len(marked) > 0 {
		dags = append(dags, cid.NewCidV1(cid.Raw, h))
	}
	return dags, err
}
