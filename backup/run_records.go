package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/multiformats/go-multihash"
	"golang.org/x/sync/errgroup"
)

// listBlocks writes the records, and lists the blocks that they link to, with where the last backup has
// them. total is how many. The caller closes the list.
func (r *run) listBlocks(ctx context.Context, snapshot Snapshot) (list *spool, total uint64, err error) {
	all, err := r.newSpool()
	if err != nil {
		return nil, 0, err
	}
	placed, err := r.newSpool()
	if err != nil {
		all.close()
		return nil, 0, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		total, err = r.records(gctx, snapshot, all)
		return all.end(err)
	})
	if r.last != nil {
		g.Go(func() error { return r.usePacks(gctx, all, placed) })
	}
	err = g.Wait()
	list, other := placed, all
	if r.last == nil {
		list, other = all, placed
	}
	other.close()
	if err != nil {
		list.close()
		return nil, 0, err
	}
	return list, total, nil
}

// records writes the records, and lists the blocks that they link to.
func (r *run) records(ctx context.Context, snapshot Snapshot, all *spool) (total uint64, err error) {
	records, err := r.newScratch()
	if err != nil {
		return 0, err
	}
	defer records.close()
	r.Progress(Progress{Text: "reading the records"})
	var b linkedBlock
	unreadable, err := snapshot.Records(ctx, func(key, value []byte) error {
		if err := records.field(key); err != nil {
			return err
		}
		return records.field(value)
	}, func(h multihash.Multihash, codec uint64) error {
		total++
		b.hash, b.codec = h, codec
		return all.add(&b)
	})
	if err != nil {
		return 0, err
	}
	if r.m.DamagedRecords = unreadable; unreadable > 0 {
		r.Logger.Error("records that cannot be read are not in the backup", "records", unreadable,
			"hint", "holdfast store verify names them")
	}
	// Who reads the list has its end now.
	if err := all.end(nil); err != nil {
		return 0, err
	}
	r.m.Records, err = records.put(ctx, r.Place, r.m.ID+"/"+recordsFile+r.Key.suffix())
	return total, err
}

// merge calls each for each linked block, with where the last backup has it, if it does.
func (r *run) merge(ctx context.Context, all listReader, each func(*linkedBlock) error) error {
	return readList(ctx, r.Place, r.Key, r.last.List, func(l listReader) error {
		var b linkedBlock
		var old entry
		err := l.entry(&old)
		for n := 0; ; n++ {
			if e := all.linkedBlock(&b); errors.Is(e, io.EOF) {
				return nil
			} else if e != nil {
				return e
			}
			for err == nil && string(old.hash) < string(b.hash) {
				err = l.entry(&old)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if err == nil && string(old.hash) == string(b.hash) {
				if old.pack >= uint64(len(r.last.Packs)) {
					return fmt.Errorf("%w: it names pack %d of %d", errList, old.pack, len(r.last.Packs))
				}
				b.pack, b.size, b.old = old.pack, old.size, true
			}
			if e := each(&b); e != nil {
				return e
			}
			if n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
}

// usePacks lists in placed where the last backup has the blocks, and decides which packs of it this one
// uses. If its list is damaged, everything is written anew.
func (r *run) usePacks(ctx context.Context, all, placed *spool) error {
	var err error
	if r.there, err = r.list(ctx); err != nil {
		return err
	}
	used := make([]Pack, len(r.last.Packs))
	err = r.merge(ctx, all.read(), func(b *linkedBlock) error {
		if b.old {
			used[b.pack].UsedBlocks++
			used[b.pack].UsedBytes += b.size
		}
		return placed.add(b)
	})
	if err == nil {
		err = placed.end(nil)
	}
	if failed := all.failed(); failed != nil {
		return failed // which is not about the last backup
	}
	if err != nil {
		if err := placeError(ctx, r.Place, r.Key, err); err != nil {
			return err
		}
		r.Logger.Error("the last backup is damaged, and everything is written anew", "place", r.Place.String(), "backup", r.last.ID, "err", err)
		r.last = nil
		return nil
	}
	r.numbers = make([]uint64, len(used))
	for i, p := range r.last.Packs {
		switch {
		case used[i].UsedBlocks == 0 || used[i].UsedBytes < p.Bytes/sparse:
			continue
		case !r.there[p.Name]:
			r.Logger.Error("a pack of the last backup is missing, and its blocks are written anew", "place", r.Place.String(), "pack", p.Name)
			continue
		}
		p.UsedBlocks, p.UsedBytes = used[i].UsedBlocks, used[i].UsedBytes
		r.m.Packs = append(r.m.Packs, p)
		r.numbers[i] = uint64(len(r.m.Packs))
	}
	return nil
}
