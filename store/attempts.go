package store

import (
	"errors"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// attemptDAG gives the DAG of an attempt that is in use. If that cannot be read, the records
// of all DAGs are looked through; d is "" if none has the attempt.
func (s *Store) attemptDAG(r *kv.Reader, a pin.Attempt) (d pin.DAG, inUse bool, err error) {
	b, inUse, err := r.Get(attemptKey(a))
	if err == nil && (!inUse || pin.DAG(b).CID().Defined()) {
		return pin.DAG(b), inUse, nil
	}
	if err != nil && !errors.Is(err, ErrUnreadable) {
		return "", false, err
	}
	s.kv.TellUnreadable(attemptKey(a), kv.FirstError(err, ErrUnreadable))
	err = r.ScanEach(kv.Span{Prefix: []byte{kDAG}}, func(key, value []byte) (bool, error) {
		var rec dagRecord
		if s.codec.Decode(value, &rec) == nil && rec.Attempt == a {
			d = pin.DAG(key[3:])
		}
		return d == "", nil
	})
	return d, true, err
}
