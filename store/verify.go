package store

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	holding "github.com/holdfast-ipfs/holdfast/store/internal/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
	"github.com/holdfast-ipfs/holdfast/store/internal/requests"
	"github.com/holdfast-ipfs/holdfast/store/internal/space"
)

// What may be wrong with a block.
const (
	DamageMissing = holding.DamageMissing // a DAG that is complete refers to it, and it is not there
	DamageCorrupt = holding.DamageCorrupt // its bytes do not have its hash, or cannot be read
)

// Damage is a block that is not as it should be, and what it hurts.
type Damage struct {
	Hash multihash.Multihash
	Kind string // DamageMissing or DamageCorrupt
	DAGs []requests.HurtDAG
}

// CID gives the block as a CID.
func (d Damage) CID() cid.Cid { return cid.NewCidV1(cid.Raw, d.Hash) }

// VerifyProgress is how far a check is.
type VerifyProgress struct {
	Blocks, Bytes uint64 // that were looked at
	Total         uint64 // references to look at, of which a block may have several
	Done          uint64 // of those
}

// VerifyReport is what a check found.
type VerifyReport struct {
	// Tables is the tables of the database that are damaged. What those have cannot be
	// told, so that the rest of the report may lack something, and Verify fails.
	Tables  []space.BadTable
	Blocks  uint64 // that were hashed, or are missing
	Bytes   uint64
	Corrupt uint64
	Missing uint64
	Strays  uint64        // blocks that nothing refers to and no reclaim knew of; the next does
	Elapsed time.Duration // nanoseconds
	DamagedRecords
}

// Damaged is how many blocks are not as they should be.
func (r VerifyReport) Damaged() uint64 { return r.Corrupt + r.Missing }

// Verify checks the tables of the database, reads and hashes every block that something
// refers to, and tells report of each that is damaged. It then reads every record. It
// also looks for blocks that nothing refers to and
// that a reclaim would not find, and has the next one look at them. Its memory
// does not grow with the store. What changes meanwhile may or may not be seen,
// but is never reported as damage. progress may be nil. Both functions are
// called by one goroutine; an error of report ends the check. The tables of the database
// are looked at first. Errors: a [*DamagedTablesError], after all that can be read was.
func (s *Store) Verify(ctx context.Context, report func(Damage) error, progress func(VerifyProgress)) (VerifyReport, error) {
	start := time.Now()
	if progress == nil {
		progress = func(VerifyProgress) {}
	}
	v := &verifier{s: s, report: report, progress: progress}
	err := v.run(ctx)
	v.found.Elapsed = time.Since(start)
	if len(v.found.Tables) > 0 && (err == nil || errors.Is(err, ErrUnreadable)) {
		err = &space.DamagedTablesError{Tables: v.found.Tables}
	}
	if err != nil {
		return v.found, kv.Wrap(err, "verify the store")
	}
	return v.found, nil
}

type verifier struct {
	s        *Store
	report   func(Damage) error
	progress func(VerifyProgress)
	found    VerifyReport
	climb    holding.Climb
}

func (v *verifier) run(ctx context.Context) (err error) {
	if v.found.Tables, err = v.s.space.LiveBadTables(ctx); err != nil {
		return err
	}
	total, err := v.s.kv.CountKeys(ctx, []byte{holding.KLinkTo})
	if err != nil {
		return err
	}
	done := uint64(0)
	var from []byte
	for {
		hashes, refs, next, err := v.s.held.HashesFrom(ctx, from)
		if err != nil {
			return err
		}
		for _, h := range hashes {
			if err := v.check(ctx, h); err != nil {
				return err
			}
		}
		done += refs
		v.progress(VerifyProgress{Blocks: v.found.Blocks, Bytes: v.found.Bytes, Done: done, Total: max(done, total)})
		if next == nil {
			break
		}
		from = next
	}
	if err := v.strays(ctx); err != nil {
		return err
	}
	return v.s.checkRecords(ctx, true, v.found.DamagedRecords.note)
}

// check looks at one block. What seems wrong is looked at again while nothing
// can be claimed or deleted there.
func (v *verifier) check(ctx context.Context, h multihash.Multihash) error {
	size, kind, err := v.s.held.HashBlock(ctx, h)
	if _, noHash := multihash.Decode(h); noHash != nil || kind == DamageMissing {
		if err := v.s.space.RoomForUpkeep(); err != nil {
			return err
		}
		n, err := v.s.held.MendLinks(ctx, h)
		if err != nil {
			return err
		}
		if n > 0 {
			return v.checkAgain(ctx, h)
		}
	}
	if err != nil {
		return err
	}
	v.found.Blocks++
	v.found.Bytes += uint64(size)
	if kind == "" {
		return nil
	}
	d, err := v.confirm(ctx, h)
	if err != nil || d.Kind == "" {
		return err
	}
	if d.Kind == DamageMissing {
		v.found.Missing++
	} else {
		v.found.Corrupt++
	}
	return v.report(d)
}

// checkAgain is check after links to the block were deleted: there may be no other.
func (v *verifier) checkAgain(ctx context.Context, h multihash.Multihash) error {
	linked := false
	err := v.s.kv.View(ctx, func(r *kv.Reader) error {
		return r.Scan(kv.Span{Prefix: holding.BlockLinks(h), KeysOnly: true}, func(key, _ []byte) (bool, error) {
			l, err := holding.SplitLinkTo(key)
			linked = err == nil && string(l.Hash) == string(h)
			return !linked, err
		})
	})
	if err != nil || !linked {
		return err
	}
	return v.check(ctx, h)
}

// confirm looks again at a block that seems damaged. It gives no kind if it is
// not, or if that hurts nothing.
func (v *verifier) confirm(ctx context.Context, h multihash.Multihash) (d Damage, err error) {
	defer v.s.held.Claims.Alone([]multihash.Multihash{h})()
	_, kind, err := v.s.held.HashBlock(ctx, h)
	if err != nil || kind == "" {
		return d, err
	}
	if d.DAGs, err = v.s.hurtBy(ctx, &v.climb, h); err != nil {
		return d, err
	}
	if d.Kind = kindFor(d.DAGs, kind); d.Kind == "" {
		// What it remembers of the way up may not be so any more.
		v.climb = holding.Climb{}
		if d.DAGs, err = v.s.hurtBy(ctx, &v.climb, h); err != nil {
			return d, err
		}
		d.Kind = kindFor(d.DAGs, kind)
	}
	d.Hash = h
	if d.Kind == "" {
		return d, nil
	}
	return d, v.s.held.TakeBackWhole(v.climb.Fresh())
}

// kindFor is the kind of damage that a block has, or none if that hurts nothing: what is
// missing of an incomplete DAG is still to be fetched.
func kindFor(hurt []requests.HurtDAG, kind string) string {
	for _, dag := range hurt {
		if kind == DamageCorrupt || dag.Complete {
			return kind
		}
	}
	return ""
}

// hurtBy lists the DAGs that a block is of, with their requests.
func (s *Store) hurtBy(ctx context.Context, climb *holding.Climb, h multihash.Multihash) (hurt []requests.HurtDAG, err error) {
	err = s.requestRecords.ViewLearning(ctx, func(r *kv.Reader) error {
		hurt = nil
		tops, err := climb.Above(r, h)
		if err != nil {
			return err
		}
		for _, top := range tops {
			d, inUse, err := s.held.AttemptDAG(r, pin.Attempt(top))
			if err != nil {
				return err
			}
			if !inUse || d == "" {
				continue // a node that is gone, or an attempt that is being dropped
			}
			rec, _, err := s.held.DAG(r, pin.DAG(d))
			if err != nil {
				return err
			}
			one := requests.HurtDAG{DAG: pin.DAG(d), Complete: rec.Complete}
			if err := s.requestRecords.HoldersOf(r, &one); err != nil {
				return err
			}
			hurt = append(hurt, one)
		}
		return nil
	})
	return hurt, err
}

// strays notes the blocks that nothing refers to and that have no note.
func (v *verifier) strays(ctx context.Context) error {
	var page []graph.Ref
	note := func() error {
		if err := v.s.kv.Enter(ctx); err != nil {
			return err
		}
		defer v.s.kv.Leave()
		n, err := v.s.held.NoteStrays(page)
		v.found.Strays += n
		page = page[:0]
		return err
	}
	err := v.s.kv.Walk(ctx, kv.Span{Prefix: append(blockstore.BlockPrefix.Bytes(), '/'), KeysOnly: true}, func(key, _ []byte) error {
		if h, ok := holding.BlockOf(datastore.RawKey(string(key))); ok {
			page = append(page, graph.Ref{Hash: h})
		}
		if len(page) < holding.DeletesPerBatch {
			return nil
		}
		return note()
	})
	if err != nil {
		return err
	}
	return note()
}
