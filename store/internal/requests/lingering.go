package requests

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A DAG that lingers for an account is held by a record of its own, in the place of the request
// that was removed. Each has a number, which is higher than those before it. So the oldest are
// found first, whatever the clock did. Which DAGs linger for an account is also under keys of
// their own, and there is a sum of all.

// lingerRecord is a DAG that lingers.
type lingerRecord struct {
	_       struct{} `cbor:",toarray"`
	Account [16]byte
	DAG     []byte
	Since   int64 // Unix milliseconds by the clock, which may have been set back since
	// Complete says that the DAG was complete when it began to linger. Blocks and Bytes are its
	// totals then; or of what was noted of it.
	Complete bool
	Blocks   uint64
	Bytes    uint64
}

// lingeringRecord is the sum of all that lingers.
type lingeringRecord struct {
	_      struct{} `cbor:",toarray"`
	DAGs   uint64
	Blocks uint64
	Bytes  uint64
}

// lingerKey is the key of a DAG that lingers.
func lingerKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{KLinger}, number)
}

// lingersKey is the key of the number under which a DAG lingers for an account.
func lingersKey(a kv.Account, d pin.DAG) []byte {
	return holding.AppendDAG(kv.AccountPrefix(KLingers, a), d)
}

// lingeringKey is the key of the sum.
func lingeringKey() []byte { return []byte{KLingering} }

// Linger implements [pin.Graces].
func (s *Store) Linger(ctx context.Context, account, id string) (old pin.Request, released []pin.Attempt, err error) {
	return s.remove(ctx, "unpin request", account, id, func(t *kv.Tx, was *request) error {
		if !was.status.live() || was.dag() == "" {
			return nil
		}
		live, err := liveCount(&t.Reader, was.account, was.dag(), 2)
		if err != nil || live != 1 {
			return err
		}
		return s.linger(t, was.account, was.dag())
	})
}

// linger writes that a DAG lingers from now on, and holds it.
func (s *Store) linger(t *kv.Tx, a kv.Account, d pin.DAG) error {
	if err := s.revive(t, a, d); err != nil { // it lingers from now on alone
		return err
	}
	dag, _, err := s.held.DAG(&t.Reader, d)
	if err != nil {
		return err
	}
	rec := lingerRecord{Account: a, DAG: []byte(d), Since: s.now().UnixMilli(), Complete: dag.Complete, Blocks: dag.Blocks, Bytes: dag.Bytes}
	if !dag.Complete && !dag.Repairing() {
		p, err := s.held.Partial(&t.Reader, d)
		if err != nil {
			return err
		}
		rec.Blocks, rec.Bytes = p.Blocks, p.Bytes
	}
	number, err := holding.TakeNumber(t)
	if err != nil {
		return err
	}
	if _, err := s.held.Hold(t, d); err != nil {
		return err
	}
	t.Set(lingersKey(a, d), binary.BigEndian.AppendUint64(nil, number))
	if err := t.Put(lingerKey(number), rec); err != nil {
		return err
	}
	return s.sumLingering(t, rec, 1)
}

// hold counts one more request of an account that holds a DAG, and reports whether the DAG is
// complete. If the DAG lingers for the account, that ends.
func (s *Store) hold(t *kv.Tx, a kv.Account, d pin.DAG) (complete bool, err error) {
	if complete, err = s.held.Hold(t, d); err != nil {
		return false, err
	}
	return complete, s.revive(t, a, d)
}

// lingersFor reports whether a DAG lingers for an account.
func (s *Store) lingersFor(ctx context.Context, account string, d pin.DAG) (lingers bool, err error) {
	a, ok := kv.AccountOf(account)
	if !ok {
		return false, nil
	}
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		_, lingers, err = r.Get(lingersKey(a, d))
		return err
	})
	return lingers, err
}

// revive ends the lingering of a DAG for an account, if it lingers. Something else holds the DAG.
func (s *Store) revive(t *kv.Tx, a kv.Account, d pin.DAG) error {
	b, found, err := t.Get(lingersKey(a, d))
	if errors.Is(err, pin.ErrUnreadable) {
		s.kv.LogUnreadable(lingersKey(a, d), err)
		return nil // it is held twice until the lingering ends
	}
	if err != nil || !found {
		return err
	}
	_, err = s.endLinger(t, numberIn(b), nil)
	return err
}

// endLinger ends the lingering under a number, and appends to released what is not held any more.
func (s *Store) endLinger(t *kv.Tx, number uint64, released []pin.Attempt) (_ []pin.Attempt, err error) {
	var rec lingerRecord
	found, err := t.Take(lingerKey(number), &rec)
	if errors.Is(err, pin.ErrUnreadable) {
		rec, err = s.writeLingerAnew(t, number, 0, err)
	}
	if err != nil || !found {
		return released, err
	}
	a, d := kv.Account(rec.Account), pin.DAG(rec.DAG)
	t.Delete(lingerKey(number))
	if err := s.sumLingering(t, rec, -1); err != nil {
		return released, err
	}
	if d == "" { // what it holds is not known: the store keeps too much rather than too little
		return released, nil
	}
	b, found, err := t.Get(lingersKey(a, d))
	if kv.PassUnreadable(err) != nil {
		return released, err
	}
	// One that cannot be read may be this one's, and else it is found by the other's record.
	if n := numberIn(b); err != nil || found && (n == number || n == 0) {
		t.Delete(lingersKey(a, d))
	}
	return s.held.LetGoMany(t, d, 1, released)
}

// numberIn gives the number in a value of a KLingers key; 0, which is none, if it has none.
func numberIn(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// writeLingerAnew writes a record that cannot be read because of cause, with what is known of it, and
// the sum of all. It lingers since now.
func (s *Store) writeLingerAnew(t *kv.Tx, number uint64, now int64, cause error) (rec lingerRecord, err error) {
	s.kv.LogUnreadable(lingerKey(number), cause)
	if rec, err = lingerOf(&t.Reader, number); err != nil {
		return rec, err
	}
	dag, _, err := s.held.DAG(&t.Reader, pin.DAG(rec.DAG))
	if err != nil {
		return rec, err
	}
	rec.Since, rec.Complete, rec.Blocks, rec.Bytes = now, dag.Complete, dag.Blocks, dag.Bytes
	if err := t.Put(lingerKey(number), rec); err != nil {
		return rec, err
	}
	sum, err := sumOfLingering(&t.Reader)
	if err != nil {
		return rec, err
	}
	return rec, putLingering(t, sum)
}

// lingerOf works out from the other keys what lingers under a number. Its DAG is empty if there is
// no such key.
func lingerOf(r *kv.Reader, number uint64) (rec lingerRecord, err error) {
	err = r.ScanEach(kv.Span{Prefix: []byte{KLingers}}, func(key, value []byte) (bool, error) {
		if numberIn(value) != number {
			return true, nil
		}
		tail := key[1+copy(rec.Account[:], key[1:]):]
		rec.DAG = append(rec.DAG, tail[2:]...) // after the length
		return false, nil
	})
	return rec, err
}

// sumLingering adds what lingers to the sum, or takes it off (n is -1).
func (s *Store) sumLingering(t *kv.Tx, rec lingerRecord, n int) error {
	sum, err := s.takeLingering(&t.Reader)
	if err != nil {
		return err
	}
	sum.DAGs += uint64(n)
	sum.Blocks += uint64(n) * rec.Blocks
	sum.Bytes += uint64(n) * rec.Bytes
	return putLingering(t, sum)
}

func putLingering(t *kv.Tx, sum lingeringRecord) error {
	if sum.DAGs == 0 {
		t.Delete(lingeringKey())
		return nil
	}
	return t.Put(lingeringKey(), sum)
}

// takeLingering reads the sum of what lingers.
func (s *Store) takeLingering(r *kv.Reader) (sum lingeringRecord, err error) {
	_, err = r.Take(lingeringKey(), &sum)
	if !errors.Is(err, pin.ErrUnreadable) {
		return sum, err
	}
	s.kv.LogUnreadable(lingeringKey(), err)
	return sumOfLingering(r.Before())
}

// sumOfLingering works it out anew. What cannot be read counts for nothing.
func sumOfLingering(r *kv.Reader) (sum lingeringRecord, err error) {
	err = r.ScanEach(kv.Span{Prefix: []byte{KLinger}}, func(_, value []byte) (bool, error) {
		var rec lingerRecord
		if kv.Decode(value, &rec) == nil {
			sum.DAGs++
			sum.Blocks += rec.Blocks
			sum.Bytes += rec.Bytes
		}
		return true, nil
	})
	return sum, err
}

// Lingering implements [pin.Graces].
func (s *Store) Lingering(ctx context.Context) (l pin.Lingering, err error) {
	err = s.kv.View(ctx, func(r *kv.Reader) error {
		sum, err := s.takeLingering(r)
		l = pin.Lingering{DAGs: sum.DAGs, Totals: pin.Totals{Blocks: sum.Blocks, Bytes: sum.Bytes}}
		return err
	})
	if err != nil {
		return pin.Lingering{}, kv.Wrap(err, "read what lingers")
	}
	return l, nil
}

// EndLingering implements [pin.Graces].
func (s *Store) EndLingering(ctx context.Context, account string, age time.Duration) (e pin.Ended, more bool, err error) {
	a, ok := kv.AccountOf(account)
	if !ok && account != "" {
		return e, false, ctx.Err()
	}
	now := s.now().UnixMilli()
	over := func(rec lingerRecord) bool { return holding.GraceOver(rec.Since, now, age) }
	var due, ahead []uint64
	err = s.eachLinger(ctx, func(number uint64, rec lingerRecord, readable bool) bool {
		switch {
		case account != "" && (!readable || rec.Account != a):
		case over(rec) && len(due) == pin.EndsAtOnce:
			more = true
			return false
		case over(rec):
			due = append(due, number)
		case rec.Since > now:
			ahead = append(ahead, number)
		default:
			return account != ""
		}
		return true
	})
	// All that are ahead get their date at once: what is dated now has others wait that come after it.
	for some := range slices.Chunk(ahead, pin.EndsAtOnce) {
		if err == nil {
			_, err = s.endDue(ctx, some, now, over) // it ends none of them
		}
	}
	if err == nil && len(due) > 0 {
		e, err = s.endDue(ctx, due, now, over)
	}
	if err != nil {
		return e, false, kv.Wrap(err, "end what lingers")
	}
	return e, more, nil
}

// EndOldest implements [pin.Graces].
func (s *Store) EndOldest(ctx context.Context, age time.Duration, bytes uint64) (e pin.Ended, err error) {
	now := s.now().UnixMilli()
	var due []uint64
	sum := uint64(0)
	err = s.eachLinger(ctx, func(number uint64, rec lingerRecord, _ bool) bool {
		if !holding.GraceOver(rec.Since, now, age) {
			return false
		}
		due = append(due, number)
		sum += rec.Bytes
		return sum < bytes && len(due) < pin.EndsAtOnce
	})
	if err == nil && len(due) > 0 {
		e, err = s.endDue(ctx, due, 0, func(lingerRecord) bool { return true })
	}
	if err != nil {
		return e, kv.Wrap(err, "end what lingers longest")
	}
	return e, nil
}

// eachLinger calls fn for what lingers, the oldest first, until fn returns false. A record that
// cannot be read is empty.
func (s *Store) eachLinger(ctx context.Context, fn func(number uint64, rec lingerRecord, readable bool) bool) error {
	return s.kv.View(ctx, func(r *kv.Reader) error {
		return r.ScanEach(kv.Span{Prefix: []byte{KLinger}}, func(key, value []byte) (bool, error) {
			var rec lingerRecord
			err := kv.Decode(value, &rec)
			if err != nil {
				rec = lingerRecord{}
			}
			return fn(binary.BigEndian.Uint64(key[1:]), rec, err == nil), kv.PassUnreadable(err)
		})
	})
}

// endDue ends the lingering under some numbers where it is over. Where it is not, the clock was set
// back since it began: it begins now.
func (s *Store) endDue(ctx context.Context, due []uint64, now int64, over func(lingerRecord) bool) (e pin.Ended, err error) {
	err = s.kv.Update(ctx, func(t *kv.Tx) error {
		e = pin.Ended{}
		for _, number := range due {
			var rec lingerRecord
			found, err := t.Take(lingerKey(number), &rec)
			if err != nil && !errors.Is(err, pin.ErrUnreadable) {
				return err
			}
			if !found {
				continue
			}
			if err != nil {
				if rec, err = s.writeLingerAnew(t, number, now, err); err != nil {
					return err
				}
			}
			if !over(rec) {
				rec.Since = now
				if err := t.Put(lingerKey(number), rec); err != nil {
					return err
				}
				continue
			}
			if e.Released, err = s.endLinger(t, number, e.Released); err != nil {
				return err
			}
			e.Graces++
			e.Blocks += rec.Blocks
			e.Bytes += rec.Bytes
		}
		return nil
	})
	if err != nil {
		return inDoubt(err, e), err
	}
	return e, nil
}
