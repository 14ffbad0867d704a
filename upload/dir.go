package upload

import (
	"context"
	"fmt"
	"os"

	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// kind is what a directory has under a name.
type kind int

const (
	nothing kind = iota
	aFile
	aDir
)

const (
	// spillAfter is how many entries a directory gets before it is put, and read again as far
	// as it is needed: until then each takes some 300 bytes.
	spillAfter = 16 << 10
	// longName is how many bytes of a name count as another entry.
	longName = 256
	// maxFresh is how many entries all directories on the way down may have like that, in about 25 MiB:
	// one that has too many is put before what is within it is added.
	maxFresh = 48 << 10
)

// dir is a directory that is being made.
type dir struct {
	d     uio.Directory   // nil if it was put, and is read again when it is needed
	at    cid.Cid         // what was put, if d is nil
	names map[string]kind // of all entries; nil once it was put, and entries are looked up
	fresh int             // entries since it was put
}

// newDir makes an empty directory, with the mode and time of what is added now.
func (a *Adder) newDir() (*dir, error) {
	d, err := uio.NewDirectory(a.nodes,
		uio.WithMaxLinks(a.o.maxDirectoryLinks), uio.WithMaxHAMTFanout(a.o.fanout),
		uio.WithStat(a.mode, a.mtime), uio.WithCidBuilder(a.o.builder), uio.WithSizeEstimationMode(a.o.estimation))
	if err != nil {
		return nil, err
	}
	return &dir{d: d, names: make(map[string]kind)}, nil
}

// rest puts the directory if those on the way down have many entries, until it is needed again.
func (d *dir) rest(ctx context.Context, a *Adder) error {
	if a.fresh <= a.maxFresh {
		return nil
	}
	nd, err := d.finish(ctx, a)
	if err != nil {
		return err
	}
	d.left(a)
	d.d, d.at, d.names = nil, nd.Cid(), nil
	return nil
}

// wake reads a directory that rests.
func (d *dir) wake(ctx context.Context, a *Adder) error {
	if d.d != nil {
		return nil
	}
	nd, err := a.nodes.Get(ctx, d.at)
	if err != nil {
		return err
	}
	return d.load(a, nd)
}

// left says that the entries of a directory are not in memory any more.
func (d *dir) left(a *Adder) {
	a.fresh -= d.fresh
	d.fresh = 0
}

// open opens a directory within another, to add to it.
func (d *dir) open(ctx context.Context, a *Adder, name string) (*dir, error) {
	if err := d.wake(ctx, a); err != nil {
		return nil, err
	}
	nd, err := d.d.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	sub := &dir{}
	return sub, sub.load(a, nd)
}

// load reads a directory. What its node does not say is the adder's.
func (d *dir) load(a *Adder, nd ipld.Node) error {
	loaded, err := uio.NewDirectoryFromNode(a.nodes, nd)
	if err != nil {
		return err
	}
	loaded.SetMaxLinks(a.o.maxDirectoryLinks)
	loaded.SetMaxHAMTFanout(a.o.fanout)
	loaded.SetSizeEstimationMode(a.o.estimation)
	d.d = loaded
	d.left(a)
	return nil
}

// has says what is there under a name.
func (d *dir) has(ctx context.Context, a *Adder, name string) (kind, error) {
	if d.names != nil {
		return d.names[name], nil
	}
	if err := d.wake(ctx, a); err != nil {
		return nothing, err
	}
	nd, err := d.d.Find(ctx, name)
	if os.IsNotExist(err) {
		return nothing, nil
	} else if err != nil {
		return nothing, err
	}
	if _, err := uio.NewDirectoryFromNode(nil, nd); err == nil {
		return aDir, nil
	}
	return aFile, nil
}

// add adds an entry, or replaces a directory by itself as it is now.
func (d *dir) add(ctx context.Context, a *Adder, name string, nd ipld.Node, as kind) error {
	if err := d.wake(ctx, a); err != nil {
		return err
	}
	if err := d.d.AddChild(ctx, name, nd); err != nil {
		return fmt.Errorf("add %q to a directory: %w", name, err)
	}
	if d.names != nil {
		d.names[name] = as
	}
	n := 1 + len(name)/longName
	a.fresh += n
	if d.fresh += n; d.fresh < spillAfter {
		return nil
	}
	d.names = nil
	nd, err := d.finish(ctx, a)
	if err != nil {
		return err
	}
	return d.load(a, nd)
}

// finish puts the directory, as it is now.
func (d *dir) finish(ctx context.Context, a *Adder) (ipld.Node, error) {
	if err := d.wake(ctx, a); err != nil {
		return nil, err
	}
	nd, err := d.d.GetNode()
	if err == nil {
		err = a.nodes.Add(ctx, nd)
	}
	return nd, err
}
