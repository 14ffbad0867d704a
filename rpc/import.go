package rpc

import (
	"errors"
	"io"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// ofImport are the parameters of dag/import.
var ofImport = []param{
	{names: []string{"pin-roots"}, kind: boolean, only: "true", why: unpinned},
	{names: []string{"local-only"}, kind: boolean, only: "false", why: "of a CAR that is not whole nothing can be pinned"},
	takes(boolean, "silent"), // it changes what the command line shows
	takes(boolean, "stats"),
	takes(boolean, "allow-big-block"),
	takes(word, "pin-name"),
	{names: []string{"fast-provide-root"}, kind: boolean, only: "true", why: announced},
	{names: []string{"fast-provide-dag"}, kind: boolean, only: "false", why: "the roots of pins are announced"},
	{names: []string{"fast-provide-wait"}, kind: boolean, only: "false", why: announced},
}

type importedRoot struct {
	Cid         cid.Cid
	PinErrorMsg string
}

type importStats struct{ BlockCount, BlockBytesCount uint64 }

type importEvent struct {
	Root  *importedRoot `json:",omitempty"`
	Stats *importStats  `json:",omitempty"`
}

// dagImport puts the blocks of CARs, and pins their roots. A root of which something is neither
// in the CARs nor on the disk is told with its error, as Kubo does; others are pinned.
func dagImport(q *call) error {
	name, named, err := q.pinName()
	if err != nil {
		return err
	}
	cars, err := q.files("path")
	if err != nil {
		return err
	}
	return q.upload(func(u Upload) error {
		roots, stats, err := q.importAll(cars, u)
		if err != nil {
			return err
		}
		if err := u.Flush(q.ctx); err != nil {
			return err
		}
		for _, c := range roots {
			out := importedRoot{Cid: c}
			if err := q.pinRoot(u, c, name, named); err != nil {
				f := failureOf(q.ctx, q.ctx, err)
				if f == nil || q.ctx.Err() != nil {
					return err
				}
				if len(roots) == 1 && !isMissing(err) { // so that it is told by its status
					return err
				}
				out.PinErrorMsg = f.message
			}
			if err := q.out.emit(importEvent{Root: &out}); err != nil {
				return err
			}
		}
		if q.values.is("stats", false) {
			if err := q.out.emit(importEvent{Stats: &stats}); err != nil {
				return err
			}
		}
		q.out.end()
		return nil
	})
}

// importAll puts the blocks of all CARs, and gives their roots.
func (q *call) importAll(cars files.Directory, u Upload) (roots []cid.Cid, stats importStats, err error) {
	seen := cid.NewSet()
	entries := cars.Entries()
	some := false
	for entries.Next() {
		some = true
		f, ok := entries.Node().(files.File)
		if !ok {
			return nil, stats, refuse("expected a file handle")
		}
		in, err := upload.ImportCAR(q.ctx, u, f, q.values.is("allow-big-block", false))
		if err != nil {
			return nil, stats, err
		}
		// The index of a CARv2 is left, which may be large.
		if _, err := io.Copy(io.Discard, f); err != nil {
			return nil, stats, &upload.ReadError{Err: err}
		}
		stats.BlockCount += in.Blocks
		stats.BlockBytesCount += in.Bytes
		for _, c := range in.Roots {
			if seen.Visit(c) {
				roots = append(roots, c)
			}
		}
		if len(roots) > upload.MaxRoots {
			return nil, stats, refuse("the CARs have more than the %d roots together that may be: send them one by one", upload.MaxRoots)
		}
	}
	switch err := entries.Err(); {
	case err != nil:
		return nil, stats, &upload.ReadError{Err: err}
	case !some:
		return nil, stats, refuse("file argument 'path' is required")
	case len(roots) == 0:
		return nil, stats, refuse("no CAR has a root in its header, so nothing would be pinned: %s", unpinned)
	}
	return roots, stats, nil
}

// pinRoot pins a root of a CAR, if all of it is here.
func (q *call) pinRoot(u Upload, root cid.Cid, name string, named bool) error {
	if err := canPin(root); err != nil {
		return err
	}
	missing, err := u.Lacks(q.ctx, root)
	if err != nil {
		return err
	}
	if missing.Defined() {
		return ipld.ErrNotFound{Cid: missing}
	}
	return q.pinUploaded(u, root, name, named)
}

// isMissing reports whether a root is not pinned because a block is missing.
func isMissing(err error) bool {
	var absent ipld.ErrNotFound
	return errors.As(err, &absent) && !errors.Is(err, pin.ErrDenied)
}
