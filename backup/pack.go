package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
	"github.com/multiformats/go-multihash"
)

// packSize is at how many bytes of blocks a pack ends. packsInMemory of them are in memory: one
// is filled while the other is written.
const packSize, packsInMemory = 16 << 20, 2

// maxBlock is the longest block that a pack is read with.
const maxBlock = 64 << 20

// pack is a CARv2 file that is made.
type pack struct {
	name   string
	file   packFile
	memory buffer // that the file uses
	car    storage.WritableCar
	blocks uint64
	bytes  uint64
	order  *order
}

// packFile is where a pack is made.
type packFile interface {
	io.Writer
	io.WriterAt
	// put puts the file into the place.
	put(ctx context.Context, p Place, k *Key, name string) (File, error)
	// drop removes what was written. It may be called after put.
	drop() error
}

// order sums up which blocks a pack has, in their order. So a pack that stands in the place of
// another is found without hashing its bytes twice.
type order struct{ h hash.Hash }

func newOrder() *order { return &order{sha256.New()} }

func (o *order) add(h multihash.Multihash) { _, _ = o.h.Write(h) } // a hash never fails

func (o *order) sum() string { return hex.EncodeToString(o.h.Sum(nil)) }

// newPack begins one with a name. It is written while it is made if the place can take it so, and nothing is
// sealed, which has to be from the beginning to the end; else it is made in memory. A last block that is very long moves it elsewhere then.
func newPack(p Place, k *Key, name string, memory buffer, atOnce int) (*pack, error) {
	pk := &pack{name: name, memory: memory, order: newOrder()}
	inMemory := memory[:0]
	pk.file = &inMemory
	if g, ok := p.(grower); ok && k == nil {
		f, err := g.grow(name, memory[:cap(memory)], atOnce)
		if err != nil {
			return nil, err
		}
		if f != nil {
			pk.file = &packOnDisk{growing: f}
		}
	}
	var err error
	// Two blocks with one hash and different codecs do not come.
	if pk.car, err = storage.NewWritable(pk.file, nil, car.UseWholeCIDs(false)); err != nil {
		return nil, errors.Join(err, pk.file.drop())
	}
	return pk, nil
}

func (p *pack) put(ctx context.Context, h multihash.Multihash, codec uint64, data []byte) error {
	p.blocks++
	p.bytes += uint64(len(data))
	p.order.add(h)
	return p.car.Put(ctx, cid.NewCidV1(codec, h).KeyString(), data)
}

// finish puts the pack into the place.
func (p *pack) finish(ctx context.Context, place Place, k *Key) (File, error) {
	if err := p.car.Finalize(); err != nil {
		return File{}, errors.Join(err, p.file.drop())
	}
	f, err := p.file.put(ctx, place, k, p.name)
	if err != nil {
		err = errors.Join(err, p.file.drop())
	}
	return f, err
}

// readAtOnce is how much of a pack is read at once: its reader asks for single bytes. What is left of that
// when a block begins is copied twice, so it is not much.
const readAtOnce = 64 << 10

// errBlock: a block of a pack is not as it should be.
var errBlock = errors.New("a block has another hash")

// packBlock is a block on its way from a pack.
type packBlock struct {
	cid    cid.Cid
	data   []byte
	good   bool // it has its hash
	hashed chan struct{}
}

// readPack calls block for each block of a pack, in their order, and bad for each whose bytes do
// not have its hash. What block gets is valid until it returns. Blocks are read and hashed while others
// are written.
func readPack(r io.Reader, block func(multihash.Multihash, []byte) error, bad func(cid.Cid)) error {
	br, err := car.NewBlockReader(bufio.NewReaderSize(r, readAtOnce), car.WithTrustedCAR(true), car.MaxAllowedSectionSize(maxBlock))
	if err != nil {
		return err
	}
	ahead, quit := make(chan *packBlock, readAhead), make(chan struct{})
	again := make(chan []byte, readAhead+1) // of blocks that are written, for the next
	var end error                           // of reading; it is set before ahead is closed
	var reading sync.WaitGroup
	defer reading.Wait()
	defer close(quit)
	reading.Go(func() {
		defer close(ahead)
		for {
			var buf []byte
			select {
			case buf = <-again:
			default:
			}
			c, data, err := nextBlock(br, buf)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					end = err
				}
				return
			}
			p := &packBlock{cid: c, data: data, hashed: make(chan struct{})}
			reading.Go(func() {
				defer close(p.hashed)
				prefix := p.cid.Prefix()
				sum, err := multihash.Sum(p.data, prefix.MhType, prefix.MhLength)
				p.good = err == nil && bytes.Equal(sum, p.cid.Hash())
			})
			select {
			case ahead <- p:
			case <-quit:
				return
			}
		}
	})
	for p := range ahead {
		<-p.hashed
		if !p.good {
			bad(p.cid)
			continue
		}
		if err := block(p.cid.Hash(), p.data); err != nil {
			return fmt.Errorf("block %s: %w", p.cid, err)
		}
		select {
		case again <- p.data:
		default:
		}
	}
	return end
}

// nextBlock reads a block into buf, or into new memory if buf is too small. Errors: io.EOF after the last.
func nextBlock(r *car.BlockReader, buf []byte) (c cid.Cid, data []byte, err error) {
	c, from, size, err := r.NextReader()
	if err != nil {
		return c, nil, err
	}
	if size > maxBlock {
		return c, nil, fmt.Errorf("block %s has %d bytes", c, size)
	}
	if uint64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	data = buf[:size]
	if _, err = io.ReadFull(from, data); errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return c, data, err
}
