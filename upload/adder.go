package upload

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/boxo/ipld/unixfs/importer/trickle"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// Events is told what happens, in the order in which Kubo tells it: how far a file is, each file
// when it is added, and at the end the directories, each after those within it. An error ends
// the upload. Nil functions are not called.
type Events struct {
	// Read is told how many bytes of a file were read so far, every 256 KiB and at its end.
	Read func(name string, bytes int64) error
	// Added is told of a file, a symbolic link or a directory. The name is the path below
	// what is added, "" for a directory that is added itself, and the CID for a file that is.
	Added func(e Entry) error
}

// Entry is something that was added.
type Entry struct {
	Name      string
	CID       cid.Cid
	Size      uint64 // of all blocks, as often as they are linked to
	Directory bool
}

// Adder adds files and directories. It is for one goroutine.
type Adder struct {
	nodes  nodes
	o      Options
	events Events
	mode   os.FileMode // of what is added now
	mtime  time.Time
	dirs   []Entry // that were added, and not told yet
	// dirNames is how many bytes the names of dirs have.
	dirNames int
	depth    int // of directories within what is added
	fresh    int // entries that directories on the way down have in memory
	// maxFresh is how many these may be; tests change it.
	maxFresh int
}

const (
	// maxDepth is how many directories may be within each other: each takes a call within a
	// call, and what is open of it stays in memory.
	maxDepth = 512
	// maxPath is how many bytes a path below what is added may have, and maxName a name in
	// it. Both are above what file systems have.
	maxPath = 8 << 10
	maxName = 1 << 10
)

// CheckName refuses the name of an entry, or of what is at the top, that is too long. Errors:
// *InvalidError.
func CheckName(name string) error {
	if len(name) > maxName {
		return &InvalidError{fmt.Sprintf("a name has %d bytes, more than the %d that may be: %.40q...", len(name), maxName, name)}
	}
	return nil
}

// checkPath refuses a path, or the name at its end, that is too long.
func checkPath(name, base string) error {
	if err := CheckName(base); err != nil {
		return err
	}
	if len(name) > maxPath {
		return &InvalidError{fmt.Sprintf("a path has more than the %d bytes that may be: %.40q...", maxPath, name)}
	}
	return nil
}

// NewAdder makes an adder.
func NewAdder(s Sink, o Options, e Events) *Adder {
	return &Adder{nodes: nodes{s, o.builder}, o: o, events: e, mode: o.mode, mtime: o.mtime, maxFresh: maxFresh}
}

// Add adds a file or a directory, with all that is in it, and gives its root. Each call makes
// a tree of its own. Errors: *InvalidError; those of the sink and of reading.
func (a *Adder) Add(ctx context.Context, f files.Node) (root cid.Cid, err error) {
	a.mode, a.mtime, a.dirs, a.dirNames, a.depth, a.fresh = a.o.mode, a.o.mtime, nil, 0, 0, 0
	a.stat(f)
	var nd ipld.Node
	if d, ok := f.(files.Directory); ok {
		nd, err = a.addRoot(ctx, d)
	} else if nd, err = a.addFile(ctx, "", f); err == nil {
		err = a.told(Entry{Name: nd.Cid().String(), CID: nd.Cid()}, nd)
	}
	if err != nil {
		return cid.Undef, err
	}
	return nd.Cid(), a.tellDirs()
}

// stat takes the mode and time from what is added, if they are to be kept.
func (a *Adder) stat(f files.Node) {
	if a.o.preserveMtime {
		a.mtime = f.ModTime()
	}
	if a.o.preserveMode {
		a.mode = f.Mode()
	}
}

// told tells of a file.
func (a *Adder) told(e Entry, nd ipld.Node) error {
	if a.events.Added == nil {
		return nil
	}
	var err error
	if e.Size, err = nd.Size(); err != nil {
		return err
	}
	return a.events.Added(e)
}

// maxDirs is how many directories wait to be told of, and maxDirNames how many bytes their names may
// have. If there are more, they are told of as they come.
const (
	maxDirs     = 32 << 10
	maxDirNames = 4 << 20
)

func (a *Adder) noteDir(e Entry, nd ipld.Node) error {
	if a.events.Added == nil {
		return nil
	}
	var err error
	if e.Size, err = nd.Size(); err != nil {
		return err
	}
	a.dirs = append(a.dirs, e)
	if a.dirNames += len(e.Name); len(a.dirs) > maxDirs || a.dirNames > maxDirNames {
		return a.tellDirs()
	}
	return nil
}

func (a *Adder) tellDirs() error {
	for _, e := range a.dirs {
		if err := a.events.Added(e); err != nil {
			return err
		}
	}
	a.dirs, a.dirNames = nil, 0
	return nil
}

// addRoot adds a directory that is the root of a tree.
func (a *Adder) addRoot(ctx context.Context, d files.Directory) (ipld.Node, error) {
	root, err := a.newDir()
	if err != nil {
		return nil, err
	}
	if err := a.addEntries(ctx, "", root, d.Entries()); err != nil {
		return nil, err
	}
	nd, err := root.finish(ctx, a)
	if err != nil {
		return nil, err
	}
	return nd, a.noteDir(Entry{CID: nd.Cid(), Directory: true}, nd)
}

// addEntries adds what is in a directory.
func (a *Adder) addEntries(ctx context.Context, in string, d *dir, entries files.DirIterator) error {
	for entries.Next() {
		if err := a.addEntry(ctx, path.Join(in, entries.Name()), d, entries); err != nil {
			return err
		}
	}
	if err := entries.Err(); err != nil {
		return reading(err)
	}
	return nil
}

func (a *Adder) addEntry(ctx context.Context, name string, d *dir, entry files.DirEntry) error {
	f := entry.Node()
	if f == nil { // somebody stopped sending
		return reading(io.ErrUnexpectedEOF)
	}
	defer f.Close()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkPath(name, entry.Name()); err != nil {
		return err
	}
	a.stat(f)
	if sub, ok := f.(files.Directory); ok {
		return a.addDir(ctx, name, d, entry.Name(), sub)
	}
	if there, err := d.has(ctx, a, entry.Name()); err != nil {
		return err
	} else if there != nothing {
		return &InvalidError{fmt.Sprintf("%s: directory already has entry by that name", name)}
	}
	nd, err := a.addFile(ctx, name, f)
	if err != nil {
		return err
	}
	if err := d.add(ctx, a, entry.Name(), nd, aFile); err != nil {
		return err
	}
	return a.told(Entry{Name: name, CID: nd.Cid()}, nd)
}

// addDir adds a directory to another. One that is there already is added to: its entries may
// come in any order.
func (a *Adder) addDir(ctx context.Context, name string, in *dir, base string, f files.Directory) error {
	if a.depth++; a.depth > maxDepth {
		return &InvalidError{fmt.Sprintf("there are more than the %d directories within each other that may be", maxDepth)}
	}
	defer func() { a.depth-- }()
	entries := f.Entries()
	some := entries.Next()
	if !some {
		if err := entries.Err(); err != nil {
			return reading(err)
		}
		if a.o.skipEmptyDirs {
			return nil
		}
	}
	there, err := in.has(ctx, a, base)
	if err != nil {
		return err
	}
	var d *dir
	switch there {
	case nothing:
		d, err = a.newDir()
	case aDir:
		d, err = in.open(ctx, a, base)
	default:
		err = &InvalidError{fmt.Sprintf("%s: file already exists", name)}
	}
	if err != nil {
		return err
	}
	if some {
		if err := in.rest(ctx, a); err != nil {
			return err
		}
		if err := a.addEntry(ctx, path.Join(name, entries.Name()), d, entries); err != nil {
			return err
		}
		if err := a.addEntries(ctx, name, d, entries); err != nil {
			return err
		}
	}
	nd, err := d.finish(ctx, a)
	if err != nil {
		return err
	}
	d.left(a)
	if err := in.add(ctx, a, base, nd, aDir); err != nil {
		return err
	}
	if there == aDir {
		a.forgetDir(name)
	}
	return a.noteDir(Entry{Name: name, CID: nd.Cid(), Directory: true}, nd)
}

// forgetDir forgets a directory that was noted, as it was added to since.
func (a *Adder) forgetDir(name string) {
	for i, e := range a.dirs {
		if e.Name == name {
			a.dirs = append(a.dirs[:i], a.dirs[i+1:]...)
			a.dirNames -= len(name)
			return
		}
	}
}

// addFile adds a file or a symbolic link.
func (a *Adder) addFile(ctx context.Context, name string, f files.Node) (ipld.Node, error) {
	switch f := f.(type) {
	case *files.Symlink:
		return a.addSymlink(ctx, f)
	case files.File:
		return a.addContent(ctx, name, f)
	}
	return nil, &InvalidError{fmt.Sprintf("%s: neither a file, a directory nor a symbolic link", name)}
}

func (a *Adder) addSymlink(ctx context.Context, l *files.Symlink) (ipld.Node, error) {
	data, err := unixfs.SymlinkData(l.Target)
	if err != nil {
		return nil, err
	}
	if !a.mtime.IsZero() {
		fsn, err := unixfs.FSNodeFromBytes(data)
		if err != nil {
			return nil, err
		}
		fsn.SetModTime(a.mtime)
		if data, err = fsn.GetBytes(); err != nil {
			return nil, err
		}
	}
	nd := merkledag.NodeWithData(data)
	if err := nd.SetCidBuilder(a.o.builder); err != nil {
		return nil, err
	}
	return nd, a.nodes.Add(ctx, nd)
}

// addContent adds a file.
func (a *Adder) addContent(ctx context.Context, name string, f io.Reader) (ipld.Node, error) {
	r := &reader{ctx: ctx, r: f, name: name, tell: a.events.Read}
	chunks, err := chunk.FromString(r, a.o.chunker)
	if err != nil {
		return nil, err
	}
	params := helpers.DagBuilderParams{
		Dagserv: bound{a.nodes, ctx}, RawLeaves: a.o.rawLeaves, Maxlinks: a.o.fileLinks, CidBuilder: a.o.builder,
		FileMode: a.mode, FileModTime: a.mtime,
	}
	b, err := params.New(chunks)
	if err != nil {
		return nil, err
	}
	layout := balanced.Layout
	switch {
	case a.o.trickle:
		layout = trickle.Layout
	case !a.o.rawLeaves && !b.HasFileAttributes():
		pooled := strings.HasPrefix(a.o.chunker, "size-")
		layout = func(b *helpers.DagBuilderHelper) (ipld.Node, error) { return balancedPB(b, pooled) }
	}
	nd, err := layout(b)
	if r.err != nil { // the builder's is about it
		return nil, r.err
	}
	return nd, err
}

// bound is nodes for boxo's builder, which has a context of its own.
type bound struct {
	nodes
	ctx context.Context
}

// Add implements [ipld.NodeAdder].
func (b bound) Add(_ context.Context, nd ipld.Node) error { return b.nodes.Add(b.ctx, nd) }

// tellEvery is how many bytes are read between two events.
const tellEvery = 256 << 10

// reader reads a file, and tells how far it is.
type reader struct {
	ctx   context.Context
	r     io.Reader
	name  string
	tell  func(name string, bytes int64) error // may be nil
	bytes int64
	last  int64 // that was told
	err   error // the first that is not the end of the file
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	n, err := r.r.Read(p)
	r.bytes += int64(n)
	if err != nil && err != io.EOF {
		err = reading(err)
		r.err = err
		return n, err
	}
	if r.tell != nil && (r.bytes-r.last >= tellEvery || err == io.EOF) {
		r.last = r.bytes
		if told := r.tell(r.name, r.bytes); told != nil {
			r.err = told
			return n, told
		}
	}
	return n, err
}

// ReadError is an error of reading what is sent.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return fmt.Sprintf("read what is sent: %v", e.Err) }

func (e *ReadError) Unwrap() error { return e.Err }

func reading(err error) error { return &ReadError{err} }
