package rpc

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	unixfspb "github.com/ipfs/boxo/ipld/unixfs/pb"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// maxEntries is how many entries an ls that does not stream may have, in about 25 MiB.
const maxEntries = 100_000

type (
	lsLink struct {
		Name, Hash string
		Size       uint64
		Type       unixfspb.Data_DataType
		Target     string
		Mode       os.FileMode
		ModTime    time.Time
	}
	lsObject struct {
		Hash  string
		Links []lsLink
	}
	lsOutput struct{ Objects []lsObject }
)

// ls lists directories, or the links of what is no directory.
func ls(q *call) error {
	children := q.values.is("resolve-type", true) || q.values.is("size", true)
	stream := q.values.is("stream", false)
	all, count := lsOutput{Objects: []lsObject{}}, 0
	for _, arg := range q.args {
		links := []lsLink{}
		err := q.entries(arg, func(l *ipld.Link) error {
			entry, err := q.entry(l, children)
			if err != nil {
				return err
			}
			if stream {
				return q.out.emit(lsOutput{[]lsObject{{arg, []lsLink{entry}}}})
			}
			if count++; count > maxEntries {
				return cannot("more than %d entries are not listed in one answer: ask for stream=true", maxEntries)
			}
			links = append(links, entry)
			return nil
		})
		if err != nil {
			return err
		}
		slices.SortFunc(links, func(a, b lsLink) int { return strings.Compare(a.Name, b.Name) })
		all.Objects = append(all.Objects, lsObject{arg, links})
	}
	if stream {
		q.out.end()
		return nil
	}
	return q.out.one(all)
}

// entries calls each with the links of a directory, or of what is no directory.
func (q *call) entries(arg string, each func(*ipld.Link) error) error {
	nd, _, err := q.node(arg)
	if err != nil {
		return err
	}
	dir, err := uio.NewDirectoryFromNode(q.dag, nd)
	if errors.Is(err, uio.ErrNotADir) {
		for _, l := range nd.Links() {
			if err := each(l); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return content(err)
	}
	ctx, cancel := context.WithCancel(q.ctx) // ends what boxo reads ahead
	defer cancel()
	for l := range dir.EnumLinksAsync(ctx) {
		if l.Err != nil {
			return content(l.Err)
		}
		if err := each(l.Link); err != nil {
			return err
		}
	}
	return q.ctx.Err()
}

// entry describes what a link leads to.
func (q *call) entry(l *ipld.Link, children bool) (lsLink, error) {
	e := lsLink{Name: l.Name, Hash: q.cids.Encode(l.Cid)}
	switch l.Cid.Type() {
	case cid.Raw:
		e.Type, e.Size = unixfs.TFile, l.Size
	case cid.DagProtobuf:
		if !children {
			break
		}
		nd, err := q.dag.Get(q.ctx, l.Cid)
		if err != nil {
			return e, content(err)
		}
		pb, ok := nd.(*merkledag.ProtoNode)
		if !ok {
			break
		}
		file, err := unixfs.FSNodeFromBytes(pb.Data())
		if err != nil {
			return e, content(err)
		}
		switch file.Type() {
		case unixfs.TFile, unixfs.TRaw:
			e.Type = unixfs.TFile
		case unixfs.THAMTShard, unixfs.TDirectory, unixfs.TMetadata:
			e.Type = unixfs.TDirectory
		case unixfs.TSymlink:
			e.Type, e.Target = unixfs.TSymlink, string(file.Data())
		}
		e.Size, e.Mode, e.ModTime = file.FileSize(), file.Mode(), file.ModTime()
	}
	return e, nil
}
