package backup

import (
	"bytes"
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"
	car "github.com/ipld/go-car/v2"
)

// buffer is a pack in memory.
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

// put implements [packFile]. The blocks have their hashes, so a sum suffices for the rest that takes a tenth of
// the time.
func (b *buffer) put(ctx context.Context, p Place, k *Key, name string) (File, error) {
	sealed, err := k.sealAll(*b)
	if err != nil {
		return File{}, err
	}
	name += k.suffix()
	f := File{Name: name, Size: int64(len(sealed)), XXH64: sumText(xxhash.Sum64(sealed))}
	return f, p.Put(ctx, name, f.Size, bytes.NewReader(sealed))
}

func (b *buffer) drop() error { return nil }

// packHeader is how many bytes a CARv2 file has before its blocks. They are known at the end.
const packHeader = car.PragmaSize + car.HeaderSize

// packOnDisk is a pack that is written while it is made, but for its first bytes, which are written again in the
// end.
type packOnDisk struct {
	*growing
	head [maxXXH64From]byte // what the file begins with: a page, so that the system need not read it
	size int64
	sum  xxhash.Digest // of what comes after packHeader
	used bool          // sum was begun
}

func (p *packOnDisk) Write(b []byte) (int, error) { return p.WriteAt(b, p.size) }

func (p *packOnDisk) WriteAt(b []byte, off int64) (n int, err error) {
	if off < p.size {
		if off+int64(len(b)) > packHeader {
			return 0, fmt.Errorf("bytes %d to %d of a pack are written again", off, off+int64(len(b)))
		}
		return copy(p.head[off:], b), nil
	}
	if gap := off - p.size; gap > 0 {
		if _, err := p.add(make([]byte, gap)); err != nil {
			return 0, err
		}
	}
	return p.add(b)
}

// add adds bytes to the end.
func (p *packOnDisk) add(b []byte) (int, error) {
	if p.size < int64(len(p.head)) {
		copy(p.head[p.size:], b)
	}
	if !p.used {
		p.sum.Reset()
		p.used = true
	}
	if skip := max(0, packHeader-p.size); skip < int64(len(b)) {
		_, _ = p.sum.Write(b[skip:]) // it never fails
	}
	p.size += int64(len(b))
	return p.growing.Write(b)
}

// put implements [packFile].
func (p *packOnDisk) put(_ context.Context, _ Place, _ *Key, name string) (File, error) {
	if _, err := p.growing.WriteAt(p.head[:min(p.size, int64(len(p.head)))], 0); err != nil {
		return File{}, err
	}
	_, _ = p.sum.Write(p.head[:packHeader])
	f := File{Name: name, Size: p.size, XXH64: sumText(p.sum.Sum64()), XXH64From: packHeader}
	return f, p.keep()
}

// drop implements [packFile].
func (p *packOnDisk) drop() error { return p.Close() }
