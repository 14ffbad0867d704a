package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/multiformats/go-multihash"
	"golang.org/x/sync/errgroup"
)

// copy writes the records, and the blocks that they link to. Blocks are read while records still are.
func (r *run) copy(ctx context.Context, snapshot Snapshot) error {
	all, err := r.newSpool()
	if err != nil {
		return err
	}
	defer all.close()
	var total atomic.Uint64
	r.Progress(Progress{Text: "reading the records"})
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return all.end(r.records(gctx, snapshot, all, &total)) })
	g.Go(func() error { return r.blocks(gctx, snapshot, all, &total) })
	return g.Wait()
}

// records writes the records, and lists the blocks that they link to. total is set once it is known how many
// those are.
func (r *run) records(ctx context.Context, snapshot Snapshot, all *spool, total *atomic.Uint64) error {
	records, err := r.newScratch(r.m.ID+"/"+recordsFile+r.Key.suffix(), true)
	if err != nil {
		return err
	}
	defer records.close()
	n := uint64(0)
	unreadable, err := snapshot.Records(ctx, records.record, func(h multihash.Multihash, codec uint64) error {
		n++
		return all.add(h, codec)
	})
	if err != nil {
		return err
	}
	total.Store(n)
	if r.m.DamagedRecords = unreadable; unreadable > 0 {
		r.Logger.Error("records that cannot be read are not in the backup", "records", unreadable,
			"hint", "holdfast store verify names them")
	}
	// Who reads the list has its end now.
	if err := all.end(nil); err != nil {
		return err
	}
	r.m.Records, err = records.put(ctx, r.Place)
	return err
}

// packed is what is in packs already.
type packed struct {
	packs []Pack                                                       // with what was used of them when the list was written
	list  func(ctx context.Context, read func(listReader) error) error // calls read with the list; nil has nothing
	all   bool                                                         // the list has all blocks that can be read
}

// blocks writes the blocks that no pack in use has, and the list of all.
func (r *run) blocks(ctx context.Context, snapshot Snapshot, all *spool, total *atomic.Uint64) (err error) {
	var from packed
	if r.last != nil {
		if r.there, err = r.list(ctx); err != nil {
			return err
		}
		for _, p := range r.last.Packs {
			if !r.there[p.Name] && !p.little() {
				r.Logger.Error("a pack of the last backup is missing, and its blocks are written anew", "place", r.Place.String(), "pack", p.Name)
			}
		}
		from = packed{packs: r.last.Packs, list: func(ctx context.Context, read func(listReader) error) error {
			return readList(ctx, r.Place, r.Key, r.last.List, read)
		}}
	}
	memory, err := newPackMemory(packsInMemory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, memory.close()) }()
	w := &packs{run: r, memory: memory, total: total, again: make(chan []byte, 2*readAhead)}
	var list *scratch
	defer func() {
		if list != nil {
			list.close()
		}
	}()
	list, err = w.pass(ctx, snapshot, all, from)
	if _, ours := errors.AsType[lastListError](err); ours {
		if failed := all.failed(); failed != nil {
			return failed // which is not about the last backup
		}
		if err := placeError(ctx, r.Place, r.Key, err); err != nil {
			return err
		}
		r.Logger.Error("the last backup is damaged, and everything is written anew", "place", r.Place.String(), "backup", r.last.ID, "err", err)
		if err := w.startOver(ctx); err != nil {
			return err
		}
		list, err = w.pass(ctx, snapshot, all, packed{})
	}
	if err != nil {
		return err
	}
	if w.wastes() {
		// Almost nothing is read again: what is in packs that stay is in the list.
		first := list
		list = nil
		defer first.close()
		list, err = w.pass(ctx, snapshot, all, packed{packs: r.m.Packs, all: true, list: func(_ context.Context, read func(listReader) error) error {
			return first.read(r.Key, read)
		}})
		if err != nil {
			return err
		}
	}
	r.m.List, err = list.put(ctx, r.Place)
	return err
}

// startOver removes what was written of packs.
func (w *packs) startOver(ctx context.Context) error {
	for _, p := range w.m.Packs {
		if strings.HasPrefix(p.Name, w.m.ID+"/") {
			if err := w.Place.Remove(ctx, p.Name); err != nil {
				return err
			}
		}
	}
	w.last = nil
	w.m.NewBlocks, w.m.NewBytes, w.m.DamagedBlocks, w.m.Damaged = 0, 0, 0, nil
	return nil
}

// little reports whether so little of a pack is used that what is used is written anew.
func (p *Pack) little() bool { return p.UsedBlocks == 0 || p.UsedBytes < p.Bytes/sparse }

// wastes reports whether there is a pack of which little is used.
func (w *packs) wastes() bool {
	for i := range w.m.Packs {
		if w.m.Packs[i].little() {
			return true
		}
	}
	return false
}

// lastListError says that the list of what is in packs already is at fault.
type lastListError struct{ error }

func (e lastListError) Unwrap() error { return e.error }

// pieces calls each for each part of the list of all blocks, with where they are in packs already.
func (w *packs) pieces(ctx context.Context, all *spool, from packed, each func(piece) error) error {
	if from.list == nil {
		return w.merge(ctx, all.read(), nil, from, each)
	}
	var failed error // not of the list
	err := from.list(ctx, func(l listReader) error {
		return w.merge(ctx, all.read(), &l, from, func(p piece) error {
			failed = each(p)
			return failed
		})
	})
	if err != nil && failed == nil && ctx.Err() == nil {
		return lastListError{err}
	}
	return err
}

// merge is pieces with the list of blocks in packs; nil is an empty one.
func (w *packs) merge(ctx context.Context, all listReader, list *listReader, from packed, each func(piece) error) error {
	var b linkedBlock
	var old entry
	var oldErr error = io.EOF
	if list != nil {
		oldErr = list.entry(&old)
	}
	p := w.newPiece()
	for n := 0; ; n++ {
		if err := all.linkedBlock(&b); errors.Is(err, io.EOF) {
			return each(p)
		} else if err != nil {
			return err
		}
		for oldErr == nil && string(old.hash) < string(b.hash) {
			oldErr = list.entry(&old)
		}
		if oldErr != nil && !errors.Is(oldErr, io.EOF) {
			return oldErr
		}
		has := oldErr == nil && string(old.hash) == string(b.hash)
		if has && old.pack >= uint64(len(from.packs)) {
			return fmt.Errorf("%w: it names pack %d of %d", errList, old.pack, len(from.packs))
		}
		switch {
		case has && w.numbers[old.pack] != 0:
			number := w.numbers[old.pack] - 1
			p.known = appendEntry(p.known, entry{old.hash, number, old.size})
			w.used[number].blocks++
			w.used[number].bytes += old.size
			p.blocks++
			p.bytes += old.size
			if len(p.known) < knownAtOnce {
				continue
			}
		case !has && from.all:
			continue // it could not be read
		default:
			p.next = newReading(b, has, old, from)
		}
		if err := errors.Join(ctx.Err(), each(p)); err != nil {
			return err
		}
		p = w.newPiece()
	}
}
