package requests

import (
	"encoding/binary"
	"errors"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Some values follow from others: the numbers and dates of an account's next request, the lists,
// what an account is charged, the record of a DAG. If such a value cannot be read it is worked
// out again. That has a cost only then, and the next change that writes the value repairs it.

// accountRecord reads the record by which an account's requests are numbered and dated.
func (s *Store) accountRecord(r *kv.Reader, a kv.Account) (rec accountRecord, err error) {
	_, err = r.Take(accountKey(a), &rec)
	if errors.Is(err, pin.ErrUnreadable) {
		s.kv.LogUnreadable(accountKey(a), err)
		return workOutAccount(r.Before(), a)
	}
	return rec, err
}

// workOutAccount gives a record by which no number and no date is given that a request has.
func workOutAccount(r *kv.Reader, a kv.Account) (rec accountRecord, err error) {
	err = r.Scan(kv.Span{Prefix: kv.AccountPrefix(KRequest, a), Reverse: true, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		rec.Last = int64(binary.BigEndian.Uint64(key[1+len(a):]))
		rec.Clock = rec.Last
		return false, nil
	})
	if err != nil {
		return rec, err
	}
	err = r.Scan(kv.Span{Prefix: kv.AccountPrefix(KRow, a), Reverse: true, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		rec.NextSeq = binary.BigEndian.Uint64(key[1+len(a):]) + 1
		return false, nil
	})
	if err != nil {
		return rec, err
	}
	// A row may be missing. Its number must not be given to another request, which would get
	// what the lists have for it.
	for _, code := range byLikelihood() {
		list := statusList(code, a)
		err := r.Scan(kv.Span{Prefix: list, Reverse: true, KeysOnly: true}, func(key, _ []byte) (bool, error) {
			number := binary.BigEndian.Uint32(key[len(list):])
			c, err := chunkAt(r, list, number)
			if err != nil {
				return false, err
			}
			for bit := range c.down {
				rec.NextSeq = max(rec.NextSeq, seqAt(number, bit)+1)
				break
			}
			return false, nil
		})
		if err != nil {
			return rec, err
		}
	}
	rec.Live, err = countOnLists(r, a)
	return rec, err
}

// workOutChunk works out a chunk of a list that cannot be read because of cause. If it cannot be
// worked out, the error is cause.
func workOutChunk(r *kv.Reader, list []byte, number uint32, cause error) (*chunk, error) {
	switch {
	case list[0] == KStatus && len(list) == 2+len(kv.Account{}):
		return workOutStatus(r, statusCode(list[1]), kv.Account(list[2:]), number, cause)
	case list[0] == KByName && len(list) == 1+len(kv.Account{})+16:
		a, hash := kv.Account(list[1:]), nameHash(list[1+len(kv.Account{}):])
		c := new(chunk)
		err := eachRow(r, a, number, func(seq uint64, bit int) error {
			row, err := rowAt(r, a, seq)
			if err == nil && hashName(string(row.name)) == hash {
				c.add(bit)
			}
			if errors.Is(err, pin.ErrUnreadable) {
				return nil
			}
			return err
		})
		return c, err
	case list[0] == KByDAG:
		return workOutByDAG(r, list, number)
	}
	return nil, cause
}

// workOutStatus gives the requests that have a row and no other status.
func workOutStatus(r *kv.Reader, code statusCode, a kv.Account, number uint32, cause error) (*chunk, error) {
	c := new(chunk)
	err := eachRow(r, a, number, func(_ uint64, bit int) error {
		c.add(bit)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, other := range byLikelihood() {
		if other == code {
			continue
		}
		b, found, err := r.Get(chunkKey(statusList(other, a), number))
		if err == nil && !found {
			continue
		}
		var o chunk
		if err == nil {
			err = o.decode(b)
		}
		if errors.Is(err, pin.ErrUnreadable) {
			return nil, cause // two lists cannot be read: which request is on which is not known
		}
		if err != nil {
			return nil, err
		}
		c.andNot(&o)
	}
	return c, nil
}

// workOutByDAG gives the requests that are for a DAG by their records.
func workOutByDAG(r *kv.Reader, list []byte, number uint32) (*chunk, error) {
	const tail = len(kv.Account{})
	a, d := kv.Account(list[len(list)-tail:]), pin.DAG(list[3:len(list)-tail])
	c := new(chunk)
	err := eachRow(r, a, number, func(seq uint64, bit int) error {
		row, err := rowAt(r, a, seq)
		if err != nil {
			return err
		}
		var rec requestRecord
		if _, err = r.Take(requestKey(a, row.created), &rec); err == nil && rec.dag() == d {
			c.add(bit)
		}
		return err
	}, pin.ErrUnreadable)
	return c, err
}

// eachRow calls fn for each request of a chunk that has a row, also if the row cannot be read. It
// ignores those errors of fn that are in over.
func eachRow(r *kv.Reader, a kv.Account, number uint32, fn func(seq uint64, bit int) error, over ...error) error {
	prefix, start := kv.AccountPrefix(KRow, a), seqAt(number, 0)
	return r.Scan(kv.Span{Prefix: prefix, From: rowKey(a, start), KeysOnly: true}, func(key, _ []byte) (bool, error) {
		seq := binary.BigEndian.Uint64(key[len(prefix):])
		if seq >= start+chunkBits {
			return false, nil
		}
		err := fn(seq, int(seq-start))
		for _, o := range over {
			if errors.Is(err, o) {
				err = nil
			}
		}
		return true, err
	})
}

// takeCharge reads what an account is charged for a DAG.
func (s *Store) takeCharge(r *kv.Reader, a kv.Account, d pin.DAG) (c chargeRecord, charged bool, err error) {
	charged, err = r.Take(chargeKey(a, d), &c)
	if !errors.Is(err, pin.ErrUnreadable) {
		return c, charged, err
	}
	s.kv.LogUnreadable(chargeKey(a, d), err)
	return s.workOutCharge(r.Before(), a, d)
}

func (s *Store) workOutCharge(r *kv.Reader, a kv.Account, d pin.DAG) (c chargeRecord, charged bool, err error) {
	work, err := accountChunksFor(r, d, a)
	if err != nil {
		return c, false, err
	}
	for _, of := range work {
		which, err := requestsOf(r, d, of, codePinned)
		if err != nil {
			return c, false, err
		}
		c.Pinned += uint64(which.count())
	}
	err = s.eachTaken(r, kv.AccountPrefix(KHolds, a), func(h taken) {
		if h.pinned == d {
			c.Pinned++
		}
	})
	if err != nil || c.Pinned == 0 {
		return c, false, err
	}
	rec, _, err := s.held.DAG(r, d)
	c.Blocks, c.Bytes = rec.Blocks, rec.Bytes
	return c, true, err
}

// takeUsage reads the sum of what an account is charged.
func (s *Store) takeUsage(r *kv.Reader, a kv.Account) (u usageRecord, err error) {
	_, err = r.Take(usageKey(a), &u)
	if !errors.Is(err, pin.ErrUnreadable) {
		return u, err
	}
	s.kv.LogUnreadable(usageKey(a), err)
	r, u = r.Before(), usageRecord{}
	prefix := kv.AccountPrefix(KCharge, a)
	err = r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		c, charged, err := s.takeCharge(r, a, pin.DAG(key[len(prefix)+2:]))
		if charged {
			u.DAGs, u.Blocks, u.Bytes = u.DAGs+1, u.Blocks+c.Blocks, u.Bytes+c.Bytes
		}
		return true, err
	})
	return u, err
}

// eachTaken calls fn with what requests by Replace hold, for all under a prefix.
func (s *Store) eachTaken(r *kv.Reader, prefix []byte, fn func(taken)) error {
	return r.Scan(kv.Span{Prefix: prefix, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		h, err := s.tookOver(r, kv.Account(key[1:]), binary.BigEndian.Uint64(key[1+len(kv.Account{}):]))
		if err == nil {
			fn(h)
		}
		return true, err
	})
}

// workOutDAG works out the record of a DAG from the requests that hold it, and from where it lingers.
// The DAG is complete if some requests are pinned and none waits; one that was complete when it began
// to linger counts as pinned. If some wait, too, the DAG counts as being repaired, so that all of it
// is checked.
func (s *Store) workOutDAG(r *kv.Reader, d pin.DAG) (rec holding.DAGRecord, found bool, err error) {
	work, err := chunksFor(r, d)
	if err != nil {
		return rec, false, err
	}
	var pinned, waiting bool
	for _, of := range work {
		for _, code := range []statusCode{codeQueued, codePinning, codePinned} {
			which, err := requestsOf(r, d, of, code)
			if err != nil {
				return rec, false, err
			}
			rec.Holders += uint64(which.count())
			pinned = pinned || code == codePinned && !which.empty()
			waiting = waiting || code != codePinned && !which.empty()
		}
		var c chargeRecord
		if charged, err := r.Take(chargeKey(of.account, d), &c); err == nil && charged {
			rec.Blocks, rec.Bytes = c.Blocks, c.Bytes
		} else if err != nil && !errors.Is(err, pin.ErrUnreadable) {
			return rec, false, err
		}
	}
	err = s.eachTaken(r, []byte{KHolds}, func(h taken) {
		for _, held := range h.all() {
			if held == d {
				rec.Holders++
			}
		}
		pinned = pinned || h.pinned == d
	})
	if err != nil {
		return rec, false, err
	}
	err = r.ScanEach(kv.Span{Prefix: []byte{KLinger}}, func(_, value []byte) (bool, error) {
		var one lingerRecord
		if kv.Decode(value, &one) != nil || pin.DAG(one.DAG) != d {
			return true, nil
		}
		rec.Holders++
		if one.Complete && !pinned {
			rec.Blocks, rec.Bytes = one.Blocks, one.Bytes
		}
		pinned = pinned || one.Complete
		return true, nil
	})
	if err != nil {
		return rec, false, err
	}
	rec.Complete = pinned && !waiting
	if !pinned {
		rec.Blocks, rec.Bytes = 0, 0
	}
	err = r.Scan(kv.Span{Prefix: []byte{holding.KAttempt}, KeysOnly: true}, func(key, _ []byte) (bool, error) {
		of, _, err := r.Get(key)
		if errors.Is(err, pin.ErrUnreadable) {
			return true, nil
		}
		if err == nil && pin.DAG(of) == d {
			rec.Attempt = pin.Attempt(holding.TailHolder(key))
		}
		return err == nil && rec.Attempt == 0, err
	})
	return rec, rec.Holders > 0, err
}
