package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
	"github.com/multiformats/go-multihash"
)

// packSize is at how many bytes of blocks a pack ends. Two packs are in memory: one that is
// filled, and one that is written.
const packSize = 24 << 20

// maxBlock is the longest block that a pack is read with.
const maxBlock = 64 << 20

// pack is a CARv2 file in memory.
type pack struct {
	buf    buffer
	car    storage.WritableCar
	blocks uint64
	bytes  uint64
}

func newPack() (*pack, error) {
	p := &pack{buf: make(buffer, 0, packSize+packSize/4)}
	var err error
	// Two blocks with one hash and different codecs do not come.
	p.car, err = storage.NewWritable(&p.buf, nil, car.UseWholeCIDs(false))
	return p, err
}

func (p *pack) put(ctx context.Context, h multihash.Multihash, codec uint64, data []byte) error {
	p.blocks++
	p.bytes += uint64(len(data))
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

// errBlock: a block of a pack is not as it should be.
var errBlock = errors.New("a block has another hash")

// readPack calls block for each block of a pack, and bad for each whose bytes do not have its
// hash. What is read is that which block gets to keep.
func readPack(r io.Reader, block func(multihash.Multihash, []byte) error, bad func(cid.Cid)) error {
	br, err := car.NewBlockReader(r, car.WithTrustedCAR(true), car.MaxAllowedSectionSize(maxBlock))
	if err != nil {
		return err
	}
	for {
		b, err := br.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		prefix := b.Cid().Prefix()
		sum, err := multihash.Sum(b.RawData(), prefix.MhType, prefix.MhLength)
		if err != nil || !bytes.Equal(sum, b.Cid().Hash()) {
			bad(b.Cid())
			continue
		}
		if err := block(b.Cid().Hash(), b.RawData()); err != nil {
			return fmt.Errorf("block %s: %w", b.Cid(), err)
		}
	}
}
