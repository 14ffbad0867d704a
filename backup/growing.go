package backup

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"

	"github.com/holdfast-ipfs/holdfast/internal/direct"
)

// grower is a place that takes a file before its length is known.
type grower interface {
	// grow begins a file. It is nil if the place cannot do that. The caller closes it.
	grow(name string) (*growing, error)
}

// grow implements [grower].
func (d *directory) grow(name string) (*growing, error) {
	to := d.at(name)
	if err := d.makeDirs(filepath.Dir(to)); err != nil {
		return nil, err
	}
	memory, err := direct.Memory(growAtOnce)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+"-*"+unfinished) // a second one may be made of the same name
	if err != nil {
		return nil, errors.Join(err, direct.Free(memory))
	}
	return &growing{d: d, name: name, path: to, f: f, memory: memory}, nil
}

func (p roomy) grow(name string) (*growing, error) {
	g, ok := p.Place.(grower)
	if !ok {
		return nil, nil
	}
	f, err := g.grow(name)
	if f != nil {
		f.room = p.room
	}
	return f, err
}

// growAtOnce is how much is written at once to a file that grows: the least that goes to the disk itself.
const growAtOnce = 1 << 20

// growing is a file in a directory that is written while it is made. It has another name until it is kept.
type growing struct {
	d      *directory
	name   string
	path   string
	f      *os.File // nil once it was closed
	room   func(int64) error
	memory []byte
	n      int // bytes of memory that are not written
}

func (g *growing) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if g.n == len(g.memory) {
			if err := g.flush(); err != nil {
				return n, err
			}
		}
		m := copy(g.memory[g.n:], b)
		g.n += m
		n += m
		b = b[m:]
	}
	return n, nil
}

func (g *growing) flush() error {
	if g.room != nil {
		if err := g.room(int64(g.n)); err != nil {
			return err
		}
	}
	_, err := direct.Writer{File: g.f}.Write(g.memory[:g.n])
	g.n = 0
	return err
}

// Seek flushes, and is that of the file. What is written after it goes to the end.
func (g *growing) Seek(offset int64, whence int) (int64, error) {
	if err := g.flush(); err != nil {
		return 0, err
	}
	return g.f.Seek(offset, whence)
}

// Read and ReadAt read what was flushed.
func (g *growing) Read(b []byte) (int, error)              { return g.f.Read(b) }
func (g *growing) ReadAt(b []byte, off int64) (int, error) { return g.f.ReadAt(b, off) }

// keep ends the writing, and gives the file its name. It is durable once a later Commit returns nil.
func (g *growing) keep() error {
	err := g.flush()
	if err == nil {
		direct.StartWriting(g.f)
		err = os.Rename(g.f.Name(), g.path)
	}
	if err != nil {
		return errors.Join(err, g.Close())
	}
	g.d.toSync(g.path, filepath.Dir(g.path))
	f := g.f
	g.f = nil
	return errors.Join(f.Close(), direct.Free(g.memory))
}

// Close removes the file unless it was kept.
func (g *growing) Close() error {
	if g.f == nil {
		return nil
	}
	f := g.f
	g.f = nil
	return errors.Join(f.Close(), g.d.Remove(context.Background(), path.Join(path.Dir(g.name), filepath.Base(f.Name()))), direct.Free(g.memory))
}
