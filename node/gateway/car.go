package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	fetcher "github.com/ipfs/boxo/fetcher/impl/blockservice"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/boxo/path/resolver"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/ipfs/go-unixfsnode"
	dagpb "github.com/ipld/go-codec-dagpb"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"

	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
)

// backend is boxo's, with CARs of ours where they may be large: of whole DAGs, and of files and
// parts of files. Boxo walks a DAG one block after the other, each decoded, hashed and written
// by itself.
type backend struct {
	*boxo.BlocksBackend
	cfg Config
	dag ipld.DAGService
}

// GetCAR implements [boxo.IPFSBackend].
func (b *backend) GetCAR(ctx context.Context, p path.ImmutablePath, params boxo.CarParams) (boxo.ContentPathMetadata, io.ReadCloser, error) {
	if err := b.allow(p); err != nil {
		return boxo.ContentPathMetadata{}, nil, err
	}
	if params.Scope == boxo.DagScopeBlock {
		return b.BlocksBackend.GetCAR(ctx, p, params)
	}
	md, err := b.ResolvePath(ctx, p)
	if err != nil { // boxo has an answer to that, too
		return b.BlocksBackend.GetCAR(ctx, p, params)
	}
	s := &carStream{ctx: ctx, cfg: b.cfg, root: dagcar.Link{CID: md.LastSegment.RootCid()}, dups: params.Duplicates.Bool(), links: b.cfg.allLinks}
	if params.Scope == boxo.DagScopeEntity {
		if s.root.CID.Type() != cid.DagProtobuf || len(md.LastSegmentRemainder) > 0 {
			return b.BlocksBackend.GetCAR(ctx, p, params)
		}
		block, err := b.cfg.Blocks.Get(ctx, s.root.CID)
		if err != nil {
			return b.BlocksBackend.GetCAR(ctx, p, params)
		}
		part, ok := filePart(block.RawData(), params.Range)
		if !ok {
			return b.BlocksBackend.GetCAR(ctx, p, params)
		}
		s.links = part.links
	}
	switch s.before, err = b.way(ctx, p); {
	case errors.Is(err, errLongWay): // boxo writes block by block
		return b.BlocksBackend.GetCAR(ctx, p, params)
	case err != nil:
		return boxo.ContentPathMetadata{}, nil, err
	}
	return md, s, nil
}

// maxWay is how many bytes the blocks on the way to what a client asks for may have: they are in
// memory together, and once more in the first piece of the CAR. Directories have some KiB each.
const maxWay = 16 << 20

var errLongWay = errors.New("the blocks on the way take too much memory")

// way gives the blocks that a client needs to check a path, in order. If they have more than
// maxWay bytes, the error is errLongWay.
func (b *backend) way(ctx context.Context, p path.ImmutablePath) ([]dagcar.Block, error) {
	if len(p.Segments()) == 2 { // a root
		return nil, nil
	}
	read := &recorder{Blockstore: gone{b.cfg.Blocks}}
	fetch := fetcher.NewFetcherConfig(blockservice.New(read, offline.Exchange(read)))
	fetch.PrototypeChooser = dagpb.AddSupportToChooser(fetcher.DefaultPrototypeChooser)
	if _, _, err := resolver.NewBasicResolver(fetch.WithReifier(unixfsnode.Reify)).ResolveToLastNode(ctx, p); read.size > maxWay {
		return nil, errLongWay
	} else if err != nil {
		return nil, err
	}
	way := make([]dagcar.Block, len(read.blocks))
	for i, block := range read.blocks {
		way[i] = dagcar.Block{CID: block.Cid(), Data: block.RawData()}
	}
	return way, nil
}

// recorder is a block store that keeps what was read, up to maxWay, for one goroutine.
type recorder struct {
	blockstore.Blockstore
	blocks []blocks.Block
	size   int // of the blocks
}

func (r *recorder) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := r.Blockstore.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	if r.size += len(b.RawData()); r.size > maxWay {
		return nil, errLongWay
	}
	r.blocks = append(r.blocks, b)
	return b, nil
}

// allLinks are those of a whole DAG.
func (c Config) allLinks(from dagcar.Link, data []byte) ([]dagcar.Link, error) {
	cids, err := c.Links(from.CID, data)
	links := make([]dagcar.Link, len(cids))
	for i, c := range cids {
		links[i].CID = c
	}
	return links, err
}

// carStream is a CAR that a client is to get. Boxo copies it to the client.
type carStream struct {
	ctx    context.Context
	cfg    Config
	root   dagcar.Link
	before []dagcar.Block
	links  func(dagcar.Link, []byte) ([]dagcar.Link, error)
	dups   bool
}

// WriteTo writes all of it. An error is noted for the request.
func (s *carStream) WriteTo(w io.Writer) (n int64, err error) {
	out := &counted{w: w}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil && out.err == nil {
			noteMissed(s.ctx)
			noteError(s.ctx, err)
		}
		n = out.n
	}()
	cfg := dagcar.Config{Source: s.cfg.Below, Links: s.links, ByHash: true, Before: s.before, Share: shareOf(s.ctx)}
	if cfg.Source == nil {
		cfg.Source = dagcar.From(s.cfg.Blocks)
	}
	if !s.dups {
		seen := s.cfg.Seen()
		defer func() { err = errors.Join(err, seen.Close()) }()
		cfg.Seen = seen
	}
	return out.n, dagcar.Write(s.ctx, out, s.root, cfg)
}

// Read is not for a stream that can be written.
func (s *carStream) Read([]byte) (int, error) { return 0, errors.New("a CAR is written, not read") }

// Close does nothing: WriteTo ends what it began.
func (s *carStream) Close() error { return nil }

// counted counts what is written, piece by piece, and keeps the error of the client's connection.
type counted struct {
	w   io.Writer
	n   int64
	err error
}

// writePiece is how much a client must take within stallTimeout: 2 KiB a second. Boxo gives
// each write that time, however long it is.
const writePiece = 64 << 10

func (c *counted) Write(p []byte) (n int, err error) {
	for n < len(p) && c.err == nil {
		var m int
		m, c.err = c.w.Write(p[n:min(len(p), n+writePiece)])
		n += m
	}
	c.n += int64(n)
	return n, c.err
}

// part is the bytes of a file from one place up to another.
type part struct{ from, to int64 }

// filePart gives the part of a file that a client asks for. ok is false if the block is not the
// root of a file, or if there is no such part: then boxo decides.
func filePart(block []byte, r *boxo.DagByteRange) (p part, ok bool) {
	_, nd, err := fileNode(block)
	if err != nil || nd.Type() != unixfs.TFile {
		return part{}, false
	}
	size := int64(nd.FileSize())
	p.to = size
	if r != nil {
		if p.from = r.From; p.from < 0 {
			p.from = max(size+p.from, 0)
		}
		if r.To != nil {
			if p.to = *r.To; p.to < 0 {
				p.to += size
			}
			p.to++ // it is the last byte
		}
	}
	return p, size >= 0 && p.from < min(p.to, size)
}

// fileNode decodes a node of a file.
func fileNode(block []byte) (dagpb.PBLinks, *unixfs.FSNode, error) {
	nb := dagpb.Type.PBNode.NewBuilder()
	if err := dagpb.DecodeBytes(nb, block); err != nil {
		return nil, nil, err
	}
	pb := nb.Build().(dagpb.PBNode)
	if !pb.FieldData().Exists() {
		return nil, nil, errors.New("the node is not one of a file")
	}
	nd, err := unixfs.FSNodeFromBytes(pb.FieldData().Must().Bytes())
	return pb.FieldLinks(), nd, err
}

// links lists the links to blocks that have some of the part. A block that has other bytes too may
// come again at another place of the file, with more of its links.
func (p part) links(from dagcar.Link, data []byte) (some []dagcar.Link, err error) {
	if from.CID.Type() != cid.DagProtobuf {
		return nil, nil // a leaf
	}
	all, nd, err := fileNode(data)
	if err != nil {
		return nil, err
	}
	if int64(nd.NumChildren()) != all.Length() {
		return nil, fmt.Errorf("the node %s of a file has %d links, and the sizes of %d", from.CID, all.Length(), nd.NumChildren())
	}
	at := from.At
	for it := all.Iterator(); !it.Done(); {
		i, l := it.Next()
		end := at + int64(nd.BlockSize(int(i)))
		if end < at {
			return nil, fmt.Errorf("the node %s of a file has sizes that are too large", from.CID)
		}
		if at < p.to && end > p.from {
			some = append(some, dagcar.Link{CID: l.FieldHash().Link().(cidlink.Link).Cid, At: at, Again: at < p.from || end > p.to})
		}
		at = end
	}
	return some, nil
}
