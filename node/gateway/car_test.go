package gateway

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	chunk "github.com/ipfs/boxo/chunker"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/boxo/ipld/unixfs/importer/trickle"
	"github.com/ipfs/boxo/path"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/seen"
)

// large is a directory with files of every shape, and nodes of other codecs.
type large struct {
	*shop
	root  cid.Cid
	sizes map[string]int // of its files
	cbor  cid.Cid
}

func newLarge(t *testing.T) *large {
	t.Helper()
	l := &large{shop: newShop(t), sizes: map[string]int{}}
	dag := merkledag.NewDAGService(service(l.shop))
	add := func(nd ipld.Node) ipld.Node {
		t.Helper()
		if err := dag.Add(t.Context(), nd); err != nil {
			t.Fatal(err)
		}
		return nd
	}
	random := rand.NewChaCha8([32]byte{1})
	some := func(size int) []byte {
		b := make([]byte, size)
		random.Read(b)
		return b
	}
	file := func(content []byte, raw, byTrickle bool) ipld.Node {
		t.Helper()
		params := helpers.DagBuilderParams{
			Maxlinks: 4, RawLeaves: raw, Dagserv: dag, CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256},
		}
		b, err := params.New(chunk.NewSizeSplitter(bytes.NewReader(content), 100))
		if err != nil {
			t.Fatal(err)
		}
		layout := balanced.Layout
		if byTrickle {
			layout = trickle.Layout
		}
		nd, err := layout(b)
		if err != nil {
			t.Fatal(err)
		}
		return nd
	}
	root := unixfs.EmptyDirNode()
	link := func(name string, nd ipld.Node) {
		t.Helper()
		if err := root.AddNodeLink(name, nd); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int{"empty": 0, "one": 100, "more": 101, "deep": 5050} {
		for kind, raw := range map[string]bool{"raw": true, "pb": false} {
			l.sizes[name+"-"+kind] = size
			link(name+"-"+kind, file(some(size), raw, false))
		}
	}
	l.sizes["trickle"], l.sizes["same"] = 3000, 4000
	link("trickle", file(some(3000), true, true))
	link("same", file(make([]byte, 4000), false, false)) // all its leaves are one block
	// Nodes above different leaves come again, below the root and one level further down.
	for name, c := range map[string]struct{ size, times int }{"twice": {400, 2}, "again": {1600, 2}} {
		l.sizes[name] = c.size * c.times
		link(name, file(bytes.Repeat(some(c.size), c.times), name != "again", false))
	}
	shard, err := hamt.NewShard(dag, 256)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		if err := shard.Set(t.Context(), fmt.Sprint("f", i), add(merkledag.NewRawNode(fmt.Append(nil, i%50)))); err != nil {
			t.Fatal(err)
		}
	}
	hamtNode, err := shard.Node()
	if err != nil {
		t.Fatal(err)
	}
	link("sharded", add(hamtNode))
	symlink, err := unixfs.SymlinkData("deep-raw")
	if err != nil {
		t.Fatal(err)
	}
	link("symlink", add(merkledag.NodeWithData(symlink)))
	sub := unixfs.EmptyDirNode()
	for _, name := range []string{"deep-raw", "same"} {
		nd, err := root.GetLinkedNode(t.Context(), dag, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.AddNodeLink(name, nd); err != nil {
			t.Fatal(err)
		}
	}
	link("sub", add(sub))
	l.root = add(root).Cid()
	leaf := dagtest.Raw("leaf")
	inner := dagtest.JSON("inner", leaf.Cid(), l.root)
	top := dagtest.CBOR("top", inner.Cid(), leaf.Cid(), dagtest.Identity(cid.Raw, []byte("inline")), dagtest.Under(cid.Raw, inner))
	if err := l.PutMany(t.Context(), []blocks.Block{leaf, inner, top}); err != nil {
		t.Fatal(err)
	}
	l.cbor = top.Cid()
	return l
}

// Every CAR has the blocks of boxo's own, in the same order.
func TestCARsAreBoxos(t *testing.T) {
	l := newLarge(t)
	ours := newServer(t, Config{Blocks: l.shop})
	backend, err := boxo.NewBlocksBackend(service(l.shop))
	if err != nil {
		t.Fatal(err)
	}
	theirs := httptest.NewServer(boxo.NewHandler(boxo.Config{NoDNSLink: true, MetricsRegistry: prometheus.NewRegistry()}, backend))
	t.Cleanup(theirs.Close)
	n := 0
	compare := func(path string) {
		t.Helper()
		n++
		want, wantBody, wantErr := get(t, theirs.URL+path)
		got, gotBody, gotErr := get(t, ours.URL+path)
		if got.StatusCode != want.StatusCode || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("%s: %s %v, want %s %v", path, got.Status, gotErr, want.Status, wantErr)
			return
		}
		for _, name := range []string{"Content-Type", "Etag", "X-Ipfs-Roots", "Content-Disposition", "Cache-Control"} {
			if got.Header.Get(name) != want.Header.Get(name) && want.StatusCode == http.StatusOK {
				t.Errorf("%s: %s is %q, want %q", path, name, got.Header.Get(name), want.Header.Get(name))
			}
		}
		if want.StatusCode != http.StatusOK {
			return
		}
		if !bytes.Equal(gotBody, wantBody) {
			has, err := carBlocks(gotBody)
			should, theirErr := carBlocks(wantBody)
			t.Errorf("%s: the CAR has %d blocks (%v), want %d (%v); the same: %v", path, len(has), err, len(should), theirErr, slices.Equal(has, should))
		}
	}
	paths := []string{"", "/sub", "/sub/deep-raw", "/sub/same", "/sharded", "/sharded/f17", "/symlink", "/none"}
	for name := range l.sizes {
		paths = append(paths, "/"+name)
	}
	dups := []string{"", "&car-dups=y", "&car-dups=n", "&car-order=dfs", "&car-order=unk&car-dups=y"}
	for _, p := range paths {
		for _, scope := range []string{"all", "entity", "block"} {
			for _, d := range dups {
				compare("/ipfs/" + l.root.String() + p + "?format=car&dag-scope=" + scope + d)
			}
		}
	}
	for _, p := range []string{"", "/links/0", "/links/1", "/name"} {
		for _, scope := range []string{"all", "entity", "block"} {
			for _, d := range dups {
				compare("/ipfs/" + l.cbor.String() + p + "?format=car&dag-scope=" + scope + d)
			}
		}
	}
	edges := []string{"0", "1", "99", "100", "101", "400", "550", "2500", "5049", "5050", "9999", "-1", "-100", "-101", "-9999"}
	for name := range l.sizes {
		for _, from := range edges {
			for _, to := range append(edges, "*") {
				compare("/ipfs/" + l.root.String() + "/" + name + "?format=car&dag-scope=entity&entity-bytes=" + from + ":" + to)
			}
		}
		compare("/ipfs/" + l.root.String() + "/" + name + "?format=car&dag-scope=entity&entity-bytes=150:2200&car-dups=y")
	}
	t.Logf("%d CARs", n)
}

// A slow client has its time for each 64 KiB, not for a block of any size.
func TestCARsComeInPieces(t *testing.T) {
	block := dagtest.Block(cid.Raw, bytes.Repeat([]byte("x"), 1<<20+7))
	cfg := Config{Blocks: newShop(t, block), Seen: func() dagcar.Seen { return seen.New(t.TempDir(), func() int { return 10 }) }}
	s := &carStream{ctx: t.Context(), cfg: cfg, root: dagcar.Link{CID: block.Cid()}, links: func(dagcar.Link, []byte) ([]dagcar.Link, error) { return nil, nil }}
	var out pieces
	n, err := s.WriteTo(&out)
	if err != nil || n != int64(out.n) || n < 1<<20 || out.largest > writePiece {
		t.Errorf("%d bytes are written, %d came, the largest piece has %d: %v", n, out.n, out.largest, err)
	}
}

type pieces struct{ n, largest int }

func (p *pieces) Write(b []byte) (int, error) {
	p.n += len(b)
	p.largest = max(p.largest, len(b))
	return len(b), nil
}

// Large blocks on the way are not kept in memory together.
func TestLongWaysAreStreamed(t *testing.T) {
	const n = 3 // each has a third of what is kept, and one link
	chain := []blocks.Block{dagtest.Raw("end")}
	for i := range n {
		nd := merkledag.NodeWithData(bytes.Repeat([]byte{byte(i)}, maxWay/n))
		if err := nd.AddRawLink("a", &ipld.Link{Cid: chain[i].Cid()}); err != nil {
			t.Fatal(err)
		}
		chain = append(chain, nd)
	}
	shop := newShop(t, chain...)
	inner := must(boxo.NewBlocksBackend(service(shop)))
	b := &backend{inner, Config{Blocks: shop}, nil}
	for length, want := range map[int]bool{n - 1: true, n: false} {
		p := must(path.Join(path.FromCid(chain[length].Cid()), slices.Repeat([]string{"a"}, length)...))
		_, stream, err := b.GetCAR(t.Context(), must(path.NewImmutablePath(p)), boxo.CarParams{Scope: boxo.DagScopeAll})
		if err != nil {
			t.Fatal(err)
		}
		if _, ours := stream.(*carStream); ours != want {
			t.Errorf("%d blocks on the way: ours %v, want %v", length, ours, want)
		}
		stream.Close()
	}
	server := newServer(t, Config{Blocks: shop})
	_, body, err := get(t, server.URL+"/ipfs/"+dagtest.Last(chain).String()+strings.Repeat("/a", n)+"?format=car")
	if all, bad := carBlocks(body); err != nil || bad != nil || len(all) != n+1 {
		t.Errorf("%d blocks came: %v, %v", len(all), err, bad)
	}
}

// Sizes that lead backwards would put a block at many places at the ends of a part.
func TestSizesOfAFileAreChecked(t *testing.T) {
	nd, leaf := unixfs.NewFSNode(unixfs.TFile), dagtest.Raw("x")
	file := new(merkledag.ProtoNode)
	for _, size := range []uint64{10, 1<<64 - 10} {
		nd.AddBlockSize(size)
		if err := file.AddRawLink("", &ipld.Link{Cid: leaf.Cid()}); err != nil {
			t.Fatal(err)
		}
	}
	file.SetData(must(nd.GetBytes()))
	if links, err := (part{5, 8}).links(dagcar.Link{CID: file.Cid()}, file.RawData()); err == nil {
		t.Errorf("the links are %v", links)
	}
}
