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

// Damage is a damaged block, and what that hurts.
type Damage struct {
	Hash multihash.Multihash
	Kind string // [graph.DamageMissing] or [graph.DamageCorrupt]
	DAGs []requests.HurtDAG
}

// CID gives the block as a CID.
func (d Damage) CID() cid.Cid { return cid.NewCidV1(cid.Raw, d.Hash) }

// VerifyProgress is how far a check is.
type VerifyProgress struct {
	Blocks, Bytes uint64 // that were checked
	Total         uint64 // how many links there are; a block may have several
	Done          uint64 // how many of them were gone through
}

// VerifyReport is what a check found.
type VerifyReport struct {
	// Tables is the damaged tables of the database. What is in them is not known, so the rest
	// of the report may lack something, and Verify fails.
	Tables  []space.BadTable
	Blocks  uint64 // how many blocks were hashed, or are missing
	Bytes   uint64
	Corrupt uint64
	Missing uint64
	Strays  uint64        // blocks that nothing links to and that had no note; the next reclaim deletes them
	Elapsed time.Duration // nanoseconds
	DamagedRecords
}

// Verify checks the store. First it checks the tables of the database. Then it reads and hashes every
// block that something links to, and calls report for each that is damaged. Then it looks for blocks
// that nothing links to and that have no note, and writes the notes. Last it reads every record. Its
// memory does not grow with the store. What changes meanwhile may or may not be checked, and is never
// reported as damage. One goroutine calls report and progress. progress may be nil. An error of report
// ends the check. Errors: an ErrDamaged if a table is damaged, after everything else was checked.
func (s *Store) Verify(ctx context.Context, report func(Damage) error, progress func(VerifyProgress)) (VerifyReport, error) {
	start := time.Now()
	if progress == nil {
		progress = func(VerifyProgress) {}
	}
	v := &verifier{s: s, report: report, progress: progress}
	err := v.run(ctx)
	v.found.Elapsed = time.Since(start)
	if len(v.found.Tables) > 0 && (err == nil || errors.Is(err, pin.ErrUnreadable)) {
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
	marks    []graph.Holder // what is above damaged blocks, and is not whole
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
				return errors.Join(err, v.takeBack(1))
			}
			if err := v.takeBack(holding.MarksPerBatch); err != nil {
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
	if err := v.takeBack(1); err != nil {
		return err
	}
	if err := v.strays(ctx); err != nil {
		return err
	}
	return v.s.checkRecords(ctx, true, v.found.DamagedRecords.note)
}

// check checks one block. If it seems damaged it is checked again, while it cannot be claimed or
// deleted.
func (v *verifier) check(ctx context.Context, h multihash.Multihash) error {
	size, kind, err := v.s.held.HashBlock(ctx, h)
	if _, noHash := multihash.Decode(h); noHash != nil || kind == holding.DamageMissing {
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
	if d.Kind == holding.DamageMissing {
		v.found.Missing++
	} else {
		v.found.Corrupt++
	}
	return v.report(d)
}

// checkAgain is check after links to the block were deleted. There may be none left, and then it need
// not be checked.
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

// confirm checks a block again that seems damaged. The kind is "" if the block is not damaged, or if
// that hurts nothing.
func (v *verifier) confirm(ctx context.Context, h multihash.Multihash) (d Damage, err error) {
	defer v.s.held.Alone(h)()
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
	above := v.climb.Fresh()
	if d.Kind == "" {
		// It is still to be fetched, but no walk comes to it below what counts as whole.
		above, err = v.s.held.MarkedWhole(ctx, above)
	}
	v.marks = append(v.marks, above...)
	return d, err
}

// takeBack takes back the marks that what is above damaged blocks is whole, once there are least
// of them.
func (v *verifier) takeBack(least int) error {
	if len(v.marks) < least {
		return nil
	}
	holders := v.marks
	v.marks = nil
	return v.s.held.TakeBackWhole(holders)
}

// kindFor is the kind of damage that a block has, or none if that hurts nothing: what is
// missing of an incomplete DAG is still to be fetched.
func kindFor(hurt []requests.HurtDAG, kind string) string {
	for _, dag := range hurt {
		if kind == holding.DamageCorrupt || dag.Complete {
			return kind
		}
	}
	return ""
}

// hurtBy lists the DAGs that a block is part of, with their requests.
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

// strays writes notes for the blocks that nothing links to and that have no note.
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
