package graph

import (
	"errors"
	"time"

	"github.com/holdfast-ipfs/holdfast/internal/diskerr"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// partialRecord is what is on disk of a DAG that is not complete and waits for a source.
type partialRecord struct {
	_      struct{} `cbor:",toarray"`
	Last   int64    // when its last block came, in Unix milliseconds
	Blocks uint64   // how many blocks are there; 0 after they gave way
	Bytes  uint64   // of these blocks
	// Troubles is what the last run found of single blocks, for the user.
	Troubles string
}

// PartialKey is the key of that record.
func PartialKey(d pin.DAG) []byte { return AppendDAG([]byte{KPartial}, d) }

// Partial reads the record of what is there of a DAG. One that cannot be read counts as none: then the
// DAG waits as if its last block had come just now.
func (g *Store) Partial(r *kv.Reader, d pin.DAG) (p pin.Kept, err error) {
	var rec partialRecord
	found, err := r.Take(PartialKey(d), &rec)
	if errors.Is(err, diskerr.ErrUnreadable) {
		g.kv.LogUnreadable(PartialKey(d), err)
		return pin.Kept{}, nil
	}
	if err != nil || !found {
		return pin.Kept{}, err
	}
	return pin.Kept{Blocks: rec.Blocks, Bytes: rec.Bytes, Last: time.UnixMilli(rec.Last).UTC(), Troubles: rec.Troubles}, nil
}

// PutPartial writes the record of what is there of a DAG.
func (g *Store) PutPartial(t *kv.Tx, d pin.DAG, p pin.Kept) error {
	return t.Put(PartialKey(d), partialRecord{Last: p.Last.UnixMilli(), Blocks: p.Blocks, Bytes: p.Bytes, Troubles: p.Troubles})
}

// release marks an attempt as released, when its DAG does not have it any more.
func (g *Store) release(t *kv.Tx, d pin.DAG, a pin.Attempt) error {
	t.Delete(attemptKey(a))
	t.Delete(WholeKey(graph.HolderOf(a)))
	return t.Put(releasedKey(graph.HolderOf(a)), releasedRecord{DAG: []byte(d)})
}

// ReleasePartial releases the attempt of a DAG that is not complete and has such a record. The DAG keeps
// its holders and the record, and gets another attempt when it is fetched again.
func (g *Store) ReleasePartial(t *kv.Tx, d pin.DAG) (released []pin.Attempt, err error) {
	rec, found, err := g.DAG(&t.Reader, d)
	if err != nil || !found || rec.Complete || rec.Repairing() || rec.Attempt == 0 {
		return nil, err
	}
	p, err := g.Partial(&t.Reader, d)
	if err != nil || p.Last.IsZero() {
		return nil, err
	}
	a := rec.Attempt
	rec.Attempt, p.Blocks, p.Bytes = 0, 0, 0
	if err := t.Put(DAGKey(d), rec); err != nil {
		return nil, err
	}
	if err := g.PutPartial(t, d, p); err != nil {
		return nil, err
	}
	return []pin.Attempt{a}, g.release(t, d, a)
}
