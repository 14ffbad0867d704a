package requests

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A bitmap over the SEQs of an account is cut into chunks of chunkBits. Each chunk has a key of
// its own; an empty one has none. A chunk of few bits is stored as their numbers, two bytes
// each. Any other is stored whole, in 256 bytes: about the size of the request's record that is
// written at the same time. 100,000 requests are 49 chunks.
const (
	chunkBits  = 2048
	chunkWords = chunkBits / 64
	chunkBytes = chunkBits / 8
)

// chunk is one chunk of a bitmap.
type chunk [chunkWords]uint64

// place gives the chunk and the bit of a request.
func place(seq uint64) (number uint32, bit int) {
	return uint32(seq / chunkBits), int(seq % chunkBits)
}

// seqAt is the opposite of place.
func seqAt(number uint32, bit int) uint64 { return uint64(number)*chunkBits + uint64(bit) }

func (c *chunk) has(bit int) bool { return c[bit/64]&(1<<(bit%64)) != 0 }

func (c *chunk) add(bit int) { c[bit/64] |= 1 << (bit % 64) }

func (c *chunk) remove(bit int) { c[bit/64] &^= 1 << (bit % 64) }

func (c *chunk) count() (n int) {
	for _, w := range c {
		n += bits.OnesCount64(w)
	}
	return n
}

func (c *chunk) empty() bool { return *c == chunk{} }

func (c *chunk) or(o *chunk) {
	for i := range c {
		c[i] |= o[i]
	}
}

func (c *chunk) and(o *chunk) {
	for i := range c {
		c[i] &= o[i]
	}
}

func (c *chunk) andNot(o *chunk) {
	for i := range c {
		c[i] &^= o[i]
	}
}

// clip clears the bits below lo, and those from hi on.
func (c *chunk) clip(lo, hi int) {
	for i := range c {
		first, end := i*64, i*64+64
		if end <= lo || first >= hi {
			c[i] = 0
			continue
		}
		if first < lo {
			c[i] &= ^uint64(0) << (lo - first)
		}
		if end > hi {
			c[i] &= ^uint64(0) >> (end - hi)
		}
	}
}

// keepFirst clears all bits but the lowest n of those that are set.
func (c *chunk) keepFirst(n int) {
	for bit := range c.up {
		if n--; n < 0 {
			c.clip(0, bit)
			return
		}
	}
}

// up yields the bits that are set, low ones first.
func (c *chunk) up(yield func(bit int) bool) {
	for i, w := range c {
		for ; w != 0; w &= w - 1 {
			if !yield(i*64 + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}

// down yields the bits that are set, high ones first.
func (c *chunk) down(yield func(bit int) bool) {
	for i := chunkWords - 1; i >= 0; i-- {
		for w := c[i]; w != 0; {
			top := 63 - bits.LeadingZeros64(w)
			if !yield(i*64 + top) {
				return
			}
			w &^= 1 << top
		}
	}
}

// encode gives the stored form; nil if the chunk is empty.
func (c *chunk) encode() []byte {
	n := c.count()
	if n == 0 {
		return nil
	}
	if 2*n >= chunkBytes {
		b := make([]byte, 0, chunkBytes)
		for _, w := range c {
			b = binary.BigEndian.AppendUint64(b, w)
		}
		return b
	}
	b := make([]byte, 0, 2*n)
	for bit := range c.up {
		b = binary.BigEndian.AppendUint16(b, uint16(bit))
	}
	return b
}

// decode is the opposite of encode. An empty chunk has no key, so a value without bytes is an
// error. Errors: pin.ErrUnreadable.
func (c *chunk) decode(b []byte) error {
	*c = chunk{}
	if len(b) == 0 {
		return fmt.Errorf("%w: bitmap chunk of no bytes", pin.ErrUnreadable)
	}
	if len(b) == chunkBytes {
		for i := range c {
			c[i] = binary.BigEndian.Uint64(b[8*i:])
		}
		return nil
	}
	if len(b)%2 != 0 || len(b) > chunkBytes {
		return fmt.Errorf("%w: bitmap chunk of %d bytes", pin.ErrUnreadable, len(b))
	}
	for ; len(b) > 0; b = b[2:] {
		bit := binary.BigEndian.Uint16(b)
		if bit >= chunkBits {
			return fmt.Errorf("%w: bit %d in a bitmap chunk of %d", pin.ErrUnreadable, bit, chunkBits)
		}
		c.add(int(bit))
	}
	return nil
}

// chunkAt reads a chunk of a list; one that is not there is empty. It works out a chunk that
// cannot be read, if possible.
func chunkAt(r *kv.Reader, list []byte, number uint32) (*chunk, error) {
	b, found, err := r.Get(chunkKey(list, number))
	c := new(chunk)
	if err == nil && found {
		err = c.decode(b)
	}
	if errors.Is(err, pin.ErrUnreadable) {
		return workOutChunk(r, list, number, err)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// setChunk writes a chunk of a list.
func setChunk(t *kv.Tx, list []byte, number uint32, c *chunk) {
	key := chunkKey(list, number)
	if b := c.encode(); b != nil {
		t.Set(key, b)
	} else {
		t.Delete(key)
	}
}

// markList puts a request on a list, or takes it off.
func markList(t *kv.Tx, list []byte, seq uint64, on bool) error {
	number, bit := place(seq)
	c, err := chunkAt(&t.Reader, list, number)
	if err != nil {
		return err
	}
	if on {
		c.add(bit)
	} else {
		c.remove(bit)
	}
	setChunk(t, list, number, c)
	return nil
}
