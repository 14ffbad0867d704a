package backup

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Lists are mostly hashes, in which there is nothing to find. To look all the same would take more of the
// time of a backup of many small blocks than to read their records. So what does not become much shorter is
// stored: zstd has frames, one after the other, and blocks of bytes as they are.

const (
	// storedAtOnce is how long a stored block may be: zstd knows none that is longer.
	storedAtOnce = 128 << 10
	// worthZip is what compressed bytes may be of what they were, in percent.
	worthZip = 60
	// tryZip is after how many pieces of storedAtOnce it is looked again whether they become shorter.
	tryZip = 16
)

// storedHeader begins a frame of stored blocks: the magic number of zstd, a frame of unknown length without a
// checksum, and a window of 128 KiB.
var storedHeader = []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3}

// zipWriter writes zstd, and compresses what becomes much shorter.
type zipWriter struct {
	w      io.Writer
	zip    *zstd.Encoder // nil compresses nothing
	trial  []byte        // what a piece became
	left   int           // pieces until it is looked again
	zipped bool          // the open frame is zip's
	open   bool          // a frame is open
}

// newZipWriter begins one. Without compress everything is stored.
func newZipWriter(w io.Writer, compress bool) (z *zipWriter, err error) {
	z = &zipWriter{w: w}
	if compress {
		// Compressing is much work, and is done beside reading.
		z.zip, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(zipWindow))
	}
	return z, err
}

func (z *zipWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		piece := b[:min(len(b), storedAtOnce)]
		if err := z.piece(piece); err != nil {
			return n, err
		}
		n += len(piece)
		b = b[len(piece):]
	}
	return n, nil
}

func (z *zipWriter) piece(b []byte) error {
	if z.zip != nil {
		if z.left == 0 {
			z.left = tryZip
			z.trial = z.zip.EncodeAll(b, z.trial[:0])
			if zip := len(z.trial)*100 < len(b)*worthZip; !z.open || zip != z.zipped {
				if err := z.end(); err != nil {
					return err
				}
				z.zipped = zip
			}
		}
		z.left--
	}
	if !z.open {
		z.open = true
		if z.zipped {
			z.zip.Reset(z.w)
		} else if _, err := z.w.Write(storedHeader); err != nil {
			return err
		}
	}
	if z.zipped {
		_, err := z.zip.Write(b)
		return err
	}
	return z.stored(b, false)
}

// stored writes a stored block.
func (z *zipWriter) stored(b []byte, last bool) error {
	var header [4]byte
	n := uint32(len(b)) << 3
	if last {
		n |= 1
	}
	binary.LittleEndian.PutUint32(header[:], n)
	_, err := z.w.Write(header[:3])
	if err == nil {
		_, err = z.w.Write(b)
	}
	return err
}

// end ends the open frame.
func (z *zipWriter) end() error {
	if !z.open {
		return nil
	}
	z.open = false
	if z.zipped {
		return z.zip.Close()
	}
	return z.stored(nil, true)
}

// Close ends the writing. An empty file has an empty frame.
func (z *zipWriter) Close() (err error) {
	if !z.open {
		_, err = z.w.Write(storedHeader)
		z.open, z.zipped = true, false
	}
	return errors.Join(err, z.end())
}
