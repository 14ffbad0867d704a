package backup

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/tempfile"
)

// spool is a list of the blocks that records link to, in a temporary file. It can be read while it is
// written: the writer never waits for a reader.
type spool struct {
	listWriter
	f *tempfile.File

	mu    sync.Mutex
	grown *sync.Cond // of size and ended
	size  int64
	ended bool
	err   error // what ended it too early
}

// newSpool begins one. The caller closes it.
func (c *Config) newSpool() (*spool, error) {
	f, err := tempfile.Create(c.Temp, "backup-*", c.TempRoom)
	if err != nil {
		return nil, err
	}
	s := &spool{f: f}
	s.grown = sync.NewCond(&s.mu)
	s.listWriter = listWriter{bufio.NewWriterSize(spoolWriter{s}, 1<<16)}
	return s, nil
}

func (s *spool) close() { _ = s.f.Close() }

// end ends the writing: readers get all that was written, and then the error, if there is one.
func (s *spool) end(err error) error {
	if err == nil {
		err = s.w.Flush()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.err = true, err
	s.grown.Broadcast()
	return err
}

// failed gives the error that end got.
func (s *spool) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// read reads from the beginning. Several may read at a time.
func (s *spool) read() listReader {
	return listReader{bufio.NewReaderSize(&spoolReader{s: s}, 1<<16)}
}

type spoolWriter struct{ s *spool }

func (w spoolWriter) Write(b []byte) (int, error) {
	n, err := w.s.f.Write(b)
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.size += int64(n)
	w.s.grown.Broadcast()
	return n, err
}

type spoolReader struct {
	s  *spool
	at int64
}

func (r *spoolReader) Read(b []byte) (int, error) {
	left, err := r.wait()
	if left == 0 {
		return 0, err
	}
	n, err := r.s.f.ReadAt(b[:min(int64(len(b)), left)], r.at)
	r.at += int64(n)
	return n, err
}

// wait waits until there is more to read. It gives how many bytes there are, or why there will be none.
func (r *spoolReader) wait() (left int64, err error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for r.at == r.s.size && !r.s.ended {
		r.s.grown.Wait()
	}
	if err = r.s.err; err == nil {
		err = io.EOF
	}
	return r.s.size - r.at, err
}

// linkedBlock is a block that records link to.
type linkedBlock struct {
	hash  multihash.Multihash
	codec uint64
}

func (s *spool) add(h multihash.Multihash, codec uint64) error {
	b := append(binary.AppendUvarint(s.w.AvailableBuffer(), uint64(len(h))), h...)
	_, err := s.w.Write(binary.AppendUvarint(b, codec))
	return err
}

// linkedBlock reads into b. The hash is valid until the next read. Errors: io.EOF at the end.
func (l listReader) linkedBlock(b *linkedBlock) (err error) {
	var n [1]uint64
	b.hash, err = l.fields(n[:])
	b.codec = n[0]
	return err
}
