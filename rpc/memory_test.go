package rpc

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	unixfile "github.com/ipfs/boxo/ipld/unixfs/file"
	ipld "github.com/ipfs/go-ipld-format"

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
