package denylist

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ipfs-shipyard/nopfs"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// extension is the end of a list's name, as in Kubo.
const extension = ".deny"

// place is where a file is, and what the directory says of it.
type place struct {
	path  string
	stamp stamp
}

// stamp changes when a file does.
type stamp struct {
	size    int64
	changed time.Time
}

func (p place) same(q place) bool {
	return p.path == q.path && p.stamp.size == q.stamp.size && p.stamp.changed.Equal(q.stamp.changed)
}

// find lists the lists of all directories, in the order in which they count. Where it cannot
// look, the lists count that were known there before; err says where, and why.
func find(dirs []Dir, known []place) (found []place, err error) {
	var errs []error
	for _, d := range dirs {
		_, err := os.Stat(d.Path)
		if errors.Is(err, fs.ErrNotExist) && d.Optional {
			continue
		}
		var here []place
		keep := func(at string, err error) {
			errs = append(errs, fmt.Errorf("look for denylists: %w", err))
			below := filepath.Clean(at) + string(filepath.Separator)
			for _, p := range known {
				if p.path == at || strings.HasPrefix(p.path, below) {
					here = append(here, p)
				}
			}
		}
		if err != nil {
			keep(d.Path, err)
		} else {
			_ = filepath.WalkDir(root(d), func(p string, e fs.DirEntry, err error) error { // gives no error
				switch {
				case errors.Is(err, fs.ErrNotExist): // gone since
				case err != nil:
					keep(p, err)
				case !e.IsDir() && filepath.Ext(p) == extension:
					info, err := os.Stat(p)
					switch {
					case errors.Is(err, fs.ErrNotExist): // gone already, or a link to nothing
					case err != nil:
						keep(p, err)
					default:
						here = append(here, place{p, stamp{info.Size(), info.ModTime()}})
					}
				}
				return nil
			})
		}
		slices.SortStableFunc(here, func(a, b place) int { return strings.Compare(a.path, b.path) })
		for _, p := range here {
			if !slices.ContainsFunc(found, func(q place) bool { return q.path == p.path }) { // a directory given twice
				found = append(found, p)
			}
		}
	}
	return found, errors.Join(errs...)
}

// root is a path of the directory that is followed if it is a link.
func root(d Dir) string { return d.Path + string(filepath.Separator) + "." }

// file is a list that was read.
type file struct {
	place
	failing bool // it could not be read since; that was logged, and it is tried again
	list    *nopfs.Denylist
	added   uint64 // lines that parse put before it
	rules   int
	// unread are the lines that are no rules, or that would deny empty content. nopfs leaves
	// both out.
	unread []uint64
}

func readFile(at place) (*file, error) {
	data, err := os.ReadFile(at.path)
	if err != nil {
		return nil, fmt.Errorf("read the denylist: %w", err)
	}
	f, err := parse(data, true)
	if err != nil && !strings.Contains(err.Error(), "unsupported denylist version") {
		// Its header cannot be read. The rules do not depend on it.
		f, err = parse(data, false)
	}
	if err != nil {
		return nil, fmt.Errorf("read the denylist %s: %w", at.path, err)
	}
	f.place = at
	return f, nil
}

const (
	// maxHeader is how far nopfs looks for the end of a header.
	maxHeader = 1 << 20
	// maxLine is the longest line that the format allows. If a list has a longer one, nopfs
	// reads nothing of it.
	maxLine = 2<<20 - 1
)

// parse reads a list, with or without a header. It prepares the text for nopfs, which drops a
// last line without a line feed, fails on lines of spaces and on line ends of Windows, and
// complains about a list without a header.
func parse(data []byte, header bool) (*file, error) {
	var clean bytes.Buffer
	clean.Grow(len(data) + len("---\n") + 1)
	head := data[:min(len(data), maxHeader)]
	f := new(file)
	lines := make(map[uint64]bool) // that should be rules
	inHeader := false
	for line := range bytes.Lines(head) {
		inHeader = inHeader || string(trim(line)) == "---"
	}
	if !inHeader || !header {
		clean.WriteString("---\n")
		f.added = 1
	}
	number := uint64(0)
	for line := range bytes.Lines(data) {
		number++
		line = trim(line)
		switch {
		case inHeader:
			inHeader = string(line) != "---"
			if !header {
				lines[number] = inHeader
				line = nil
			}
		case len(line) > 0 && line[0] != '#':
			lines[number] = true
			if len(line) > maxLine {
				line = nil
			}
		}
		clean.Write(line)
		clean.WriteByte('\n')
	}
	var err error
	if f.list, err = nopfs.NewDenylistReader(inMemory{bytes.NewReader(clean.Bytes())}); err != nil {
		return nil, err
	}
	f.rules = len(f.list.Entries)
	maps.DeleteFunc(lines, func(_ uint64, should bool) bool { return !should })
	for _, e := range f.list.Entries {
		delete(lines, e.Line-f.added)
	}
	f.unread = slices.Sorted(maps.Keys(lines))
	// They are all kept a second time, by what they match.
	f.list.Entries = nil
	return f, nil
}

func trim(line []byte) []byte { return bytes.TrimRightFunc(line, unicode.IsSpace) }

// unreadable stands for a list that could not be read. It has no rules.
func unreadable(at place) *file {
	f, err := parse(nil, true)
	if err != nil {
		panic(err) // an empty list is valid
	}
	f.place = at
	return f
}

// tried notes that a file could not be read, or that it is no list. In the second case it is
// not read again until it changes. What the system refused may work the next time.
func (f *file) tried(at place, err error) {
	f.stamp = at.stamp
	var system *fs.PathError
	if f.failing = errors.As(err, &system); f.failing {
		f.stamp = stamp{size: -1}
	}
}

// inMemory is a file in memory, which need not be closed.
type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

var _ io.ReadSeekCloser = inMemory{}

// cid gives what the list says about a block, and in which line. A rule that allows the block
// under any codec counts before those that deny it.
func (f *file) cid(c cid.Cid) (status nopfs.Status, line uint64) {
	said := f.list.IsCidBlocked(c)
	status, line = said.Status, said.Entry.Line-f.added
	double, ok := f.list.DoubleHashBlocksDB[multihash.SHA2_256]
	if !ok || status == nopfs.StatusAllowed {
		return status, line // no rule of the list is about a codec
	}
	for _, code := range pin.Codecs {
		codec := uint64(code)
		if codec == c.Type() {
			continue
		}
		// The older form: the hash of a CIDv1 in base32, a slash, and no path. Nothing
		// else that nopfs looks for depends on the codec.
		h, err := multihash.Sum([]byte(cid.NewCidV1(codec, c.Hash()).String()+"/"), multihash.SHA2_256, -1)
		if err != nil {
			return nopfs.StatusErrored, 0 // SHA2-256 is always there
		}
		rules, _ := double.Load(h.B58String())
		other, rule := rules.CheckPathStatus("")
		if other == nopfs.StatusAllowed {
			return other, rule.Line - f.added
		}
		if status == nopfs.StatusNotFound {
			status, line = other, rule.Line-f.added
		}
	}
	return status, line
}

// at gives what the list says about a path.
func (f *file) at(p path.Path) (status nopfs.Status, line uint64) {
	said := f.list.IsPathBlocked(p)
	return said.Status, said.Entry.Line - f.added
}

// isList reports whether a name is that of a list.
func isList(name string) bool { return strings.EqualFold(filepath.Ext(name), extension) }
