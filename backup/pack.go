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

// pack is a CARv2 file in memory.
type pack struct {
	buf    buffer
	memory buffer // in which buf began
	car    storage.WritableCar
	blocks uint64
	bytes  uint64
	order  *order
}

// order sums up which blocks a pack has, in their order. So a pack that stands in the place of
// another is found without hashing its bytes twice.
type order struct{ h hash.Hash }

func newOrder() *order { return &order{sha256.New()} }

func (o *order) add(h multihash.Multihash) { _, _ = o.h.Write(h) } // a hash never fails

func (o *order) sum() string { return hex.EncodeToString(o.h.Sum(nil)) }

// newPack makes one in memory. A last block that is very long moves it elsewhere.
func newPack(memory buffer) (*pack, error) {
	p := &pack{buf: memory[:0], memory: memory[:0], order: newOrder()}
	var err error
	// Two blocks with one hash and different codecs do not come.
	p.car, err = storage.NewWritable(&p.buf, nil, car.UseWholeCIDs(false))
	return p, err
}

func (p *pack) put(ctx context.Context, h multihash.Multihash, codec uint64, data []byte) error {
	p.blocks++
	p.bytes += uint64(len(data))
	p.order.add(h)
	return p.car.Put(ctx, cid.NewCidV1(codec, h).KeyString(), data)
}

func (p *pack) finish() ([]byte, error) {
	err := p.car.Finalize()
	return p.buf, err
}

// buffer is a file in memory.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

func (b *buffer) WriteAt(p []byte, off int64) (int, error) {
	if missing := int(off) + len(p) - len(*b); missing > 0 {
		*b = append(*b, make([]byte, missing)...)
	}
	return copy((*b)[off:], p), nil
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
