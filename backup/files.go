package backup

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
)

// ErrDamaged: a file of a backup is not as it was written.
var ErrDamaged = errors.New("a file of the backup is damaged")

// scratch is a list whose length is known only at the end. It is written to a temporary file first, or, if the
// place can take it so, to where it is to be.
type scratch struct {
	listWriter
	f    scratchFile
	name string
	sum  *xxhash.Digest
	buf  *bufio.Writer
	seal io.WriteCloser
	zip  io.WriteCloser
}

type scratchFile interface {
	io.ReadWriteCloser
	io.ReaderAt
	io.Seeker
}

// zipWindow is how far back zstd looks. The default takes four times the memory, and what is alike in a
// list is close together.
const zipWindow = 1 << 20

// maxZipWindow is what a list is read with. The window takes that much memory, and somebody else may have
// written the list. The first backups have windows of 4 MiB.
const maxZipWindow = 8 << 20

// newScratch begins one that will have a name in the place. compress is false for what does not become
// shorter. The caller closes it.
func (c *Config) newScratch(name string, compress bool) (s *scratch, err error) {
	s = &scratch{name: name, sum: xxhash.New()}
	if g, ok := c.Place.(grower); ok {
		f, err := g.grow(name, nil, growLittle)
		if err != nil {
			return nil, err
		}
		if f != nil {
			s.f = f
		}
	}
	if s.f == nil {
		if s.f, err = tempfile.Create(c.Temp, "backup-*", c.TempRoom); err != nil {
			return nil, err
		}
	}
	s.buf = bufio.NewWriterSize(io.MultiWriter(s.f, s.sum), 1<<10) // what is longer goes past it
	if s.seal, err = c.Key.seal(s.buf); err == nil {
		s.zip, err = newZipWriter(s.seal, compress)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.listWriter = listWriter{bufio.NewWriterSize(s.zip, storedAtOnce)}
	return s, nil
}

func (s *scratch) close() { _ = s.f.Close() }

// finish ends the writing, and goes to the beginning of the file. size is its length.
func (s *scratch) finish() (size int64, err error) {
	err = errors.Join(s.w.Flush(), s.zip.Close(), s.seal.Close(), s.buf.Flush())
	if err == nil {
		size, err = s.f.Seek(0, io.SeekEnd)
	}
	if err == nil {
		_, err = s.f.Seek(0, io.SeekStart)
	}
	return size, err
}

// put ends the writing, and puts the file into a place.
func (s *scratch) put(ctx context.Context, p Place) (File, error) {
	size, err := s.finish()
	if err != nil {
		return File{}, fmt.Errorf("write %s: %w", s.name, err)
	}
	f := File{Name: s.name, Size: size, XXH64: sumText(s.sum.Sum64())}
	if g, ok := s.f.(*growing); ok {
		return f, g.keep()
	}
	return f, p.Put(ctx, s.name, size, s.f)
}

// read ends the writing, and calls read with what was written.
func (s *scratch) read(k *Key, read func(listReader) error) error {
	if _, err := s.finish(); err != nil {
		return fmt.Errorf("write %s: %w", s.name, err)
	}
	r, err := k.open(s.f)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.name, err)
	}
	return unzip(r, read)
}

// putBytes seals bytes and puts them into a place.
func putBytes(ctx context.Context, p Place, k *Key, name string, b []byte) (File, error) {
	b, err := k.sealAll(b)
	if err != nil {
		return File{}, err
	}
	name += k.suffix()
	sum := sha256.Sum256(b)
	return File{Name: name, Size: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}, p.Put(ctx, name, int64(len(b)), bytes.NewReader(b))
}

func sumText(sum uint64) string { return fmt.Sprintf("%016x", sum) }

// newSum gives what sums a file up as the manifest has it.
func newSum(f File) hash.Hash {
	if f.SHA256 == "" {
		return &turned{Digest: *xxhash.New(), first: make([]byte, 0, f.XXH64From)}
	}
	return sha256.New()
}

// turned is the XXH64 of a file in which some first bytes come last: as many as first has room for.
type turned struct {
	xxhash.Digest
	first []byte
}

func (t *turned) Write(b []byte) (int, error) {
	n := min(len(b), cap(t.first)-len(t.first))
	t.first = append(t.first, b[:n]...)
	_, err := t.Digest.Write(b[n:])
	return len(b), err
}

func (t *turned) Sum(b []byte) []byte {
	d := t.Digest
	_, _ = d.Write(t.first) // it never fails
	return d.Sum(b)
}

// sumOf is what the manifest has of the sum of a file.
func (f File) sumOf(sum hash.Hash) bool {
	return hex.EncodeToString(sum.Sum(nil)) == cmp.Or(f.SHA256, f.XXH64)
}

// sealBroken is the error of a file that the key does not open. The key is that of the place, so the
// file is damaged, or was put there by somebody else.
func sealBroken(name string, p Place, err error) error {
	return fmt.Errorf("%w: %s of %s cannot be opened: %v", ErrDamaged, name, p, err)
}

// opened reads a file of a backup, and knows at its end whether it is as it was written.
type opened struct {
	io.Reader
	file   File
	place  Place
	sealed io.Reader // what the place gives, summed
	closer io.Closer
	sum    hash.Hash
	size   int64
}

// openUnchecked opens a file whose content shows by itself whether it is as it was written. The
// caller closes it. Errors: fs.ErrNotExist; ErrDamaged.
func openUnchecked(ctx context.Context, p Place, k *Key, f File) (io.Reader, io.Closer, error) {
	rc, err := p.Get(ctx, f.Name)
	if err != nil {
		return nil, nil, err
	}
	r, err := k.open(rc)
	if err != nil {
		return nil, nil, errors.Join(sealBroken(f.Name, p, err), rc.Close())
	}
	return r, rc, nil
}

// openFile opens a file. The caller closes it. Errors: fs.ErrNotExist; ErrDamaged.
func openFile(ctx context.Context, p Place, k *Key, f File) (*opened, error) {
	rc, err := p.Get(ctx, f.Name)
	if err != nil {
		return nil, err
	}
	o := &opened{file: f, place: p, closer: rc, sum: newSum(f)}
	o.sealed = io.TeeReader(rc, o)
	if o.Reader, err = k.open(o.sealed); err != nil {
		return nil, errors.Join(sealBroken(f.Name, p, err), rc.Close())
	}
	return o, nil
}

// Write sums what is read.
func (o *opened) Write(b []byte) (int, error) {
	o.size += int64(len(b))
	return o.sum.Write(b)
}

// check reads the rest, and fails with ErrDamaged if the file is not as it was written.
func (o *opened) check() error {
	if _, err := io.Copy(io.Discard, o.sealed); err != nil {
		return err
	}
	if o.size != o.file.Size || !o.file.sumOf(o.sum) {
		return fmt.Errorf("%w: %s of %s has another checksum, or another length", ErrDamaged, o.file.Name, o.place)
	}
	return nil
}

func (o *opened) close() { _ = o.closer.Close() }

// readList opens a list, and calls read with it. What read got counts only if readList
// returns nil. Errors: those of read; ErrDamaged.
func readList(ctx context.Context, p Place, k *Key, f File, read func(listReader) error) error {
	o, err := openFile(ctx, p, k, f)
	if err != nil {
		return err
	}
	defer o.close()
	err = unzip(o, read)
	// A file that is damaged, or cannot be read to its end, is the reason of what read found wrong with it.
	if e := o.check(); e != nil && (err == nil || errors.Is(e, ErrDamaged) || errors.Is(err, errList)) {
		return e
	}
	return err
}

// unzip calls read with the list that r has.
func unzip(r io.Reader, read func(listReader) error) error {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZipWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	return read(listReader{bufio.NewReaderSize(z, 1<<16)})
}
