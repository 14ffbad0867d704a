package rpc

import (
	"io"

	"github.com/ipfs/boxo/files"
)

// maxBetween is how much of a body may come between two files: the headers of a file or directory, and
// where a symlink leads. What takes the body apart has the latter in memory as a whole, before anything
// is put that counts. It is more than any system has for a path.
const maxBetween = 2 * maxPartHeader

// betweenFiles is a multipart body of which only so much may come while the next file is looked for.
type betweenFiles struct {
	r     io.Reader
	looks bool // the next file is looked for
	left  int  // bytes that may come until it is found
}

func (b *betweenFiles) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if !b.looks {
		return n, err
	}
	if b.left -= n; b.left < 0 {
		return 0, refuse("there are more than %d bytes between two files of the body: a symlink may lead too far", maxBetween)
	}
	return n, err
}

// of gives a directory of the body whose files are looked for in that way.
func (b *betweenFiles) of(d files.Directory) files.Directory { return boundedDir{d, b} }

type boundedDir struct {
	files.Directory
	body *betweenFiles
}

func (d boundedDir) Entries() files.DirIterator {
	return boundedEntries{d.Directory.Entries(), d.body}
}

type boundedEntries struct {
	files.DirIterator
	body *betweenFiles
}

func (e boundedEntries) Next() bool {
	e.body.looks, e.body.left = true, maxBetween
	defer func() { e.body.looks = false }()
	return e.DirIterator.Next()
}

func (e boundedEntries) Node() files.Node {
	if d, ok := e.DirIterator.Node().(files.Directory); ok {
		return e.body.of(d)
	}
	return e.DirIterator.Node()
}
