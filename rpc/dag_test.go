package rpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	car "github.com/ipld/go-car/v2"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func TestDagExport(t *testing.T) {
	w := newWorld(t)
	file, other := w.file(numbered(2500)), w.file(numbered(1500)) // which share a leaf
	root := w.dir(entry{"a", file}, entry{"b", other}, entry{"c", file})
	w.pin("alice", root.Cid(), pin.Pinned)
	a := w.ask("alice", "dag/export", arg(root.Cid()))
	if a.header.Get("Content-Type") != typeCAR || a.header.Get(headerStream) != "1" {
		t.Errorf("it has the header %v", a.header)
	}
	r, err := car.NewBlockReader(bytes.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Roots) != 1 || r.Roots[0] != root.Cid() || r.Version != 1 {
		t.Errorf("it is of version %d and has the roots %v", r.Version, r.Roots)
	}
	var got []cid.Cid
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Cid())
	}
	want := []cid.Cid{root.Cid(), file.Cid(), file.Links()[0].Cid, file.Links()[1].Cid, file.Links()[2].Cid, other.Cid(), other.Links()[1].Cid}
	if !slices.Equal(got, want) {
		t.Errorf("it has the blocks %v, want %v", got, want)
	}
}

// A chain of blocks with very many links each would take all memory, if a walk held them.
func TestWalkHoldsSoMany(t *testing.T) {
	w := newWorld(t)
	leaf := w.add(merkledag.NewRawNode([]byte("x")))
	top := ipld.Node(leaf)
	const wide = 25_000
	for range maxHeld/wide + 2 {
		nd := new(merkledag.ProtoNode)
		links := []*ipld.Link{{Name: "0", Cid: top.Cid()}}
		for range wide {
			links = append(links, &ipld.Link{Name: "1", Cid: leaf.Cid()})
		}
		if err := nd.SetLinks(links); err != nil {
			t.Fatal(err)
		}
		top = w.add(nd)
	}
	w.pin("alice", top.Cid(), pin.Pinned)
	a := w.ask("alice", "refs", arg(top.Cid())+"&recursive=true&unique=true")
	if text := string(a.body) + a.trailer.Get(headerStreamError); !strings.Contains(text, "too deep and wide") {
		t.Errorf("refs answers %d, and behind that %v", a.status, a.trailer)
	}
	// So would names of any length.
	chain := func(more ...entry) cid.Cid {
		end := ipld.Node(leaf)
		for range 300 {
			end = w.dir(append([]entry{{strings.Repeat("n", 100<<10), end}}, more...)...)
		}
		w.pin("alice", end.Cid(), pin.Pinned)
		return end.Cid()
	}
	a = w.ask("alice", "refs", arg(chain(entry{strings.Repeat("o", 100<<10), leaf}))+"&recursive=true")
	if text := string(a.body) + a.trailer.Get(headerStreamError); !strings.Contains(text, "too deep and wide") {
		t.Errorf("with long names refs answers %d, and behind that %v", a.status, a.trailer)
	}
	// What was followed is not held.
	if n := bytes.Count(w.good("alice", "refs", arg(chain())+"&recursive=true"), []byte("\n")); n != 300 {
		t.Errorf("of a chain of 300 links refs lists %d", n)
	}
}

func TestDagGet(t *testing.T) {
	w := newWorld(t)
	inner := w.add(merkledag.NewRawNode([]byte("hello")))
	put := func(codec uint64, data []byte) cid.Cid {
		t.Helper()
		c, err := cid.V1Builder{Codec: codec, MhType: multihash.SHA2_256}.Sum(data)
		if err != nil {
			t.Fatal(err)
		}
		b, err := blocks.NewBlockWithCid(data, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.blocks.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		return c
	}
	nested := put(cid.DagJSON, fmt.Appendf(nil, `{"a":{"b":[1,{"/":"%s"}]}}`, inner.Cid()))
	w.pin("alice", nested, pin.Pinned)
	for query, want := range map[string]string{
		arg(nested):                                              fmt.Sprintf(`{"a":{"b":[1,{"/":"%s"}]}}`, inner.Cid()),
		arg(nested.String() + "/a/b/0"):                          "1",
		arg(nested.String() + "/a/b/1"):                          `{"/":{"bytes":"aGVsbG8"}}`,
		arg(nested.String()+"/a/b/1") + "&output-codec=raw":      "hello",
		arg(nested.String()+"/a/b/0") + "&output-codec=dag-cbor": "\x01",
	} {
		if got := w.good("alice", "dag/get", query); string(got) != want {
			t.Errorf("dag/get %s is %q, want %q", query, got, want)
		}
	}
	w.refused("alice", "dag/get", arg(nested)+"&output-codec=nonsense", http.StatusBadRequest, "output-codec")
	w.refused("alice", "dag/get", arg(nested)+"&output-codec=git-raw", http.StatusBadRequest, "invalid encoding")
	w.refused("alice", "dag/get", arg(nested)+"&output-codec=raw", http.StatusBadRequest, "")
	w.refused("alice", "block/get", arg(nested.String()+"/a"), http.StatusBadRequest, "no block itself")
	var stat struct {
		Key  string
		Size int
	}
	if err := json.Unmarshal(w.good("alice", "block/stat", arg(nested.String()+"/a/b/1")), &stat); err != nil || stat.Key != inner.Cid().String() || stat.Size != 5 {
		t.Errorf("block/stat is %+v, %v", stat, err)
	}
}

func TestDagStat(t *testing.T) {
	w := newWorld(t)
	file, other := w.file(numbered(2500)), w.file(numbered(1500))
	root := w.dir(entry{"a", file}, entry{"b", other})
	w.pin("alice", root.Cid(), pin.Pinned)
	stat := func(query string) (sum dagSummary) {
		t.Helper()
		lines := bytes.Split(bytes.TrimSpace(w.good("alice", "dag/stat", query)), []byte("\n"))
		if err := json.Unmarshal(lines[len(lines)-1], &sum); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	size := func(nds ...ipld.Node) (n uint64) {
		for _, nd := range nds {
			n += uint64(len(nd.RawData()))
		}
		return n
	}
	one, two := size(file)+2500, size(other)+1500
	sum := stat(arg(file.Cid()) + "&" + arg(other.Cid()) + "&progress=false")
	if len(sum.DagStats) != 2 || *sum.DagStats[0] != (dagStats{file.Cid().String(), one, 4}) || *sum.DagStats[1] != (dagStats{other.Cid().String(), two, 3}) ||
		sum.UniqueBlocks != 6 || sum.TotalSize != one+two-1000 || sum.SharedSize != 1000 {
		t.Errorf("dag/stat is %+v", sum)
	}
	if sum := stat(arg(root.Cid().String() + "/a")); sum.UniqueBlocks != 4 || sum.TotalSize != one || sum.Ratio != 1 {
		t.Errorf("dag/stat of a file is %+v", sum)
	}
	// What the account is charged is known.
	w.pins["alice"][0].Totals = pin.Totals{Blocks: 7, Bytes: 12345}
	if sum := stat(arg(root.Cid())); sum.UniqueBlocks != 7 || sum.TotalSize != 12345 || *sum.DagStats[0] != (dagStats{root.Cid().String(), 12345, 7}) {
		t.Errorf("dag/stat of a pin's root is %+v", sum)
	}
}

func TestRefs(t *testing.T) {
	w := newWorld(t)
	x, y := w.add(merkledag.NewRawNode([]byte("x"))), w.add(merkledag.NewRawNode([]byte("y")))
	sub := w.dir(entry{"x", x}, entry{"y", y})
	root := w.dir(entry{"s", sub}, entry{"t", sub}, entry{"x", x})
	w.pin("alice", root.Cid(), pin.Pinned)
	names := strings.NewReplacer(root.Cid().String(), "root", sub.Cid().String(), "sub", x.Cid().String(), "x", y.Cid().String(), "y")
	for query, want := range map[string]string{
		"":                            "sub sub x",
		"&unique=true":                "sub x",
		"&recursive=true":             "sub x y sub x y x",
		"&r=1&u=1":                    "sub x y",
		"&recursive=true&max-depth=1": "sub sub x",
		"&recursive=true&unique=true&max-depth=2": "sub x y",
		"&recursive=true&max-depth=0":             "",
		"&edges=true":                             "root->sub root->sub root->x",
		"&format=%3Clinkname%3E%3A%3Cdst%3E":      "s:sub t:sub x:x",
	} {
		a := w.ask("alice", "refs", arg(root.Cid())+query)
		var got []string
		for dec := json.NewDecoder(bytes.NewReader(a.body)); dec.More(); {
			var r ref
			if err := dec.Decode(&r); err != nil || r.Err != "" {
				t.Fatal(err, r.Err)
			}
			got = append(got, strings.ReplaceAll(names.Replace(r.Ref), " ", ""))
		}
		if strings.Join(got, " ") != want || a.header.Get(headerChunked) != "1" {
			t.Errorf("refs %s lists %q, want %q", query, got, want)
		}
	}
	w.refused("alice", "refs", arg(root.Cid())+"&edges=true&format=x", http.StatusBadRequest, "format argument with edges")
}

// A name may be as long as a block, and a format may have it again and again.
func TestRefsOfLongNames(t *testing.T) {
	w := newWorld(t)
	root := w.dir(entry{strings.Repeat("x", 1<<20), w.file([]byte("x"))})
	w.pin("alice", root.Cid(), pin.Pinned)
	if got := w.good("alice", "refs", arg(root.Cid())+"&format=%3Clinkname%3E-%3Clinkname%3E"); len(got) < 2<<20 {
		t.Errorf("a name that is listed twice is in %d bytes", len(got))
	}
	w.refused("alice", "refs", arg(root.Cid())+"&format="+strings.Repeat("%3Clinkname%3E", 100), http.StatusBadRequest, "is too long to be listed 100 times in a line")
}
