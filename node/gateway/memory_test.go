package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// node makes a node of dag-pb that takes so many bytes, and has links.
func node(t *testing.T, data []byte, to ...ipld.Link) *merkledag.ProtoNode {
	t.Helper()
	nd := merkledag.NodeWithData(data)
	if err := nd.SetCidBuilder(merkledag.V1CidPrefix()); err != nil {
		t.Fatal(err)
	}
	for _, l := range to {
		if err := nd.AddRawLink(l.Name, &l); err != nil {
			t.Fatal(err)
		}
	}
	return nd
}

// ofFile is the data of a node of a file, with so many bytes beside its sizes.
func ofFile(t *testing.T, number, size, links int) []byte {
	t.Helper()
	f := unixfs.NewFSNode(unixfs.TFile)
	if size > 0 { // else all of the file is in its leaves
		f.SetData(append(make([]byte, size), fmt.Sprint(number)...))
	}
	for range links {
		f.AddBlockSize(1)
	}
	return must(f.GetBytes())
}

// What boxo's readers hold for a request has a limit, and so has what they hold for all requests together: a
// file that is deep, the way of a long path, and a node that takes far more memory than its block. The
// client is told, and the log.
func TestMemoryOfARequest(t *testing.T) {
	leaf := dagtest.Raw("x")
	all := []blocks.Block{leaf}
	add := func(b blocks.Block) cid.Cid {
		all = append(all, b)
		return b.Cid()
	}
	const part = 2 << 20
	deep, wide := leaf.Cid(), []ipld.Link{}
	path := leaf.Cid()
	beside := add(node(t, ofFile(t, 100, part, 1), ipld.Link{Cid: leaf.Cid()}))
	for i := range 40 {
		deep = add(node(t, ofFile(t, i, part, 1), ipld.Link{Cid: deep}))
		wide = append(wide, ipld.Link{Cid: beside}) // which is read each time
		path = add(node(t, unixfs.EmptyDirNode().Data(), ipld.Link{Name: strings.Repeat("x", part), Cid: leaf.Cid()}, ipld.Link{Name: "d", Cid: path}))
	}
	broad := add(node(t, ofFile(t, 200, 0, len(wide)), wide...))
	some := add(node(t, ofFile(t, 201, 0, 10), wide[:10]...))
	data := append([]byte("\x9a\x00\x04\x00\x00"), strings.Repeat("\xa1\x61a\x00", 1<<18)...)
	maps := must(blocks.NewBlockWithCid(data, cid.NewCidV1(cid.DagCBOR, must(multihash.Sum(data, multihash.SHA2_256, -1)))))
	add(maps)
	var lines logtest.Buffer
	shop := newShop(t, all...)
	people := &People{PathHosts: []string{pathHost}}
	memory := room.New(256<<20, 128<<20)
	server := newServer(t, Config{Blocks: shop, People: people, Room: memory, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
	v := &town{Server: server}
	check := func(what, path string, want int, told string) {
		t.Helper()
		before := len(lines.String())
		answer, body := v.ask(t, pathHost, "/ipfs/"+path)
		logged := lines.String()[before:]
		warned := strings.Contains(logged, "level=WARN msg=\"gateway request needs more memory")
		if answer.StatusCode != want || !strings.Contains(body, told) || warned != (want != http.StatusOK) || strings.Contains(logged, "level=ERROR") {
			t.Errorf("%s: %s %.200q; the log has %.300q", what, answer.Status, body, logged)
		}
	}
	check("a file that is deep", deep.String(), http.StatusUnprocessableEntity, "too deep and wide at once")
	check("a file that is wide", broad.String(), http.StatusOK, "")
	check("a path that is long", path.String()+strings.Repeat("/d", 40), http.StatusUnprocessableEntity, "too deep and wide at once")
	check("a node of many maps", maps.Cid().String()+"?format=dag-cbor", http.StatusOK, "\xa1\x61a")
	busy := memory.Share("somebody")
	defer busy.Close()
	other := memory.Share("another")
	defer other.Close()
	if err := busy.Grow(100 << 20); err != nil {
		t.Fatal(err)
	}
	if err := other.Grow(120 << 20); err != nil {
		t.Fatal(err)
	}
	check("a file, while others have all memory", some.String(), http.StatusOK, "")
	check("a file that takes more than is left", deep.String(), http.StatusServiceUnavailable, "no memory left")
}
