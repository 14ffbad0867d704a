package kuborpc

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Unpack writes what a TAR archive of [Client.Get] has to a path, at which nothing may be.
// Whatever the archive says, nothing is written elsewhere: each name is looked up within the
// target by [os.Root], which follows no link out of it, and nothing is written over. An error
// leaves nothing. Modes and times are those of the archive, but no bits that give rights, such
// as setuid. wrote is called with the bytes of files as they are written.
func Unpack(archive io.Reader, target string, wrote func(n int)) (err error) {
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s exists already", target)
		}
		return err
	}
	parent, name := filepath.Split(filepath.Clean(target))
	if parent == "" {
		parent = "."
	}
	// It is written under another name beside the target: what has that name is whole.
	partial, err := os.MkdirTemp(parent, "."+name+".partial-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(partial)) }()
	root, err := os.OpenRoot(partial)
	if err != nil {
		return err
	}
	defer root.Close()
	u := unpacker{root: root, wrote: wrote}
	if err := u.all(tar.NewReader(archive)); err != nil {
		return err
	}
	// Behind the end of the archive the server says whether that was all.
	if _, err := io.Copy(io.Discard, archive); err != nil {
		return err
	}
	return u.finish(filepath.Join(partial, unpacked), target)
}

// unpacked is the name of the root within the directory that it is written in.
const unpacked = "root"

type unpacker struct {
	root  *os.Root
	wrote func(int)
	top   string       // the name of the first entry
	dirs  []tar.Header // with their names here; they get mode and time when all is in them
}

func (u *unpacker) all(archive *tar.Reader) error {
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) && u.top != "" {
			return nil
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("the server's archive is empty")
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := u.one(h, archive); err != nil {
			return fmt.Errorf("write %q: %w", h.Name, err)
		}
	}
}

// place gives the name that an entry gets within the directory.
func (u *unpacker) place(name string) (string, error) {
	name = strings.TrimSuffix(name, "/")
	top, rest, below := strings.Cut(name, "/")
	first := u.top == ""
	if first {
		u.top = top
	}
	if top == "" || top != u.top || first == below {
		return "", errors.New("the archive has more than one root")
	}
	if !below {
		return unpacked, nil
	}
	if !filepath.IsLocal(rest) || path.Clean(rest) != rest || strings.ContainsRune(rest, 0) {
		return "", errors.New("the name leads out of the target")
	}
	return unpacked + "/" + rest, nil
}

func (u *unpacker) one(h *tar.Header, content io.Reader) error {
	name, err := u.place(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		u.dirs = append(u.dirs, tar.Header{Name: name, Mode: h.Mode, ModTime: h.ModTime})
		return u.root.Mkdir(name, 0o755)
	case tar.TypeSymlink:
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		return u.file(name, h, content)
	}
	return fmt.Errorf("it is no file, directory or symbolic link (type %q)", h.Typeflag)
}

func (u *unpacker) file(name string, h *tar.Header, content io.Reader) (err error) {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(counting{f, u.wrote}, content); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil { // some disks say only now that they are full
		return err
	}
	return dress(u.root, name, h)
}

// dress gives an entry its mode and time. 0 is none.
func dress(root *os.Root, name string, h *tar.Header) error {
	if mode := fs.FileMode(h.Mode) & fs.ModePerm; mode != 0 {
		if err := root.Chmod(name, mode); err != nil {
			return err
		}
	}
	if h.ModTime.IsZero() || h.ModTime.Equal(time.Unix(0, 0)) {
		return nil
	}
	return root.Chtimes(name, time.Time{}, h.ModTime)
}

// finish gives directories their modes and times, and what was unpacked its name.
func (u *unpacker) finish(from, target string) error {
	// Some systems move a directory only if it may be written. So the first gets its mode when
	// it has its name.
	for i := len(u.dirs) - 1; i > 0; i-- {
		if err := dress(u.root, u.dirs[i].Name, &u.dirs[i]); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was made meanwhile by somebody else", target)
	}
	if err := os.Rename(from, target); err != nil || len(u.dirs) == 0 {
		return err
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return err
	}
	defer root.Close()
	return dress(root, ".", &u.dirs[0])
}

// removeAll removes a directory, also if it has some that may not be written.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(dir))
}

type counting struct {
	io.Writer
	wrote func(int)
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.wrote(n)
	return n, err
}
