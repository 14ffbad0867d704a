package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"golang.org/x/sync/errgroup"
)

// reading is a block on its way from the store to a pack.
type reading struct {
	entry
	codec uint64
	known bool  // it is in a pack that was written before and is used
	old   *Pack // the pack of the last backup that it is in; nil if it is in none
	data  []byte
	err   error
	read  chan struct{}
}

// blocks writes the blocks that no pack in use has, and the list of all.
func (r *run) blocks(ctx context.Context, snapshot Snapshot, linked *scratch, total uint64) error {
	list, err := newScratch(r.Temp, r.Key)
	if err != nil {
		return err
	}
	defer list.close()
	w := &packs{run: r, list: list, revived: map[string]uint64{}, free: make(chan buffer, packsInMemory)}
	for range packsInMemory {
		w.free <- nil
	}
	var reads sync.WaitGroup // the snapshot is used until they have ended
	defer reads.Wait()
	g, gctx := errgroup.WithContext(ctx)
	ahead := make(chan *reading, readAhead)
	memory := make(chan []byte, readAhead+2) // of blocks that are written, for the next: one more is read, and one written
	g.Go(func() error {
		defer close(ahead)
		return r.merge(gctx, linked, func(h multihash.Multihash, codec uint64, old *entry) error {
			b := &reading{entry: entry{hash: bytes.Clone(h)}, codec: codec}
			if old != nil {
				b.size = old.size
				b.old = &r.last.Packs[old.pack]
				b.pack, b.known = r.numbers[b.old.Name]
			}
			if !b.known {
				b.read = make(chan struct{})
				var buf []byte
				select {
				case buf = <-memory:
				default:
				}
				reads.Go(func() {
					defer close(b.read)
					b.data, b.err = snapshot.Block(gctx, b.hash, buf)
				})
			}
			select {
			case ahead <- b:
				return nil
			case <-gctx.Done():
				return gctx.Err()
			}
		})
	})
	g.Go(func() (err error) {
		defer func() { err = errors.Join(err, w.written(len(w.writing))) }()
		done := uint64(0)
		for b := range ahead {
			if b.read != nil {
				<-b.read
			}
			if err := w.add(gctx, snapshot, b); err != nil {
				return err
			}
			if b.data != nil {
				select {
				case memory <- b.data:
				default:
				}
			}
			if done++; done%256 == 0 || done == total {
				r.Progress(Progress{Text: "copying blocks", Done: done, Total: total})
			}
		}
		return w.end(gctx)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	r.m.List, err = list.put(ctx, r.Place, r.m.ID+"/"+blocksFile+r.Key.suffix())
	return err
}

// packs puts blocks into packs, and packs into the place.
type packs struct {
	*run
	list    *scratch
	open    *pack
	number  uint64             // of the open pack in the manifest
	n       int                // of packs that this run began
	writing []chan writtenPack // packs that are being written
	free    chan buffer        // memory for packs; nil is to be made
	revived map[string]uint64  // packs that are used only for what the store lost, by name
}

type writtenPack struct {
	number uint64
	pack   Pack
	err    error
}

func (w *packs) add(ctx context.Context, snapshot Snapshot, b *reading) error {
	switch {
	case b.known:
	case errors.Is(b.err, ErrNoBlock) || errors.Is(b.err, ErrUnreadable):
		if !w.useOld(b) {
			return w.noteDamage(ctx, snapshot, b)
		}
	case b.err != nil:
		return b.err
	default:
		if err := w.write(ctx, b); err != nil {
			return err
		}
	}
	w.m.Blocks++
	w.m.Bytes += b.size
	return w.list.entry(b.entry)
}

func (w *packs) write(ctx context.Context, b *reading) (err error) {
	if w.open == nil {
		if len(w.writing) == packsInMemory {
			if err := w.written(1); err != nil {
				return err
			}
		}
		buf := <-w.free
		if buf == nil {
			buf = make(buffer, 0, packSize+packSize/4)
		}
		if w.open, err = newPack(buf); err != nil {
			return err
		}
		w.number = uint64(len(w.m.Packs))
		w.m.Packs = append(w.m.Packs, Pack{})
	}
	b.pack, b.size = w.number, uint64(len(b.data))
	if err := w.open.put(ctx, b.hash, b.codec, b.data); err != nil {
		return fmt.Errorf("write block %s: %w", cid.NewCidV1(b.codec, b.hash), err)
	}
	w.m.NewBlocks++
	w.m.NewBytes += b.size
	if w.open.bytes >= packSize {
		w.finish(ctx)
	}
	return nil
}

// finish begins to write the open pack.
func (w *packs) finish(ctx context.Context) {
	p, number := w.open, w.number
	w.open = nil
	w.n++
	name := fmt.Sprintf("%s/%s-%06d.car", w.m.ID, w.m.ID, w.n)
	done := make(chan writtenPack, 1)
	w.writing = append(w.writing, done)
	go func() {
		var f File
		b, err := p.finish()
		if err == nil {
			f, err = putPack(ctx, w.Place, w.Key, name, b)
		}
		w.free <- b
		done <- writtenPack{number, Pack{f, p.blocks, p.bytes, p.order.sum(), p.blocks, p.bytes}, err}
	}()
}

// written waits for the first n of the packs that are being written.
func (w *packs) written(n int) (err error) {
	for _, writing := range w.writing[:n] {
		done := <-writing
		w.m.Packs[done.number] = done.pack
		err = errors.Join(err, done.err)
	}
	w.writing = w.writing[n:]
	return err
}

// end writes what is left.
func (w *packs) end(ctx context.Context) error {
	if w.open != nil {
		w.finish(ctx)
	}
	return w.written(len(w.writing))
}

// useOld uses a pack of the last backup after all, as the store has lost a block of it.
func (w *packs) useOld(b *reading) bool {
	if b.old == nil || !w.there[b.old.Name] {
		return false
	}
	number, ok := w.revived[b.old.Name]
	if !ok {
		number = uint64(len(w.m.Packs))
		p := *b.old
		p.UsedBlocks, p.UsedBytes = 0, 0
		w.revived[p.Name] = number
		w.m.Packs = append(w.m.Packs, p)
	}
	b.pack = number
	w.m.Packs[number].UsedBlocks++
	w.m.Packs[number].UsedBytes += b.size
	return true
}

// noteDamage takes note of a block that cannot be read, or that is not there and that a
// complete DAG needs.
func (w *packs) noteDamage(ctx context.Context, snapshot Snapshot, b *reading) error {
	hurt, err := snapshot.Hurt(ctx, b.hash)
	if err != nil || len(hurt) == 0 && errors.Is(b.err, ErrNoBlock) {
		return err
	}
	c := cid.NewCidV1(b.codec, b.hash)
	w.m.DamagedBlocks++
	if w.m.DamagedBlocks <= maxDamagedNamed {
		w.m.Damaged = append(w.m.Damaged, c.String())
		w.Logger.Error("a block that a pin needs is not in the backup", "cid", c, "dags", hurt, "err", b.err,
			"hint", "holdfast store verify --repair fetches it again")
	}
	return nil
}
