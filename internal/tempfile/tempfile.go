// Package tempfile makes temporary files on a disk that others need as well: that of the database,
// which writes to maps, and ends with the process if the disk is full then.
package tempfile

import (
	"errors"
	"fmt"
	"os"
)

// Room fails if there is no room for so many bytes of temporary files. Nil never does.
type Room func(bytes uint64) error

// File is a file without a name: it goes when it is closed, or with the process, however that ends.
type File struct {
	f    *os.File
	room Room
}

// Create makes one in a directory; "" is the system's. pattern is as in [os.CreateTemp]. The caller
// closes it.
func Create(dir, pattern string, room Room) (*File, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("make a temporary file: %w", err), f.Close())
	}
	return &File{f, room}, nil
}

// Write writes if there is room. Each call asks, so writes should not be small.
func (f *File) Write(b []byte) (int, error) {
	if f.room != nil {
		if err := f.room(uint64(len(b))); err != nil {
			return 0, err
		}
	}
	return f.f.Write(b)
}

// Read, ReadAt, Seek and Close are those of the file.
func (f *File) Read(b []byte) (int, error)                       { return f.f.Read(b) }
func (f *File) ReadAt(b []byte, off int64) (int, error)          { return f.f.ReadAt(b, off) }
func (f *File) Seek(offset int64, whence int) (n int64, e error) { return f.f.Seek(offset, whence) }
func (f *File) Close() error                                     { return f.f.Close() }
