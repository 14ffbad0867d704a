package rpc

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	unixfspb "github.com/ipfs/boxo/ipld/unixfs/pb"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/labstack/echo/v4"

	"github.com/holdfast-ipfs/holdfast/internal/room"
)

const (
	// maxEntries is how many entries a list that is not streamed may have, in about 25 MiB, and
	// maxTexts is how many bytes their names may have together, and whatever else has no length of its
	// own: a few blocks may be listed again and again.
	maxEntries = 100_000
	maxTexts   = 25 << 20
)

// listed is how much is in a list that is not streamed.
type listed struct {
	share          *room.Share
	entries, texts int
}

// add counts an entry with its texts. It fails if there is too much.
func (l *listed) add(what string, texts ...string) error {
	memory := int64(entryMemory)
	for _, s := range texts {
		l.texts += len(s)
		memory += int64(len(s))
	}
	switch l.entries++; {
	case l.entries > maxEntries:
		return cannot("more than %d %s are not listed in one answer: ask for stream=true", maxEntries, what)
	case l.texts > maxTexts:
		return cannot("%s with more than %d bytes of names are not listed in one answer: ask for stream=true", what, maxTexts)
	}
	return l.share.Grow(memory)
}

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
	all, size := lsOutput{Objects: []lsObject{}}, listed{share: q.share}
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
			if err := size.add("entries", entry.Name, entry.Target); err != nil {
				return err
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
	return q.out.objects(all)
}

// objects answers with a list, entry by entry: the whole text may be several times as long as the names.
func (w *writer) objects(all lsOutput) error {
	w.c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	out := bufio.NewWriterSize(w, buffer)
	var failed error // bufio keeps its own
	write := func(text string, v any) {
		out.WriteString(text)
		if v == nil || failed != nil {
			return
		}
		var b []byte
		b, failed = json.Marshal(v)
		out.Write(b)
	}
	write(`{"Objects":[`, nil)
	for i, o := range all.Objects {
		if i > 0 {
			write(",", nil)
		}
		write(`{"Hash":`, o.Hash)
		write(`,"Links":[`, nil)
		for i, l := range o.Links {
			if i > 0 {
				write(",", nil)
			}
			write("", l)
		}
		write("]}", nil)
	}
	write("]}\n", nil)
	return errors.Join(failed, out.Flush())
}

// entries calls each with the links of a directory, or of what is no directory. Their order is that of
// the blocks, and always the same: clients look at a directory part by part.
func (q *call) entries(arg string, each func(*ipld.Link) error) error {
	nd, f, err := q.node(arg)
	if err != nil {
		return err
	}
	_, err = uio.NewDirectoryFromNode(q.dag, nd)
	if err != nil && !errors.Is(err, uio.ErrNotADir) {
		return content(err)
	}
	if err == nil && isShard(nd) {
		return q.shardEntries(f.cid, each)
	}
	for _, l := range nd.Links() {
		if err := each(l); err != nil {
			return err
		}
	}
	return nil
}

func isShard(nd ipld.Node) bool {
	pb, ok := nd.(*merkledag.ProtoNode)
	if !ok {
		return false
	}
	file, err := unixfs.FSNodeFromBytes(pb.Data())
	return err == nil && file.Type() == unixfs.THAMTShard
}

// shardEntries calls each with the entries of a directory that is in shards, shard by shard.
func (q *call) shardEntries(root cid.Cid, each func(*ipld.Link) error) error {
	remembered := high{share: q.share}
	shards := map[cid.Cid]struct{}{root: {}} // a shard comes once, unless somebody wants us to go around
	return walk{links: q.shardLinks, enter: func(_ cid.Cid, e edge, _ int) (bool, error) {
		if e.name != "" {
			return false, each(&ipld.Link{Name: e.name, Size: e.size, Cid: e.cid})
		}
		if _, again := shards[e.cid]; again {
			return false, nil
		}
		shards[e.cid] = struct{}{}
		if len(shards) > maxSeen {
			return false, cannot("a directory of more than %d shards is not listed", maxSeen)
		}
		return true, remembered.to(len(shards) * seenMemory)
	}}.run(q, root)
}

// shardLinks is walk.links for the shards of a directory. The names are those of entries; a shard
// below has none.
func (q *call) shardLinks(b blocks.Block) ([]edge, error) {
	nd, err := q.dag.Get(q.ctx, b.Cid())
	if err != nil {
		return nil, content(err)
	}
	if _, err := hamt.NewHamtFromDag(q.dag, nd); err != nil {
		return nil, content(err)
	}
	file, err := unixfs.FSNodeFromBytes(nd.(*merkledag.ProtoNode).Data())
	if err != nil {
		return nil, content(err)
	}
	prefix := len(strconv.FormatUint(file.Fanout()-1, 16)) // the place in the shard, before the name
	edges := make([]edge, len(nd.Links()))
	for i, l := range nd.Links() {
		if len(l.Name) < prefix {
			return nil, cannot("invalid link name %q in a shard of the directory", shorten(l.Name))
		}
		edges[i] = edge{name: l.Name[prefix:], size: l.Size, cid: l.Cid}
	}
	return edges, nil
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
