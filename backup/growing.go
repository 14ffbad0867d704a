package backup

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/holdfast-ipfs/holdfast/internal/direct"
)

// grower is a place that takes a file before its length is known.
type grower interface {
	// grow begins a file, of which so many bytes are written at once. Memory for growPieces of them is from
	// [direct.Memory]; nil is memory of its own. The file is nil if the place cannot do that. The caller
	// closes it.
	grow(name string, memory []byte, atOnce int) (*growing, error)
}

const (
	// growLittle and growMuch are how much is written at once to a file that grows. The first is the least that
	// goes to the disk itself, and takes little new memory, which a small backup would spend most of its time on.
	// With the second a large backup takes a quarter less time.
	growLittle, growMuch = 1 << 20, 4 << 20
	// growPieces is how many pieces of that are in memory: while some are written, another is filled.
	growPieces = 4
)

// growing is a file in a directory that is written while it is made. It has another name until it is kept.
// One goroutine uses it.
type growing struct {
	d      *directory
	name   string
	f      *os.File // nil once it was closed
	room   func(int64) error
	own    []byte // memory that is to be freed
	piece  []byte // that is filled
	free   chan []byte
	full   chan []byte
	queued sync.WaitGroup // pieces that are not written
	mu     sync.Mutex
	err    error // the first of writing
}

// grow implements [grower].
func (d *directory) grow(name string, memory []byte, atOnce int) (g *growing, err error) {
	g = &growing{d: d, name: name, free: make(chan []byte, growPieces), full: make(chan []byte, growPieces)}
	path := d.at(name)
	if err := d.makeDirs(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if memory == nil {
		if memory, err = direct.Memory(growPieces * atOnce); err != nil {
			return nil, err
		}
		g.own = memory
	}
	// A second one of the same name may be made.
	if g.f, err = os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*"+unfinished); err != nil {
		return nil, errors.Join(err, g.freeOwn())
	}
	for i := range growPieces {
		g.free <- memory[i*atOnce : i*atOnce : (i+1)*atOnce]
	}
	g.piece = <-g.free
	go g.write()
	return g, nil
}

func (p roomy) grow(name string, memory []byte, atOnce int) (*growing, error) {
	g, ok := p.Place.(grower)
	if !ok {
		return nil, nil
	}
	f, err := g.grow(name, memory, atOnce)
	if f != nil {
		f.room = p.room
	}
	return f, err
}

// write writes what is full.
func (g *growing) write() {
	for b := range g.full {
		if g.failed() == nil {
			var err error
			if g.room != nil {
				err = g.room(int64(len(b)))
			}
			if err == nil {
				_, err = direct.Writer{File: g.f}.Write(b)
			}
			g.mu.Lock()
			g.err = err
			g.mu.Unlock()
		}
		g.free <- b[:0]
		g.queued.Done()
	}
}

func (g *growing) failed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (g *growing) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if len(g.piece) == cap(g.piece) {
			if err := g.failed(); err != nil {
				return n, err
			}
			g.next()
		}
		m := min(len(b), cap(g.piece)-len(g.piece))
		g.piece = append(g.piece, b[:m]...)
		n += m
		b = b[m:]
	}
	return n, nil
}

// next hands the piece over, and begins another.
func (g *growing) next() {
	g.queued.Add(1)
	g.full <- g.piece // it has room
	g.piece = <-g.free
}

// flush waits until all is written.
func (g *growing) flush() error {
	if len(g.piece) > 0 {
		g.next()
	}
	g.queued.Wait()
	return g.failed()
}

// Seek, ReadAt and WriteAt flush, and are those of the file. After Seek nothing may be written but by WriteAt.
func (g *growing) Seek(offset int64, whence int) (int64, error) {
	if err := g.flush(); err != nil {
		return 0, err
	}
	return g.f.Seek(offset, whence)
}

func (g *growing) ReadAt(b []byte, off int64) (int, error) {
	if err := g.flush(); err != nil {
		return 0, err
	}
	return g.f.ReadAt(b, off)
}

func (g *growing) WriteAt(b []byte, off int64) (int, error) {
	if err := g.flush(); err != nil {
		return 0, err
	}
	return g.f.WriteAt(b, off)
}

// Read reads what was written before the last Seek.
func (g *growing) Read(b []byte) (int, error) { return g.f.Read(b) }

// keep ends the writing, and gives the file its name. It is durable once a later Commit returns nil.
func (g *growing) keep() error {
	path := g.d.at(g.name)
	err := g.flush()
	if err == nil {
		direct.StartWriting(g.f)
		err = os.Rename(g.f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, g.Close())
	}
	g.d.toSync(path, filepath.Dir(path))
	return errors.Join(g.end().Close(), g.freeOwn())
}

// Close removes the file unless it was kept.
func (g *growing) Close() error {
	if g.f == nil {
		return nil
	}
	g.queued.Wait()
	f := g.end()
	return errors.Join(f.Close(), g.freeOwn(), g.d.Remove(context.Background(), path.Join(path.Dir(g.name), filepath.Base(f.Name()))))
}

// end ends the goroutine that writes, which has nothing to write.
func (g *growing) end() *os.File {
	close(g.full)
	f := g.f
	g.f = nil
	return f
}

func (g *growing) freeOwn() error {
	if g.own == nil {
		return nil
	}
	return direct.Free(g.own)
}
