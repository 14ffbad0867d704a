package requests

import (
	"errors"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// Who delivered a DAG is kept beside what an account is charged for it, and goes with that. It
// is kept for the accounts for which the DAG was fetched: whoever pins it later learns nothing of
// those who had it before. A repair begins it anew.

// deliveredRecord is a pin.Delivered on disk. It is a map, so that a field can be added.
type deliveredRecord struct {
	At      int64          `cbor:"1,keyasint"` // Unix milliseconds
	Sources []sourceRecord `cbor:"2,keyasint,omitempty"`
	Others  uint64         `cbor:"3,keyasint,omitempty"`
	Blocks  uint64         `cbor:"4,keyasint,omitempty"` // of the others
	Bytes   uint64         `cbor:"5,keyasint,omitempty"`
}

type sourceRecord struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	Blocks uint64
	Bytes  uint64
}

// deliver writes who delivered a DAG that an account has pinned from now on.
func deliver(t *kv.Tx, a kv.Account, d pin.DAG, by *pin.Delivered) error {
	if by == nil {
		return nil
	}
	rec := deliveredRecord{At: by.At.UnixMilli(), Others: uint64(by.Others), Blocks: by.Rest.Blocks, Bytes: by.Rest.Bytes}
	for _, one := range by.Sources {
		rec.Sources = append(rec.Sources, sourceRecord{Name: one.Name, Blocks: one.Blocks, Bytes: one.Bytes})
	}
	return t.Put(deliveredKey(a, d), rec)
}

// deliveredBy reads that. It is nil if it is not known, or cannot be read any more.
func (s *Store) deliveredBy(r *kv.Reader, a kv.Account, d pin.DAG) (*pin.Delivered, error) {
	var rec deliveredRecord
	found, err := r.Take(deliveredKey(a, d), &rec)
	if errors.Is(err, pin.ErrUnreadable) {
		s.kv.LogUnreadable(deliveredKey(a, d), err)
		return nil, nil
	}
	if err != nil || !found {
		return nil, err
	}
	by := &pin.Delivered{At: time.UnixMilli(rec.At).UTC(), Others: int(rec.Others), Rest: pin.Source{Blocks: rec.Blocks, Bytes: rec.Bytes}}
	for _, one := range rec.Sources {
		by.Sources = append(by.Sources, pin.Source{Name: one.Name, Blocks: one.Blocks, Bytes: one.Bytes})
	}
	return by, nil
}
