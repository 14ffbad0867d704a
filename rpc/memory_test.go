package rpc

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	unixfile "github.com/ipfs/boxo/ipld/unixfs/file"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/labstack/echo/v4"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/room"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// heavy makes a node of a file that takes so many bytes, and links to others.
func (w *world) heavy(number, size int, to ...ipld.Node) ipld.Node {
	w.t.Helper()
	f := unixfs.NewFSNode(unixfs.TFile)
	f.SetData(append(make([]byte, size), fmt.Sprint(number)...))
	for range to {
		f.AddBlockSize(1)
	}
	data, err := f.GetBytes()
	if err != nil {
		w.t.Fatal(err)
	}
	nd := merkledag.NodeWithData(data)
	for _, below := range to {
		if err := nd.AddNodeLink("", below); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.add(nd)
}

// What is read of a file may be of any size, and what is held of it at a time has a limit, in a directory
// as well.
func TestNodesThatAreHeld(t *testing.T) {
	w := newWorld(t)
	leaf := w.add(merkledag.NewRawNode([]byte("x")))
	const limit = 4 << 20
	var wide []ipld.Node
	deep := w.heavy(0, 200<<10, leaf)
	dirs := w.dir(entry{"x", leaf})
	for i := range 100 {
		wide = append(wide, w.heavy(i, 200<<10, leaf))
		deep = w.heavy(1000+i, 200<<10, deep)
		dirs = w.dir(entry{strings.Repeat("x", 200<<10), leaf}, entry{"d", dirs})
	}
	for name, test := range map[string]struct {
		nd      ipld.Node
		refused bool
	}{
		"a file that is wide":           {w.heavy(2000, 200<<10, wide...), false},
		"a file that is deep":           {deep, true},
		"directories within each other": {dirs, true},
	} {
		held := &openNodes{w.dag, room.NewNodes(nil, limit)}
		nd, err := w.dag.Get(t.Context(), test.nd.Cid())
		if err != nil {
			t.Fatal(err)
		}
		f, err := unixfile.NewUnixfsFile(t.Context(), held, nd)
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := f.(files.Directory); ok {
			err = files.Walk(d, func(string, files.Node) error { return nil })
		} else {
			_, err = io.Copy(io.Discard, onlyReader{f.(files.File)})
		}
		if refused := err != nil && strings.Contains(err.Error(), "too deep and wide at once"); refused != test.refused || !refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is beside the way down is read ahead, and counts.
func TestCatOfADeepFile(t *testing.T) {
	w := newWorld(t)
	leaf := w.add(merkledag.NewRawNode([]byte("x")))
	beside := make([]ipld.Node, 10)
	for i := range beside {
		beside[i] = w.heavy(i, 2<<20, leaf)
	}
	top := w.heavy(0, 0, leaf)
	for i := range 10 {
		top = w.heavy(i, 0, append([]ipld.Node{top}, beside...)...)
	}
	file := w.dir(entry{"f", top})
	w.pin("alice", file.Cid(), pin.Pinned)
	path := arg(file.Cid().String() + "/f")
	for _, command := range []string{"cat", "get"} { // what is beside may come when the answer has begun
		if a := w.ask("alice", command, path); !strings.Contains(string(a.body)+a.trailer.Get(headerStreamError), "too deep and wide at once") {
			t.Errorf("%s answers %d, and behind that %v", command, a.status, a.trailer)
		}
	}
}

// All calls share a memory. One that grows beyond it is told to come again, one that needs much at once waits,
// and small ones do not meet it.
func TestCallsShareMemory(t *testing.T) {
	w := newWorld(t)
	memory := room.New(8<<20, 6<<20)
	cfg := w.config()
	cfg.Room = memory
	e := echo.New()
	if err := Register(e.Group("/api/v0"), cfg); err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = e
	file := w.add(merkledag.NewRawNode([]byte("x")))
	var entries []entry
	for i := range 10_000 {
		entries = append(entries, entry{fmt.Sprint(i), file})
	}
	dir := w.dir(entries...)
	data := append([]byte("\x99\x80\x00"), strings.Repeat("\xa0", 1<<15)...)
	hash, err := multihash.Sum(data, multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	node, err := blocks.NewBlockWithCid(data, cid.NewCidV1(cid.DagCBOR, hash))
	if err == nil {
		err = w.blocks.Put(t.Context(), node)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []cid.Cid{file.Cid(), dir.Cid(), node.Cid()} {
		w.pin("alice", c, pin.Pinned)
	}
	other := memory.Share("bob")
	if err := other.Grow(3 << 20); err != nil {
		t.Fatal(err)
	}
	w.refused("alice", "ls", arg(dir.Cid()), http.StatusTooManyRequests, "no memory left")
	w.good("alice", "cat", arg(file.Cid()))
	w.good("alice", "ls", arg(dir.Cid())+"&stream=true")
	waits := make(chan answer)
	go func() { waits <- w.ask("alice", "dag/get", arg(node.Cid())) }()
	other.Close()
	if a := <-waits; a.status != http.StatusOK || len(a.body) != 3*(1<<15)+1 {
		t.Errorf("dag/get answers %d with %d bytes: %.100s", a.status, len(a.body), a.body)
	}
	w.good("alice", "ls", arg(dir.Cid()))
	if err := memory.Share("carol").Grow(6 << 20); err != nil {
		t.Errorf("memory is not given back: %v", err)
	}
}
