package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"
)

// reading is a block on its way from the store to a pack.
type reading struct {
	entry
	codec uint64
	old   *Pack // the pack of the last backup that it is in; nil if it is in none
	data  []byte
	err   error
	read  chan struct{}
}

// piece is a part of the list of blocks: known ones, which are in packs that were written before and are
// used, and perhaps a block after them.
type piece struct {
	known         []byte // entries
	blocks, bytes uint64 // of known
	next          *reading
}

// knownAtOnce is how long the entries of known blocks in a piece become.
const knownAtOnce = 32 << 10

// newReading makes one of a block that is read. old is where it is in packs already, if it has that.
func newReading(b linkedBlock, has bool, old entry, from packed) *reading {
	r := &reading{entry: entry{hash: bytes.Clone(b.hash)}, codec: b.codec, read: make(chan struct{})}
	if has {
		r.size, r.old = old.size, &from.packs[old.pack]
	}
	return r
}

// newPiece gives an empty piece.
func (w *packs) newPiece() piece {
	select {
	case b := <-w.again:
		return piece{known: b[:0]}
	default:
		return piece{}
	}
}

// pass writes the blocks that from has in no pack that is used, and lists all blocks. Errors: lastListError, if
// the list of from is at fault. The caller closes the list.
func (w *packs) pass(ctx context.Context, snapshot Snapshot, all *spool, from packed) (list *scratch, err error) {
	w.usePacks(from)
	if w.list, err = w.newScratch(fmt.Sprintf("%s/%s%s", w.m.ID, blocksFile, w.Key.suffix()), false); err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	pieces, toRead := make(chan piece, readAhead), make(chan *reading)
	again := make(chan []byte, 2*readAhead) // of blocks that are written, for the next
	g.Go(func() error {
		defer close(pieces)
		defer close(toRead)
		return w.pieces(gctx, all, from, func(p piece) error {
			if p.next != nil {
				select {
				case toRead <- p.next:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
			select {
			case pieces <- p:
				return nil
			case <-gctx.Done():
				return gctx.Err()
			}
		})
	})
	for range readAhead {
		g.Go(func() error {
			for b := range toRead {
				var buf []byte
				select {
				case buf = <-again:
				default:
				}
				b.data, b.err = snapshot.Block(gctx, b.hash, buf)
				close(b.read)
			}
			return nil
		})
	}
	g.Go(func() (err error) {
		defer func() { err = errors.Join(err, w.written(len(w.writing))) }()
		told := uint64(0)
		for done := uint64(0); ; {
			p, ok := <-pieces
			if !ok {
				return w.end(gctx)
			}
			if err := w.known(p); err != nil {
				return err
			}
			done += p.blocks
			if b := p.next; b != nil {
				<-b.read
				if err := w.add(gctx, snapshot, b); err != nil {
					return err
				}
				if b.data != nil {
					select {
					case again <- b.data:
					default:
					}
				}
				done++
			}
			if total := w.total.Load(); done-told >= 256 || done == total {
				told = done
				w.Progress(Progress{Text: "copying blocks", Done: done, Total: total})
			}
		}
	})
	err = g.Wait()
	for i, u := range w.used {
		w.m.Packs[i].UsedBlocks += u.blocks
		w.m.Packs[i].UsedBytes += u.bytes
	}
	if err != nil {
		w.list.close()
		if w.open != nil {
			err = errors.Join(err, w.open.file.drop())
			w.memory.free <- w.open.memory
			w.open = nil
		}
		return nil, err
	}
	return w.list, nil
}

// usePacks begins the list of packs with those of from that are used.
func (w *packs) usePacks(from packed) {
	w.m.Packs, w.m.Blocks, w.m.Bytes = []Pack{}, 0, 0
	w.revived = map[string]uint64{}
	w.numbers = make([]uint64, len(from.packs))
	for i, p := range from.packs {
		if p.little() || w.there != nil && !w.there[p.Name] && !strings.HasPrefix(p.Name, w.m.ID+"/") {
			continue
		}
		p.UsedBlocks, p.UsedBytes = 0, 0
		w.m.Packs = append(w.m.Packs, p)
		w.numbers[i] = uint64(len(w.m.Packs))
	}
	w.used = make([]usage, len(w.m.Packs))
}

// usage is how much of a pack is used.
type usage struct{ blocks, bytes uint64 }

// packs puts blocks into packs, and packs into the place.
type packs struct {
	*run
	total   *atomic.Uint64 // blocks; zero is not known yet
	numbers []uint64       // of packs that were there before, among those of this backup, plus 1; 0 is that they are not used
	used    []usage        // of the packs that are used, by what they had before
	again   chan []byte    // of pieces, for the next
	list    *scratch
	open    *pack
	number  uint64             // of the open pack in the manifest
	n       int                // of packs that this run began
	writing []chan writtenPack // packs that are being written
	memory  *packMemory
	revived map[string]uint64 // packs that are used only for what the store lost, by name
}

type writtenPack struct {
	number uint64
	pack   Pack
	err    error
}

// known lists blocks that are in packs already.
func (w *packs) known(p piece) error {
	w.m.Blocks += p.blocks
	w.m.Bytes += p.bytes
	_, err := w.list.w.Write(p.known)
	select {
	case w.again <- p.known:
	default:
	}
	return err
}

func (w *packs) add(ctx context.Context, snapshot Snapshot, b *reading) error {
	switch {
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
		atOnce := growMuch
		if w.n++; w.n == 1 {
			atOnce = growLittle // there may be no other
		}
		memory := <-w.memory.free
		if w.open, err = newPack(w.Place, w.Key, fmt.Sprintf("%s/%s-%06d.car", w.m.ID, w.m.ID, w.n), memory, atOnce); err != nil {
			w.memory.free <- memory
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
	done := make(chan writtenPack, 1)
	w.writing = append(w.writing, done)
	go func() {
		f, err := p.finish(ctx, w.Place, w.Key)
		w.memory.free <- p.memory
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
