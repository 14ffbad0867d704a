package backup

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/multiformats/go-multihash"
)

// maxField bounds a key, a value or a hash in a list, against damage.
const maxField = 64 << 20

// errList: a list is not as it was written.
var errList = errors.New("a list is damaged")

// brokenList says that a list ends, or cannot be read, where it goes on.
func brokenList(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the list has not ended as it should
	}
	return fmt.Errorf("%w: %w", errList, err)
}

// listWriter writes fields and numbers.
type listWriter struct{ w *bufio.Writer }

func (l listWriter) field(b []byte) error {
	if err := l.number(uint64(len(b))); err != nil {
		return err
	}
	_, err := l.w.Write(b)
	return err
}

func (l listWriter) number(n uint64) error {
	_, err := l.w.Write(binary.AppendUvarint(l.w.AvailableBuffer(), n))
	return err
}

// record writes a key and its value.
func (l listWriter) record(key, value []byte) error {
	if len(key)+len(value)+2*binary.MaxVarintLen64 > l.w.Available() {
		if err := l.field(key); err != nil {
			return err
		}
		return l.field(value)
	}
	b := append(binary.AppendUvarint(l.w.AvailableBuffer(), uint64(len(key))), key...)
	_, err := l.w.Write(append(binary.AppendUvarint(b, uint64(len(value))), value...))
	return err
}

// listReader reads what a listWriter wrote.
type listReader struct{ r *bufio.Reader }

// field reads into buf, or into memory of its own. first says that the list may end here:
// the error is then io.EOF.
func (l listReader) field(buf []byte, first bool) ([]byte, error) {
	n, err := binary.ReadUvarint(l.r)
	if first && errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, brokenList(err)
	}
	if n > maxField {
		return nil, fmt.Errorf("%w: the length of a field is %d", errList, n)
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(l.r, buf); err != nil {
		return nil, brokenList(err)
	}
	return buf, nil
}

func (l listReader) number() (uint64, error) {
	n, err := binary.ReadUvarint(l.r)
	if err != nil {
		return 0, brokenList(err)
	}
	return n, nil
}

// entry is where a block is.
type entry struct {
	hash multihash.Multihash
	pack uint64 // its number in the manifest
	size uint64
}

func (l listWriter) entry(e entry) error {
	_, err := l.w.Write(appendEntry(l.w.AvailableBuffer(), e))
	return err
}

func appendEntry(b []byte, e entry) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(e.hash))), e.hash...)
	return binary.AppendUvarint(binary.AppendUvarint(b, e.pack), e.size)
}

// entry reads into an entry. Its hash is valid until the next read. Errors: io.EOF at the end.
func (l listReader) entry(e *entry) (err error) {
	var n [2]uint64
	if e.hash, err = l.fields(n[:]); err != nil {
		return err
	}
	e.pack, e.size = n[0], n[1]
	return nil
}

// fields reads a field, and numbers after it. The field is valid until the next read. Errors: io.EOF at the
// end.
func (l listReader) fields(numbers []uint64) (field []byte, err error) {
	// Almost always all of it is in memory.
	if b, _ := l.r.Peek(l.r.Buffered()); len(b) > 0 {
		length, at := binary.Uvarint(b)
		if at > 0 && length <= uint64(len(b)-at) {
			end := at + int(length)
			field = b[at:end:end]
			for i := range numbers {
				n, width := binary.Uvarint(b[end:])
				if width <= 0 {
					end = 0
					break
				}
				numbers[i] = n
				end += width
			}
			if end > 0 {
				_, err := l.r.Discard(end)
				return field, err
			}
		}
	}
	if field, err = l.field(nil, true); err != nil {
		return nil, err
	}
	for i := range numbers {
		if numbers[i], err = l.number(); err != nil {
			return nil, err
		}
	}
	return field, nil
}
