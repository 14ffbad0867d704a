package rpc

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

func TestCat(t *testing.T) {
	w := newWorld(t)
	data, short := numbered(7300), []byte("short\n")
	file, second, empty := w.file(data), w.file(short), w.file(nil)
	root := w.dir(entry{"f", file}, entry{"s", second}, entry{"e", empty}, entry{"l", w.symlink("f")})
	w.pin("alice", root.Cid(), pin.Pinned)
	f, s := arg(file.Cid()), arg(root.Cid().String()+"/s")
	for query, want := range map[string][]byte{
		f:                                   data,
		arg("/ipfs/" + file.Cid().String()): data,
		arg("ipfs://" + root.Cid().String() + "/f"): data,
		f + "&offset=7299":                          data[7299:],
		f + "&offset=7300":                          {},
		f + "&o=1000&l=1001":                        data[1000:2001],
		f + "&length=0":                             {},
		f + "&length=99999999999":                   data,
		f + "&" + s:                                 append(bytes.Clone(data), short...),
		f + "&" + s + "&offset=7301":                short[1:],
		f + "&" + s + "&length=7301":                append(bytes.Clone(data), short[0]),
		arg(empty.Cid()):                            {},
		f + "&progress=false&timeout=1h&stream-channels=true&api-auth=bearer%3Atoken&encoding=json&offline=1&cid-base=base32": data,
	} {
		a := w.ask("alice", "cat", query)
		if a.status != http.StatusOK || !bytes.Equal(a.body, want) {
			t.Errorf("cat %s answers %d with %d bytes, want %d", query, a.status, len(a.body), len(want))
		}
		if a.header.Get(headerStream) != "1" || a.header.Get(headerLength) != strconv.Itoa(len(want)) || a.header.Get("Content-Type") != "text/plain" {
			t.Errorf("cat %s has the header %v", query, a.header)
		}
	}
	w.refused("alice", "cat", arg(root.Cid()), http.StatusBadRequest, "this dag node is a directory")
	if got := w.good("alice", "cat", arg(root.Cid().String()+"/l")); string(got) != "f" {
		t.Errorf("a symbolic link is %q", got)
	}
	w.refused("alice", "cat", arg(root.Cid().String()+"/x"), http.StatusBadRequest, `no link named "x"`)
	w.refused("alice", "cat", arg(root.Cid().String()+"/f/x"), http.StatusBadRequest, "")
	w.refused("alice", "cat", f+"&offset=-1", http.StatusBadRequest, "negative offset")
	w.refused("alice", "cat", f+"&length=-1", http.StatusBadRequest, "negative length")
}

func TestContentThatIsNone(t *testing.T) {
	w := newWorld(t)
	nd := w.add(merkledag.NodeWithData([]byte("no UnixFS")))
	w.pin("alice", nd.Cid(), pin.Pinned)
	for _, command := range []string{"cat", "get", "ls"} {
		w.refused("alice", command, arg(nd.Cid()), http.StatusBadRequest, "")
	}
	if logged := w.lines.String(); logged != "" {
		t.Errorf("the content's fault is logged as the server's: %s", logged)
	}
}

// untar gives what a TAR archive has: the content of files, the target of links, and "/"
// for directories.
func untar(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	all := map[string]string{}
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			all[h.Name] = "/"
		case tar.TypeSymlink:
			all[h.Name] = "-> " + h.Linkname
		default:
			b, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			all[h.Name] = string(b)
		}
	}
}

func TestGet(t *testing.T) {
	w := newWorld(t)
	data := numbered(2500)
	file := w.file(data)
	root := w.dir(entry{"f", file}, entry{"l", w.symlink("../elsewhere")}, entry{"sub", w.dir(entry{"ü b.txt", w.file([]byte("x"))})})
	w.pin("alice", root.Cid(), pin.Pinned)
	name := root.Cid().String()
	a := w.ask("alice", "get", arg(name)+"&archive=true&output=somewhere")
	want := map[string]string{name: "/", name + "/f": string(data), name + "/l": "-> ../elsewhere", name + "/sub": "/", name + "/sub/ü b.txt": "x"}
	if got := untar(t, bytes.NewReader(a.body)); fmt.Sprint(got) != fmt.Sprint(want) || a.header.Get("Content-Type") != typeTar {
		t.Errorf("get answers %v with %v", a.header, got)
	}
	if got := untar(t, bytes.NewReader(w.good("alice", "get", arg(name+"/f")))); fmt.Sprint(got) != fmt.Sprint(map[string]string{"f": string(data)}) {
		t.Errorf("get of a file has %v", got)
	}
	unpack := func(query string) io.Reader {
		t.Helper()
		r, err := gzip.NewReader(bytes.NewReader(w.good("alice", "get", query)))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if got, err := io.ReadAll(unpack(arg(name+"/f") + "&compress=true&compression-level=1")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("a compressed file: %v, %d bytes", err, len(got))
	}
	if got := untar(t, unpack(arg(name)+"&a=1&C=1&l=9")); len(got) != len(want) {
		t.Errorf("a compressed archive has %v", got)
	}
	w.refused("alice", "get", arg(name)+"&compress=true", http.StatusBadRequest, "file is not regular")
	w.refused("alice", "get", arg(name+"/f")+"&compress=true&compression-level=10", http.StatusBadRequest, "between 1 and 9")
}

// Whoever unpacks an archive writes into its directory alone, whatever names a block has.
func TestGetStaysInItsDirectory(t *testing.T) {
	w := newWorld(t)
	file := w.file([]byte("x"))
	for _, d := range [][]entry{
		{{"..", file}}, {{".", file}}, {{"", file}}, {{"/etc/passwd", file}}, {{"x/../../y", file}}, {{"x\x00y", file}},
		{{"x", w.symlink("/etc")}, {"x", w.dir(entry{"passwd", file})}},
		{{"x", w.symlink("/etc")}, {"x", w.symlink("/usr")}},
	} {
		root := w.dir(entry{"a", w.dir(entry{"sub", w.dir(d...)})})
		w.pin("alice", root.Cid(), pin.Pinned)
		for _, at := range []string{"", "/a", "/a/sub"} {
			a := w.ask("alice", "get", arg(root.Cid().String()+at))
			if text := string(a.body) + a.trailer.Get(headerStreamError); !strings.Contains(text, "cannot be unpacked safely") {
				t.Errorf("get of %q at %q answers %d, and behind that %v", d[0].name, at, a.status, a.trailer)
			}
		}
	}
}

// A path in an archive has a limit, as each directory on it is open until all below it is read.
func TestGetOfALongPath(t *testing.T) {
	w := newWorld(t)
	nested := func(levels int) cid.Cid {
		top := w.dir(entry{"f", w.file([]byte("x"))})
		for range levels {
			top = w.dir(entry{strings.Repeat("d", 999), top})
		}
		w.pin("alice", top.Cid(), pin.Pinned)
		return top.Cid()
	}
	w.good("alice", "get", arg(nested(8)))
	w.refused("alice", "get", arg(nested(9)), http.StatusBadRequest, "which cannot be unpacked: use dag/export instead")
}

func TestLs(t *testing.T) {
	w := newWorld(t)
	file := w.file(numbered(2500))
	leaf := w.add(merkledag.NewRawNode([]byte("raw leaf")))
	root := w.dir(entry{"z", file}, entry{"a", leaf}, entry{"l", w.symlink("z")}, entry{"d", w.dir()})
	w.pin("alice", root.Cid(), pin.Pinned)
	list := func(query string) lsOutput {
		t.Helper()
		var out lsOutput
		if err := json.Unmarshal(w.good("alice", "ls", query), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, path := range []string{root.Cid().String(), "/ipfs/" + root.Cid().String()} {
		out := list(arg(path))
		if len(out.Objects) != 1 || out.Objects[0].Hash != path {
			t.Fatalf("ls lists %+v", out)
		}
		var got []string
		for _, l := range out.Objects[0].Links {
			got = append(got, fmt.Sprint(l.Name, " ", l.Size, " ", int(l.Type), " ", l.Target))
		}
		want := []string{"a 8 2 ", "d 0 1 ", "l 1 4 z", "z 2500 2 "}
		if !slices.Equal(got, want) {
			t.Errorf("ls lists %q, want %q", got, want)
		}
	}
	if out := list(arg(root.Cid()) + "&size=false&resolve-type=false&headers=true&cid-base=base58btc"); out.Objects[0].Links[3].Size != 0 ||
		!strings.HasPrefix(out.Objects[0].Links[3].Hash, "z") {
		t.Errorf("without types ls lists %+v", out)
	}
	// The links of a file have no names.
	if out := list(arg(file.Cid())); len(out.Objects[0].Links) != 3 || out.Objects[0].Links[0].Name != "" || out.Objects[0].Links[0].Size != 1000 {
		t.Errorf("of a file ls lists %+v", out)
	}
	if out := list(arg(leaf.Cid())); len(out.Objects[0].Links) != 0 || out.Objects[0].Links == nil {
		t.Errorf("of a leaf ls lists %+v", out)
	}
	a := w.ask("alice", "ls", arg(root.Cid())+"&stream=true")
	var names []string
	for dec := json.NewDecoder(bytes.NewReader(a.body)); dec.More(); {
		var out lsOutput
		if err := dec.Decode(&out); err != nil {
			t.Fatal(err)
		}
		names = append(names, out.Objects[0].Links[0].Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"a", "d", "l", "z"}) || a.header.Get(headerChunked) != "1" {
		t.Errorf("as a stream ls lists %q, %v", names, a.header)
	}
}

// A directory in shards is listed whole, and each time in the same order: a client that shows it part by
// part would else miss some of it.
func TestLsOfShardsHasAnOrder(t *testing.T) {
	w := newWorld(t)
	leaf := w.add(merkledag.NewRawNode([]byte("x")))
	d, err := uio.NewHAMTDirectory(w.dag, 0)
	if err != nil {
		t.Fatal(err)
	}
	const entries = 3000
	for i := range entries {
		if err := d.AddChild(t.Context(), fmt.Sprint("file ", i), leaf); err != nil {
			t.Fatal(err)
		}
	}
	root, err := d.GetNode()
	if err != nil {
		t.Fatal(err)
	}
	w.add(root)
	w.pin("alice", root.Cid(), pin.Pinned)
	list := w.good("alice", "ls", arg(root.Cid())+"&stream=true")
	for range 5 {
		if again := w.good("alice", "ls", arg(root.Cid())+"&stream=true"); !bytes.Equal(list, again) {
			t.Fatal("the order changes")
		}
	}
	var all lsOutput
	if err := json.Unmarshal(w.good("alice", "ls", arg(root.Cid())), &all); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, l := range all.Objects[0].Links {
		names[l.Name] = true
		if l.Hash != leaf.Cid().String() || l.Size != 1 || l.Type != unixfs.TFile {
			t.Fatalf("it lists %+v", l)
		}
	}
	if len(names) != entries || len(all.Objects[0].Links) != entries || bytes.Count(list, []byte("\n")) != entries {
		t.Errorf("it lists %d names, and as a stream %d lines", len(names), bytes.Count(list, []byte("\n")))
	}
}

func TestLsOfTooMuchIsRefused(t *testing.T) {
	w := newWorld(t)
	leaf := w.add(merkledag.NewRawNode([]byte("x")))
	d := unixfs.EmptyDirNode()
	for i := range maxEntries + 1 {
		if err := d.AddNodeLink(strconv.Itoa(i), leaf); err != nil {
			t.Fatal(err)
		}
	}
	w.add(d)
	w.pin("alice", d.Cid(), pin.Pinned)
	w.refused("alice", "ls", arg(d.Cid()), http.StatusBadRequest, "ask for stream=true")
	if n := bytes.Count(w.good("alice", "ls", arg(d.Cid())+"&stream=true"), []byte("\n")); n != maxEntries+1 {
		t.Errorf("as a stream it has %d entries", n)
	}
	// A few blocks can make very long answers, too: of names, and of where symlinks lead.
	long := strings.Repeat("x", 100<<10)
	named, symlink := w.dir(entry{long + "1", leaf}, entry{long + "2", leaf}, entry{long + "3", leaf}), w.symlink(long)
	var links []entry
	for i := range 300 {
		links = append(links, entry{strconv.Itoa(i), symlink})
	}
	symlinks := w.dir(links...)
	top := w.dir(entry{"named", named}, entry{"symlinks", symlinks})
	w.pin("alice", top.Cid(), pin.Pinned)
	path := "/ipfs/" + top.Cid().String()
	w.refused("alice", "ls", strings.Repeat(arg(path+"/named")+"&", 99), http.StatusBadRequest, "ask for stream=true")
	w.refused("alice", "ls", arg(path+"/symlinks"), http.StatusBadRequest, "ask for stream=true")
	w.good("alice", "ls", arg(path+"/symlinks")+"&stream=true")
	w.good("alice", "ls", arg(path+"/named"))
}
