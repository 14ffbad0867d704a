package rpc

import (
	"errors"
	"slices"
	"strings"

	fetcher "github.com/ipfs/boxo/fetcher/impl/blockservice"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/boxo/path/resolver"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/ipfs/go-unixfsnode"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// maxAbove is how many links are followed up from a block to find out whose it is: a
	// few hundredths of a second. A block of one account's has a link for each place that
	// it is at, and so few that many accounts' dedupe has no more.
	maxAbove = 10_000
	// dagsAtOnce is how many DAGs the records are asked for in one query.
	dagsAtOnce = 100
)

// found is what an argument names.
type found struct {
	cid  cid.Cid
	rest []string // of the path, within the block; a node of dag-cbor may have more of it
	path path.ImmutablePath
	pin  *pin.Request // of the account, if cid is its root
}

// find resolves an argument: a path, an IPFS URI, or a CID. It lets through what the
// account may read.
func (q *call) find(arg string) (found, error) {
	p, err := parsePath(arg)
	if err != nil {
		return found{}, err
	}
	root := p.RootCid()
	if q.DeniedPath != nil {
		under := strings.Replace(p.String(), "/"+path.IPLDNamespace+"/", "/"+path.IPFSNamespace+"/", 1)
		if err := q.DeniedPath(under); err != nil {
			return found{}, err
		}
	}
	owned, err := q.ways.mayRead(q, root)
	if err != nil {
		return found{}, err
	}
	if len(p.Segments()) == 2 { // there is nothing to resolve
		return found{cid: root, path: p, pin: owned}, nil
	}
	fetch := fetcher.NewFetcherConfig(q.decoded)
	fetch.PrototypeChooser = dagpb.AddSupportToChooser(fetcher.DefaultPrototypeChooser)
	factory := resolver.NewBasicResolver(fetch)
	if p.Namespace() == path.IPFSNamespace {
		factory = resolver.NewBasicResolver(fetch.WithReifier(unixfsnode.Reify))
	}
	c, rest, err := factory.ResolveToLastNode(q.ctx, p)
	if err != nil {
		return found{}, content(err)
	}
	return found{cid: c, rest: rest, path: p}, nil
}

// findBlock is find for what must be a block.
func (q *call) findBlock(arg string) (found, error) {
	f, err := q.find(arg)
	if err == nil && len(f.rest) > 0 {
		return found{}, cannot("%s is a part of the block %s, and no block itself", f.path, f.cid)
	}
	return f, err
}

// node is findBlock, and the node that is there.
func (q *call) node(arg string) (ipld.Node, found, error) {
	f, err := q.findBlock(arg)
	if err != nil {
		return nil, f, err
	}
	nd, err := q.dag.Get(q.ctx, f.cid)
	return nd, f, content(err)
}

// maxCID bounds the text of a CID, as decoding takes time quadratic in it. The longest there
// is has under 1,300 bytes.
const maxCID = 1500

// parsePath reads an argument.
func parsePath(arg string) (path.ImmutablePath, error) {
	for i, part := range strings.SplitN(arg, "/", 4) { // a CID is among the first three
		if i < 3 && len(part) > maxCID {
			return path.ImmutablePath{}, refuse("invalid path %q: it is too long to begin with a CID", shorten(arg))
		}
	}
	p, err := path.NewPathFromURI(arg)
	if err != nil {
		var bare error
		if p, bare = path.NewPath("/" + path.IPFSNamespace + "/" + arg); bare != nil {
			return path.ImmutablePath{}, refuse("%v", err)
		}
	}
	if p.Namespace() == path.IPNSNamespace {
		return path.ImmutablePath{}, refuse("invalid path %q: names are not resolved here; begin with a CID", shorten(arg))
	}
	im, err := path.NewImmutablePath(p)
	if err != nil {
		return path.ImmutablePath{}, refuse("%v", err)
	}
	return im, nil
}

// mayRead returns nil if the account may read c and what is below it. owned is a request
// of which it is the root, if there is one.
func (q *call) mayRead(c cid.Cid) (owned *pin.Request, err error) {
	if owned, err = q.pinOf(pin.DAGOf(c)); err != nil || owned != nil {
		return owned, err
	}
	if !pin.CanRead(c.Type()) { // then no pin has it
		return nil, ipld.ErrNotFound{Cid: c}
	}
	if c.Prefix().MhType == multihash.IDENTITY {
		return nil, q.mayReadInline(c)
	}
	above, err := q.pinAbove(c)
	if err == nil && above == nil {
		err = ipld.ErrNotFound{Cid: c}
	}
	return nil, err
}

// pinAbove finds a request of the account that is pinned and contains what c names; nil if
// there is none.
func (q *call) pinAbove(c cid.Cid) (*pin.Request, error) {
	dags, all, err := q.Above(q.ctx, c, maxAbove)
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(dags, dagsAtOnce) {
		if r, err := q.pinOf(some...); err != nil || r != nil {
			return r, err
		}
	}
	if !all {
		return nil, cannot("too many things have the block %s to find out whether one of them is yours: "+
			"name it by a path that begins with the root of a pin", c)
	}
	return nil, nil
}

// mayReadInline is mayRead for a CID that contains its block. Everybody has that who has the
// CID, but a link in it leads to others.
func (q *call) mayReadInline(c cid.Cid) error {
	d, err := multihash.Decode(c.Hash())
	if err != nil {
		return refuse("%v", err)
	}
	links, err := q.Links(c, d.Digest)
	if err == nil && len(links) > 0 {
		err = ipld.ErrNotFound{Cid: c}
	}
	return err
}

// pinOf finds a request of the account that is pinned and has one of the DAGs; nil if there
// is none.
func (q *call) pinOf(dags ...pin.DAG) (*pin.Request, error) {
	page, err := q.Pins.List(q.ctx, q.account, pin.Query{Statuses: []pin.Status{pin.Pinned}, DAGs: dags, Limit: 1})
	if err != nil || len(page.Views) == 0 {
		return nil, err
	}
	return &page.Views[0].Request, nil
}

// errIsDir is Kubo's text.
var errIsDir = errors.New("this dag node is a directory")
