package links

import (
	"encoding/binary"
	"fmt"

	"github.com/ipfs/go-cid"
)

// The major types of CBOR (RFC 8949, section 3.1): the upper three bits of a head.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorList
	majorMap
	majorTag
	majorOther // numbers with a fraction, true, false, null, and the break
)

const (
	// tagLink is the tag of a link: https://ipld.io/specs/codecs/dag-cbor/spec/#links.
	tagLink = 42
	// breakByte ends what has no length.
	breakByte = 0xff
	// maxOpen is how many lists and maps without a length may be inside one another. Each
	// takes 16 bytes while it is read, so that is 1 MiB. Those with a length take nothing,
	// and may be as deep as the block is long.
	maxOpen = 1 << 16
)

// fromCBOR gives the links of dag-cbor.
func fromCBOR(data []byte) ([]cid.Cid, error) {
	s := cborScanner{data: data}
	if err := s.item(); err != nil {
		return nil, err
	}
	if s.at < len(data) {
		return nil, s.wrong(s.at, "%d bytes follow after the end", len(data)-s.at)
	}
	return s.links, nil
}

// cborScanner reads CBOR item by item and keeps the links. It takes all that is well-formed
// by RFC 8949 and decodes nothing but CIDs: not whether text is UTF-8, keys are
// different, or numbers are as short as they can be.
type cborScanner struct {
	data  []byte
	at    int // the next byte
	links []cid.Cid
	open  []openCBOR // lists and maps without a length, the innermost last
}

// openCBOR is a list or a map without a length that is being read.
type openCBOR struct {
	left  uint64 // items to read after it, as for item
	isMap bool
	odd   bool // an odd number of items was read of it
}

func (s *cborScanner) wrong(at int, format string, a ...any) error {
	return fmt.Errorf("at byte %d: %s", at, fmt.Sprintf(format, a...))
}

func (s *cborScanner) cutOff() error { return s.wrong(len(s.data), "it is cut off") }

// item reads one item with all that is in it.
func (s *cborScanner) item() error {
	// left is how many items are still to be read, over all lists and maps that are open
	// and have a length, back to the innermost without one.
	left := uint64(1)
	bottom := len(s.open)
	for {
		if left == 0 {
			if len(s.open) == bottom {
				return nil
			}
			in := &s.open[len(s.open)-1]
			if s.at == len(s.data) {
				return s.cutOff()
			}
			if s.data[s.at] == breakByte {
				if in.isMap && in.odd {
					return s.wrong(s.at, "a map ends after a key")
				}
				s.at++
				left = in.left
				s.open = s.open[:len(s.open)-1]
				continue
			}
			in.odd = !in.odd
			left = 1
		}
		left--
		at := s.at
		major, n, sized, err := s.head()
		if err != nil {
			return err
		}
		switch major {
		case majorBytes, majorText:
			if _, err = s.str(major, n, sized, false); err != nil {
				return err
			}
		case majorList, majorMap:
			if !sized {
				if len(s.open)-bottom == maxOpen {
					return s.wrong(at, "more than %d lists and maps without a length are inside one another", maxOpen)
				}
				s.open = append(s.open, openCBOR{left: left, isMap: major == majorMap})
				left = 0
				continue
			}
			rest := uint64(len(s.data) - s.at)
			if n > rest { // so that what follows cannot overflow
				return s.cutOff()
			}
			if major == majorMap {
				n *= 2
			}
			left += n
		case majorTag:
			if n != tagLink || s.at == len(s.data) || s.data[s.at]>>5 != majorBytes {
				left++ // what it is on follows
				break
			}
			if err := s.link(); err != nil {
				return err
			}
		}
		if left > uint64(len(s.data)-s.at) { // each item is a byte at least
			return s.cutOff()
		}
	}
}

// head reads the head of an item: its major type and its number. sized is false where the
// head says that there is no number, which is only so for what can end with a break.
func (s *cborScanner) head() (major byte, n uint64, sized bool, err error) {
	if s.at == len(s.data) {
		return 0, 0, false, s.cutOff()
	}
	at := s.at
	first := s.data[at]
	s.at++
	major, info := first>>5, first&0x1f
	if info < 24 {
		return major, uint64(info), true, nil
	}
	if info > 27 {
		if info == 31 && major >= majorBytes && major <= majorMap {
			return major, 0, false, nil
		}
		if first == breakByte {
			return 0, 0, false, s.wrong(at, "a break, and nothing to end")
		}
		return 0, 0, false, s.wrong(at, "0x%02x begins nothing", first)
	}
	size := 1 << (info - 24)
	if len(s.data)-s.at < size {
		return 0, 0, false, s.cutOff()
	}
	b := s.data[s.at:]
	s.at += size
	switch size {
	case 1:
		n = uint64(b[0])
		if major == majorOther && n < 32 {
			return 0, 0, false, s.wrong(at, "0x%02x%02x is no value", first, b[0])
		}
	case 2:
		n = uint64(binary.BigEndian.Uint16(b))
	case 4:
		n = uint64(binary.BigEndian.Uint32(b))
	case 8:
		n = binary.BigEndian.Uint64(b)
	}
	return major, n, true, nil
}

// str reads a string of bytes or text after its head. It gives the bytes if they are kept,
// which copies those of one that is in pieces.
func (s *cborScanner) str(major byte, n uint64, sized, keep bool) (b []byte, err error) {
	if sized {
		if n > uint64(len(s.data)-s.at) {
			return nil, s.cutOff()
		}
		b = s.data[s.at:][:n]
		s.at += int(n)
		return b, nil
	}
	for {
		if s.at == len(s.data) {
			return nil, s.cutOff()
		}
		at := s.at
		if s.data[at] == breakByte {
			s.at++
			return b, nil
		}
		piece, n, sized, err := s.head()
		if err != nil {
			return nil, err
		}
		if piece != major || !sized {
			return nil, s.wrong(at, "0x%02x is no piece of the string", s.data[at])
		}
		part, err := s.str(major, n, true, false)
		if err != nil {
			return nil, err
		}
		if keep {
			b = append(b, part...)
		}
	}
}

// link reads the bytes that follow the tag of a link.
func (s *cborScanner) link() error {
	at := s.at
	major, n, sized, err := s.head()
	if err != nil {
		return err
	}
	b, err := s.str(major, n, sized, true)
	if err != nil {
		return err
	}
	if len(b) == 0 || b[0] != 0 { // multibase's prefix of what is in bytes
		return s.wrong(at, "a link is no CID in bytes")
	}
	c, err := cid.Cast(b[1:])
	if err != nil {
		return s.wrong(at, "a link is no CID: %v", err)
	}
	s.links = append(s.links, c)
	return nil
}
