package requests

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// createdOf reads Created of a request, by which its record is found. found is false if it has no
// record.
func (s *Store) createdOf(r *kv.Reader, a kv.Account, seq uint64) (ms int64, found bool, err error) {
	row, err := rowAt(r, a, seq)
	if errors.Is(err, pin.ErrUnreadable) {
		return s.createdByOrder(a, seq, err)
	}
	return row.created, err == nil, err
}

// rowAt reads the row of a request that is on a list. Errors: pin.ErrUnreadable, also if there is
// no row.
func rowAt(r *kv.Reader, a kv.Account, seq uint64) (row, error) {
	key := rowKey(a, seq)
	b, found, err := r.Get(key)
	if err == nil && !found {
		err = fmt.Errorf("%w: a listed request has no row at key %x", pin.ErrUnreadable, key)
	}
	if err != nil {
		return row{}, err
	}
	return decodeRow(b)
}

// row reads the row of a request. If it cannot be read, row makes it from the record.
func (l *lister) row(seq uint64) (r row, found bool, err error) {
	if r, err = rowAt(l.r, l.account, seq); !errors.Is(err, pin.ErrUnreadable) {
		return r, err == nil, err
	}
	ms, found, err := l.s.createdByOrder(l.account, seq, err)
	if err != nil || !found {
		return row{}, false, err
	}
	var rec requestRecord
	_, err = l.r.Take(requestKey(l.account, ms), &rec)
	if errors.Is(err, pin.ErrUnreadable) {
		return row{created: ms}, true, nil
	}
	if err == nil {
		r, err = decodeRow(encodeRow(&rec))
	}
	return r, err == nil, err
}

// manyRows is from how many requests on a scan is quicker than to read them one by one. A scan
// takes time to set up, and steps over others, too.
const manyRows = 64

// rows calls fn for the row of each request of a chunk, newest first.
func (l *lister) rows(number uint32, which *chunk, fn func(row) error) error {
	end := chunkBits // the requests below it are left
	if which.count() >= manyRows {
		if done, err := l.rowsByScan(number, which, fn); !errors.Is(err, pin.ErrUnreadable) {
			return err
		} else {
			end = done
		}
	}
	for bit := range which.down {
		if bit >= end {
			continue
		}
		r, found, err := l.row(seqAt(number, bit))
		if err == nil && found {
			err = fn(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rowsByScan is rows by a scan, which ends at a row that cannot be read. It called fn for all
// from done on.
func (l *lister) rowsByScan(number uint32, which *chunk, fn func(row) error) (done int, err error) {
	prefix := kv.AccountPrefix(KRow, l.account)
	start := seqAt(number, 0)
	last := rowKey(l.account, start+chunkBits-1)
	done = chunkBits
	var inner error
	err = l.r.Scan(kv.Span{Prefix: prefix, From: last, Reverse: true}, func(key, value []byte) (bool, error) {
		seq := binary.BigEndian.Uint64(key[len(prefix):])
		if seq < start {
			return false, nil
		}
		bit := int(seq - start)
		if which.has(bit) {
			r, err := decodeRow(value)
			if err != nil {
				return false, err
			}
			if inner = fn(r); inner != nil {
				return false, nil
			}
		}
		done = bit
		return true, nil
	})
	if inner != nil {
		return done, inner
	}
	return done, err
}
