package rpc

import (
	"strings"

	"github.com/ipfs/boxo/files"
)

// maxTarPath is how many bytes the path of an entry in an archive may have: as many as may be uploaded, and
// more than most systems can unpack. Each directory on the way to an entry takes memory, and its path.
const maxTarPath = 8 << 10

// confined makes sure that unpacking a directory's archive writes nowhere else. The name of
// an entry may be anything that the maker of the block wanted. Boxo's writer looks at whole
// paths. We look at each name, and refuse all that do not name something in the directory. path is how
// many bytes the directory's own path has.
func confined(n files.Node, path int) files.Node {
	if d, ok := n.(files.Directory); ok {
		return confinedDir{d, path}
	}
	return n
}

type confinedDir struct {
	files.Directory
	path int
}

func (d confinedDir) Entries() files.DirIterator {
	return &confinedEntries{DirIterator: d.Directory.Entries(), path: d.path, symlinks: map[string]bool{}}
}

type confinedEntries struct {
	files.DirIterator
	path int // bytes of the directory's
	// symlinks are those that the directory had so far: what comes under the same name
	// would be written where they point.
	symlinks map[string]bool
	err      error
}

func (e *confinedEntries) Next() bool {
	if e.err != nil || !e.DirIterator.Next() {
		return false
	}
	name := e.Name()
	switch {
	case e.entry() > maxTarPath:
		e.err = cannot("the directory has a path of more than %d bytes in it, which cannot be unpacked: use dag/export instead", maxTarPath)
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		e.err = cannot("the directory has an entry with the name %q, which cannot be unpacked safely: use dag/export instead", shorten(name))
	case e.symlinks[name]:
		e.err = cannot("the directory has another entry with the name of the symlink %q, which cannot be unpacked safely: use dag/export instead", shorten(name))
	}
	if _, ok := e.DirIterator.Node().(*files.Symlink); ok {
		e.symlinks[name] = true
	}
	return e.err == nil
}

// entry is how many bytes the path of the entry has.
func (e *confinedEntries) entry() int { return e.path + len("/") + len(e.Name()) }

func (e *confinedEntries) Node() files.Node { return confined(e.DirIterator.Node(), e.entry()) }

func (e *confinedEntries) Err() error {
	if e.err != nil {
		return e.err
	}
	return e.DirIterator.Err()
}
