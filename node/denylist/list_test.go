package denylist

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// someCID is the CID of a text, as raw.
func someCID(s string) cid.Cid { return cid.NewCidV1(cid.Raw, blocks.NewBlock([]byte(s)).Cid().Hash()) }

func under(codec uint64, c cid.Cid) cid.Cid { return cid.NewCidV1(codec, c.Hash()) }

// legacy is a double hash as the badbits list has them: of a CIDv1 in base32
// and a path.
func legacy(c cid.Cid, path string) string {
	return fmt.Sprintf("//%x", sha256.Sum256([]byte(cid.NewCidV1(c.Type(), c.Hash()).String()+"/"+path)))
}

// modern is a double hash of a multihash, with a hash of choice.
func modern(t *testing.T, c cid.Cid, code uint64) string {
	t.Helper()
	h, err := multihash.Sum([]byte(c.Hash().B58String()), code, -1)
	if err != nil {
		t.Fatal(err)
	}
	return "//" + h.B58String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dirs ...Dir) (*List, *logtest.Buffer) {
	t.Helper()
	log := new(logtest.Buffer)
	l, err := Open(dirs, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return l, log
}

func wantDenied(t *testing.T, l *List, c cid.Cid, rule string) {
	t.Helper()
	err := l.Denied(c)
	e, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, pin.ErrDenied) {
		t.Errorf("%s: the error is %v, want a denial", c, err)
		return
	}
	if !strings.HasSuffix(e.Rule(), rule) {
		t.Errorf("%s is denied by %s, want %s", c, e.Rule(), rule)
	}
	if want := c.String() + " is blocked and cannot be provided"; err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
}

func wantAllowed(t *testing.T, l *List, cs ...cid.Cid) {
	t.Helper()
	for _, c := range cs {
		if err := l.Denied(c); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}

func TestDenied(t *testing.T) {
	plain, byV0, old, mod, blake, inside, subtree, fine := someCID("plain"), someCID("v0"), someCID("old"), someCID("modern"),
		someCID("blake3"), someCID("inside"), someCID("subtree"), someCID("fine")
	tree := under(cid.DagProtobuf, someCID("a tree"))
	inline := cid.NewCidV1(cid.Raw, must(multihash.Sum([]byte("inline"), multihash.IDENTITY, -1)))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.deny"), strings.Join([]string{
		"/ipfs/" + plain.String() + " reason=a-hint", // 1
		"",            // 2
		"# a comment", // 3
		"/ipfs/" + cid.NewCidV0(byV0.Hash()).String(), // 4
		legacy(tree, ""),                                  // 5
		modern(t, mod, multihash.SHA2_256),                // 6
		modern(t, blake, multihash.BLAKE3),                // 7
		"/ipfs/" + inside.String() + "/some/file",         // 8
		legacy(fine, "some/file"),                         // 9
		"/ipfs/" + subtree.String() + "/*",                // 10
		"/ipfs/" + inline.String(),                        // 11
		legacy(old, "") + "  ",                            // 12
		"/ipns/example.com",                               // 13
		"/ipfs/" + someCID("the last line").String() + "", // 14, without an end
	}, "\n"))
	l, log := open(t, Dir{Path: dir})
	every := func(c cid.Cid, rule string) {
		t.Helper()
		for _, codec := range []uint64{cid.Raw, cid.DagProtobuf, cid.DagCBOR, cid.DagJSON} {
			wantDenied(t, l, under(codec, c), rule)
		}
	}
	every(plain, "a.deny:1")
	every(byV0, "a.deny:4")
	wantDenied(t, l, cid.NewCidV0(plain.Hash()), "a.deny:1")
	wantDenied(t, l, cid.NewCidV0(tree.Hash()), "a.deny:5")
	every(tree, "a.deny:5") // the rule is about dag-pb; the bytes are the same
	every(mod, "a.deny:6")
	every(blake, "a.deny:7")
	every(subtree, "a.deny:10")
	every(inline, "a.deny:11")
	every(old, "a.deny:12")
	every(someCID("the last line"), "a.deny:14")
	wantAllowed(t, l, inside, fine, cid.Undef, someCID("nobody minds"))

	for path, rule := range map[string]string{
		"/ipfs/" + inside.String() + "/some/file":  "a.deny:8",
		"/ipfs/" + inside.String() + "/some/file/": "a.deny:8",
		"/ipfs/" + fine.String() + "/some/file":    "a.deny:9",
		"/ipfs/" + subtree.String() + "/any/file":  "a.deny:10",
		"/ipfs/" + plain.String():                  "a.deny:1",
		"/ipns/example.com":                        "a.deny:13",
	} {
		e, ok := errors.AsType[*Error](l.DeniedPath(path))
		if !ok || !strings.HasSuffix(e.Rule(), rule) {
			t.Errorf("%s: the error is %v, want %s", path, e, rule)
		}
	}
	for _, path := range []string{
		"/ipfs/" + inside.String(), "/ipfs/" + inside.String() + "/some", "/ipfs/" + fine.String(), "/ipns/example.org", "nonsense", "",
	} {
		if err := l.DeniedPath(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if strings.Contains(log.String(), "WARN") || strings.Contains(log.String(), "ERROR") {
		t.Errorf("the log has %s", log)
	}
	var none *List
	wantAllowed(t, none, plain)
	if none.DeniedPath("/ipfs/"+plain.String()) != nil {
		t.Error("no list denies a path")
	}
}

// The first list that has a rule decides, in the order of directories and
// names; within a list the later line does.
func TestWhichListWins(t *testing.T) {
	a, b, c, d, e := someCID("a"), someCID("b"), someCID("c"), someCID("d"), under(cid.DagProtobuf, someCID("e"))
	first, second := t.TempDir(), t.TempDir()
	write(t, filepath.Join(first, "1.deny"), "!/ipfs/"+a.String()+"\n/ipfs/"+c.String()+"\n!/ipfs/"+c.String()+"\n!"+legacy(e, "")+"\n"+modern(t, e, multihash.SHA2_256)+"\n")
	write(t, filepath.Join(first, "2.deny"), "/ipfs/"+a.String()+"\n/ipfs/"+b.String()+"\n/ipfs/"+c.String()+"\n")
	write(t, filepath.Join(first, "sub", "3.deny"), "/ipfs/"+d.String()+"\n")
	write(t, filepath.Join(first, "4.txt"), "/ipfs/"+someCID("no list").String()+"\n")
	write(t, filepath.Join(second, "0.deny"), "/ipfs/"+a.String()+"\n!/ipfs/"+b.String()+"\n!/ipfs/"+d.String()+"\n")
	l, _ := open(t, Dir{Path: first}, Dir{Path: second}, Dir{Path: first}, Dir{Path: filepath.Join(second, "missing"), Optional: true})
	wantAllowed(t, l, a, c, someCID("no list"))
	wantDenied(t, l, b, "2.deny:2")
	wantDenied(t, l, d, "3.deny:1")
	// Of one block, what allows it goes first, under whichever codec.
	wantAllowed(t, l, under(cid.Raw, e))
}

// Lists come from all kinds of editors.
func TestForms(t *testing.T) {
	c, other := someCID("c"), someCID("other")
	for name, text := range map[string]string{
		"Windows":               "version: 1\r\nname: x\r\n---\r\n/ipfs/" + c.String() + "\r\n\r\n",
		"no end":                "/ipfs/" + c.String(),
		"no end, with a header": "version: 1\n---\n/ipfs/" + c.String(),
		"lines of spaces":       "   \n\t\n\u3000\n \r\n/ipfs/" + c.String() + "\n  \n",
		"a header of nothing":   "---\n/ipfs/" + c.String() + "\n",
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "x.deny"), text)
		l, log := open(t, Dir{Path: dir})
		before, _, _ := strings.Cut(text, "/ipfs/")
		wantDenied(t, l, c, fmt.Sprintf("x.deny:%d", strings.Count(before, "\n")+1))
		wantAllowed(t, l, other)
		if strings.Contains(log.String(), "WARN") {
			t.Errorf("%s: the log has %s", name, log)
		}
	}

	dir := t.TempDir()
	empty := cid.NewCidV1(cid.Raw, must(multihash.Sum(nil, multihash.SHA2_256, -1)))
	write(t, filepath.Join(dir, "x.deny"), "name: mine\nhints:\n  a: b\n---\n# 5\n/ipfs/nonsense\n//nonsense\n/ipfs/"+c.String()+"\n/ipfs/"+empty.String()+"\n")
	l, log := open(t, Dir{Path: dir})
	wantDenied(t, l, c, "x.deny:8")
	wantAllowed(t, l, empty)
	if s := log.String(); !strings.Contains(s, "lines=3 first=6") || !strings.Contains(s, "name=mine") || !strings.Contains(s, "rules=1") {
		t.Errorf("the log has %s", s)
	}
}

// Who asks for denylists does not run without them.
func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "future.deny"), "version: 99\n---\n")
	for _, d := range []Dir{{Path: filepath.Join(dir, "missing")}, {Path: filepath.Join(dir, "future.deny", "x")}, {Path: dir}, {Path: dir, Optional: true}} {
		if _, err := Open([]Dir{d}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), d.Path) {
			t.Errorf("%+v: the error is %v", d, err)
		}
	}
}

// Symbolic links lead to lists, as in a volume of Kubernetes.
func TestLinks(t *testing.T) {
	c := someCID("c")
	real := t.TempDir()
	write(t, filepath.Join(real, "data", "x.deny"), "/ipfs/"+c.String()+"\n")
	links := t.TempDir()
	for name, to := range map[string]string{"dir": real, "file.deny": filepath.Join(real, "data", "x.deny"), "gone.deny": filepath.Join(real, "gone")} {
		if err := os.Symlink(to, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := open(t, Dir{Path: filepath.Join(links, "dir")})
	wantDenied(t, l, c, filepath.Join(links, "dir", "data", "x.deny")+":1")
	l, _ = open(t, Dir{Path: links})
	wantDenied(t, l, c, "file.deny:1")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// FuzzParse: whatever a file has in it, it is read or is an error, and answers.
func FuzzParse(f *testing.F) {
	c := someCID("c")
	for _, s := range []string{
		"", "\n", " ", "---\n", "---", "a: b\n---\n/ipfs/" + c.String(), legacy(c, ""), "//", "!", "/ipfs/", "/ipns/", "/ipfs/*", "*", "%zz", "/ipns//", "!//",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read, err := parse(data, true)
		if err != nil {
			return
		}
		read.cid(c)
		l := new(List)
		l.now.Store(&rules{files: []*file{read}})
		_ = l.DeniedPath("/ipfs/" + c.String() + "/a/b")
	})
}

// BenchmarkDenied is what each block costs that is fetched or given away.
func BenchmarkDenied(b *testing.B) {
	const rules = 400_000 // about what badbits has
	plain, double := new(strings.Builder), new(strings.Builder)
	for i := range rules {
		c := someCID(fmt.Sprint(i))
		fmt.Fprintln(double, legacy(c, ""))
		fmt.Fprintln(plain, "/ipfs/"+c.String())
	}
	for name, text := range map[string]*strings.Builder{"plain": plain, "double-hashed": double} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "x.deny"), []byte(text.String()), 0o644); err != nil {
				b.Fatal(err)
			}
			before := heap()
			began := time.Now()
			l, err := Open([]Dir{{Path: dir}}, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			took := time.Since(began)
			kept := float64(heap()-before) / rules
			c := someCID("nobody minds")
			for b.Loop() {
				if l.Denied(c) != nil {
					b.Fatal("denied")
				}
			}
			b.ReportMetric(kept, "B/rule")
			b.ReportMetric(float64(took.Milliseconds()), "ms-to-read")
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
