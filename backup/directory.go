package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-ipfs/holdfast/internal/direct"
	"github.com/holdfast-ipfs/holdfast/internal/durable"
)

// directory is a place on a file system.
type directory struct {
	path string // absolute

	mu  sync.Mutex
	put map[string]bool // paths of files and directories that are to be made durable
}

// unfinished is how the name of a file ends that was not written to its end.
const unfinished = ".unfinished"

// syncsAtOnce is how many files are waited for at a time: a file system does several in one go.
const syncsAtOnce = 8

func (d *directory) String() string { return d.path }

func (d *directory) at(name string) string {
	return filepath.Join(d.path, filepath.FromSlash(name))
}

// Put implements [Place]. The system begins to write the file to the disk, and is not waited for: one
// wait at the end, for all files, takes a fraction of the time of one after the other.
func (d *directory) Put(_ context.Context, name string, size int64, r io.Reader) (err error) {
	path := d.at(name)
	if err := d.makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(direct.Writer{File: f}, r)
	if err == nil && n != size {
		err = fmt.Errorf("write %s: %d bytes came of %d", path, n, size)
	}
	if err == nil {
		direct.StartWriting(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d.toSync(path, filepath.Dir(path))
	return nil
}

// toSync notes what Commit is to make durable.
func (d *directory) toSync(paths ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, path := range paths {
		d.put[path] = true
	}
}

// Commit implements [Place].
func (d *directory) Commit(ctx context.Context, name string, data []byte) error {
	path := d.at(name)
	if err := d.makeDirs(filepath.Dir(path)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(syncsAtOnce)
	for path := range d.put {
		g.Go(func() error {
			if err := errors.Join(ctx.Err(), durable.Sync(path)); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was removed since
				return err
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	clear(d.put)
	return durable.WriteFile(path, filepath.Base(path)+unfinished, data, 0o600)
}

// makeDirs makes a directory and those above it.
func (d *directory) makeDirs(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := d.makeDirs(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d.toSync(above)
	return nil
}

// Get implements [Place]. Somebody may have put there what is no file, such as a pipe, which nobody should
// wait for.
func (d *directory) Get(_ context.Context, name string) (io.ReadCloser, error) {
	path := d.at(name)
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is no file", ErrDamaged, path)
	}
	return os.Open(path)
}

func (d *directory) List(ctx context.Context, prefix string) (names []string, err error) {
	// The separator has the place itself be followed if it is a link.
	err = filepath.WalkDir(d.path+string(filepath.Separator), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		rel, relErr := filepath.Rel(d.path, path)
		if errors.Is(err, fs.ErrPermission) && rel != "." && !strings.ContainsRune(rel, filepath.Separator) && !isID(rel) {
			return nil // such as lost+found
		}
		if err = errors.Join(err, relErr, ctx.Err()); err != nil {
			return err
		}
		if name := filepath.ToSlash(rel); err == nil && e.Type().IsRegular() && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

func (d *directory) Remove(_ context.Context, name string) error {
	path := d.at(name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The directory of a run goes with its last file.
	for dir := filepath.Dir(path); dir != d.path; dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			break
		}
	}
	return nil
}
