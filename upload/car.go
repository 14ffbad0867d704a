package upload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
)

const (
	// SoftBlockLimit is what a block may have unless the client allows big blocks: what the
	// specification of Bitswap has peers send.
	SoftBlockLimit = 2 << 20
	// maxSection is what a block with its CID may have in any case, as it is in memory as a
	// whole: twice what peers send each other.
	maxSection = 8 << 20
	// maxHeader bounds the header of a CAR.
	maxHeader = 256 << 10
	// MaxRoots is what a CAR may have, and all CARs of a call together: each root becomes a
	// request.
	MaxRoots = 1000
)

// Imported is what was in a CAR.
type Imported struct {
	Roots  []cid.Cid // of the header, each once, in its order
	Blocks uint64    // as often as they came
	Bytes  uint64    // of those
}

// ImportCAR puts the blocks of a CAR of version 1 or 2, which may be in any order. It checks
// the hash of each. The index of a CARv2 is not looked at. bigBlocks allows blocks of more than
// SoftBlockLimit. Errors: *InvalidError, also for a CAR that was cut off; those of the sink and
// of reading.
func ImportCAR(ctx context.Context, s Sink, r io.Reader, bigBlocks bool) (in Imported, err error) {
	src := &carReader{r: bufio.NewReaderSize(r, 256<<10)}
	br, err := car.NewBlockReader(src, car.MaxAllowedHeaderSize(maxHeader), car.MaxAllowedSectionSize(maxSection))
	if err != nil {
		return in, src.blame("the header of the CAR cannot be read", err)
	}
	end := int64(-1) // of the blocks; -1 is the end of the file
	if br.Version == 2 {
		var h car.Header
		if _, err := h.ReadFrom(bytes.NewReader(src.first[car.PragmaSize:])); err != nil {
			return in, src.blame("the header of the CAR cannot be read", err)
		}
		end = int64(h.DataOffset + h.DataSize)
	}
	if len(br.Roots) > MaxRoots {
		return in, &InvalidError{fmt.Sprintf("the CAR has %d roots, more than the %d that may be", len(br.Roots), MaxRoots)}
	}
	seen := cid.NewSet()
	for _, c := range br.Roots {
		if seen.Visit(c) {
			in.Roots = append(in.Roots, c)
		}
	}
	var last cid.Cid
	for {
		whole := src.n
		b, err := br.Next()
		if errors.Is(err, io.EOF) && src.err == nil {
			// The reader ends in the same way if nothing follows the length of a block.
			if src.n != whole || end >= 0 && src.n < end {
				err = io.ErrUnexpectedEOF
			} else {
				return in, nil
			}
		}
		if err != nil {
			return in, src.blame(after(last), err)
		}
		if n := len(b.RawData()); n > SoftBlockLimit && !bigBlocks {
			return in, &InvalidError{fmt.Sprintf("import failed at block %q: %s", b.Cid(), BigBlock)}
		}
		if err := put(ctx, s, b); err != nil {
			return in, fmt.Errorf("import failed at block %q: %w", b.Cid(), err)
		}
		in.Blocks++
		in.Bytes += uint64(len(b.RawData()))
		last = b.Cid()
	}
}

// BigBlock says that a block has more than SoftBlockLimit, in Kubo's words.
const BigBlock = "produced block is over 2MiB: big blocks can't be exchanged with other peers. " +
	"consider using UnixFS for automatic chunking of bigger files, or pass --allow-big-block to override"

func put(ctx context.Context, s Sink, b blocks.Block) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.Put(ctx, b.Cid(), b.RawData())
}

// after says where an import failed.
func after(last cid.Cid) string {
	if !last.Defined() {
		return "import failed at the first block"
	}
	return fmt.Sprintf("import failed after block %q", last)
}

// carReader counts what was read of a CAR. It is read byte by byte where that is asked for, so
// that it is never ahead of what reads it.
type carReader struct {
	r     *bufio.Reader
	n     int64
	first []byte // the first bytes: the pragma and header of a CARv2
	err   error  // of r, unless it is io.EOF
}

func (c *carReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read(p[:n], err)
	return n, err
}

// ReadByte implements [io.ByteReader].
func (c *carReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.read([]byte{b}, nil)
	} else {
		c.read(nil, err)
	}
	return b, err
}

func (c *carReader) read(p []byte, err error) {
	c.n += int64(len(p))
	if left := car.PragmaSize + car.HeaderSize - len(c.first); left > 0 {
		c.first = append(c.first, p[:min(left, len(p))]...)
	}
	if err != nil && err != io.EOF {
		c.err = err
	}
}

// blame makes an error of what go-car found: of reading, or of what is in the CAR.
func (c *carReader) blame(what string, err error) error {
	if c.err != nil {
		return reading(c.err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &InvalidError{what + ": the CAR is cut off there"}
	}
	return &InvalidError{fmt.Sprintf("%s: %v", what, err)}
}
