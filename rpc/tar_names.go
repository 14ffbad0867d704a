package rpc

import (
	"strings"

	"github.com/ipfs/boxo/files"
)

// confined makes sure that unpacking a directory's archive writes nowhere else. The name of
// an entry may be anything that the maker of the block wanted. Boxo's writer looks at whole
// paths. We look at each name, and refuse all that do not name something in the directory.
func confined(n files.Node) files.Node {
	if d, ok := n.(files.Directory); ok {
		return confinedDir{d}
	}
	return n
}

type confinedDir struct{ files.Directory }

func (d confinedDir) Entries() files.DirIterator {
	return &confinedEntries{DirIterator: d.Directory.Entries(), symlinks: map[string]bool{}}
}

type confinedEntries struct {
	files.DirIterator
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

func (e *confinedEntries) Node() files.Node { return confined(e.DirIterator.Node()) }

func (e *confinedEntries) Err() error {
	if e.err != nil {
		return e.err
	}
	return e.DirIterator.Err()
}
