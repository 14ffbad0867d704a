package requests

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/holdfast-ipfs/holdfast/pin"

	"github.com/holdfast-ipfs/holdfast/store/internal/kv"
)

// A bitmap over the SEQs of an account is cut into chunks of chunkBits, each
// under a key of its own, absent if empty. A chunk of few bits is stored as
// their numbers, two bytes each; else it is stored whole. At 2,048 bits a
// whole chunk is 256 bytes, about as much as the record of the request that
// makes it change, and 100,000 requests are 49 chunks.
const (
	ChunkBits  = 2048
	chunkWords = ChunkBits / 64
	ChunkBytes = ChunkBits / 8
)

// Chunk is a piece of a bitmap.
type Chunk [chunkWords]uint64

// Place says where in a bitmap a request is.
func Place(seq uint64) (number uint32, bit int) {
	return uint32(seq / ChunkBits), int(seq % ChunkBits)
}

// seqAt is the opposite of place.
func seqAt(number uint32, bit int) uint64 { return uint64(number)*ChunkBits + uint64(bit) }

func (c *Chunk) Has(bit int) bool { return c[bit/64]&(1<<(bit%64)) != 0 }

func (c *Chunk) Add(bit int) { c[bit/64] |= 1 << (bit % 64) }

func (c *Chunk) Remove(bit int) { c[bit/64] &^= 1 << (bit % 64) }

func (c *Chunk) Count() (n int) {
	for _, w := range c {
		n += bits.OnesCount64(w)
	}
	return n
}

func (c *Chunk) Empty() bool { return *c == Chunk{} }

func (c *Chunk) or(o *Chunk) {
	for i := range c {
		c[i] |= o[i]
	}
}

func (c *Chunk) and(o *Chunk) {
	for i := range c {
		c[i] &= o[i]
	}
}

func (c *Chunk) andNot(o *Chunk) {
	for i := range c {
		c[i] &^= o[i]
	}
}

// Clip drops the bits below lo and those from hi on.
func (c *Chunk) Clip(lo, hi int) {
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

// KeepFirst drops all bits but the n lowest that are set.
func (c *Chunk) KeepFirst(n int) {
	for bit := range c.Up {
		if n--; n < 0 {
			c.Clip(0, bit)
			return
		}
	}
}

// Up yields the bits that are set, low ones first.
func (c *Chunk) Up(yield func(bit int) bool) {
	for i, w := range c {
		for ; w != 0; w &= w - 1 {
			if !yield(i*64 + bits.TrailingZeros64(w)) {
				return
			}
		}
	}
}

// Down yields the bits that are set, high ones first.
func (c *Chunk) Down(yield func(bit int) bool) {
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

// Encode gives the stored form; nil if the chunk is empty.
func (c *Chunk) Encode() []byte {
	n := c.Count()
	if n == 0 {
		return nil
	}
	if 2*n >= ChunkBytes {
		b := make([]byte, 0, ChunkBytes)
		for _, w := range c {
			b = binary.BigEndian.AppendUint64(b, w)
		}
		return b
	}
	b := make([]byte, 0, 2*n)
	for bit := range c.Up {
		b = binary.BigEndian.AppendUint16(b, uint16(bit))
	}
	return b
}

// Decode is the opposite of encode. An empty chunk has no key, so that no bytes are no
// chunk. Errors: pin.ErrUnreadable.
func (c *Chunk) Decode(b []byte) error {
	*c = Chunk{}
	if len(b) == 0 {
		return fmt.Errorf("%w: bitmap chunk of no bytes", pin.ErrUnreadable)
	}
	if len(b) == ChunkBytes {
		for i := range c {
			c[i] = binary.BigEndian.Uint64(b[8*i:])
		}
		return nil
	}
	if len(b)%2 != 0 || len(b) > ChunkBytes {
		return fmt.Errorf("%w: bitmap chunk of %d bytes", pin.ErrUnreadable, len(b))
	}
	for ; len(b) > 0; b = b[2:] {
		bit := binary.BigEndian.Uint16(b)
		if bit >= ChunkBits {
			return fmt.Errorf("%w: bit %d in a bitmap chunk of %d", pin.ErrUnreadable, bit, ChunkBits)
		}
		c.Add(int(bit))
	}
	return nil
}

// chunkAt reads a piece of a list; an absent one is empty. One that cannot be read is worked
// out, if it can be.
func chunkAt(r *kv.Reader, list []byte, number uint32) (*Chunk, error) {
	b, found, err := r.Get(ChunkKey(list, number))
	c := new(Chunk)
	if err == nil && found {
		err = c.Decode(b)
	}
	if errors.Is(err, pin.ErrUnreadable) {
		return workOutChunk(r, list, number, err)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// setChunk writes a piece of a list.
func setChunk(t *kv.Tx, list []byte, number uint32, c *Chunk) {
	key := ChunkKey(list, number)
	if b := c.Encode(); b != nil {
		t.Set(key, b)
	} else {
		t.Delete(key)
	}
}

// markList adds a request to a list, or takes it off.
func markList(t *kv.Tx, list []byte, seq uint64, on bool) error {
	number, bit := Place(seq)
	c, err := chunkAt(&t.Reader, list, number)
	if err != nil {
		return err
	}
	if on {
		c.Add(bit)
	} else {
		c.Remove(bit)
	}
	setChunk(t, list, number, c)
	return nil
}
