package kuborpc

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// entry is one of an archive.
type entry struct {
	name, content, link string
	kind                byte
	mode                int64
}

func dir(name string) entry { return entry{name: name, kind: tar.TypeDir, mode: 0o755} }
func link(name, to string) entry {
	return entry{name: name, link: to, kind: tar.TypeSymlink, mode: 0o777}
}
func file(name, content string) entry {
	return entry{name: name, content: content, kind: tar.TypeReg, mode: 0o644}
}
func (e entry) with(mode int64) entry       { e.mode = mode; return e }
func read(t *testing.T, path string) string { return string(must(os.ReadFile(path))(t)) }

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var then = time.Unix(1_234_567_890, 0)

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.content)), ModTime: then}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unpack(b []byte, target string) error { return Unpack(bytes.NewReader(b), target, func(int) {}) }

func TestUnpack(t *testing.T) {
	at := filepath.Join(t.TempDir(), "got")
	wrote := 0
	err := Unpack(bytes.NewReader(archive(t,
		dir("cid").with(0o500), dir("cid/sub").with(0o555), file("cid/sub/run", "#!").with(0o4755), file("cid/ä ", "text"),
		link("cid/up", "../../.."), link("cid/sub/same", "run"),
	)), at, func(n int) { wrote += n })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(at) })
	if wrote != 6 || read(t, filepath.Join(at, "ä ")) != "text" || read(t, filepath.Join(at, "sub/same")) != "#!" {
		t.Errorf("%d bytes were written", wrote)
	}
	for name, mode := range map[string]fs.FileMode{".": fs.ModeDir | 0o500, "sub": fs.ModeDir | 0o555, "sub/run": 0o755, "ä ": 0o644} {
		st := must(os.Stat(filepath.Join(at, name)))(t)
		if st.Mode() != mode || !st.ModTime().Equal(then) {
			t.Errorf("%s has mode %v and time %v, want %v", name, st.Mode(), st.ModTime(), mode)
		}
	}
	if to := must(os.Readlink(filepath.Join(at, "up")))(t); to != "../../.." {
		t.Errorf("the link leads to %q", to)
	}
	for name, one := range map[string]entry{"file": file("cid", "x"), "link": link("cid", "/nowhere")} {
		at := filepath.Join(t.TempDir(), name)
		if err := unpack(archive(t, one), at); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(at); err != nil {
			t.Error(err)
		}
	}
}

// Nothing is written but to the target, and if that fails nothing is left.
func TestUnpackHostile(t *testing.T) {
	outside := t.TempDir()
	whole := archive(t, dir("cid"), file("cid/a", strings.Repeat("x", 5000)))
	for name, one := range map[string]struct {
		archive []byte
		want    string
	}{
		"up":                  {archive(t, dir("cid"), file("cid/../../evil", "x")), "leads out of the target"},
		"up and down":         {archive(t, dir("cid"), file("cid/a/../b", "x")), "leads out of the target"},
		"absolute":            {archive(t, dir("cid"), file("/evil", "x")), "more than one root"},
		"dot":                 {archive(t, dir("cid"), file("cid/./evil", "x")), "leads out of the target"},
		"empty name":          {archive(t, dir("cid"), file("cid//evil", "x")), "leads out of the target"},
		"another root":        {archive(t, dir("cid"), file("evil", "x")), "more than one root"},
		"no root":             {archive(t, file("cid/evil", "x")), "more than one root"},
		"the root again":      {archive(t, file("cid", "x"), file("cid", "y")), "more than one root"},
		"through a link":      {archive(t, dir("cid"), link("cid/l", "../../../.."), file("cid/l/evil", "x")), "escapes"},
		"through an absolute": {archive(t, dir("cid"), link("cid/l", outside), file("cid/l/evil", "x")), "escapes"},
		"over a link":         {archive(t, dir("cid"), link("cid/l", outside+"/evil"), file("cid/l", "x")), "exists"},
		"a directory over it": {archive(t, dir("cid"), link("cid/l", outside), dir("cid/l")), "exists"},
		"the root is a link":  {archive(t, link("cid", outside), file("cid/evil", "x")), "escapes"},
		"twice":               {archive(t, dir("cid"), file("cid/a", "x"), file("cid/a", "y")), "exists"},
		"a file as directory": {archive(t, dir("cid"), file("cid/a", "x"), file("cid/a/b", "y")), "not a directory"},
		"a device":            {archive(t, dir("cid"), entry{name: "cid/d", kind: tar.TypeChar}), "no file, directory or symbolic link"},
		"a hard link":         {archive(t, dir("cid"), entry{name: "cid/d", kind: tar.TypeLink, link: "/etc/passwd"}), "no file, directory or symbolic link"},
		"nothing":             {archive(t), "the server's archive is empty"},
		"cut in a file":       {whole[:2000], "unexpected EOF"},
		"no archive":          {bytes.Repeat([]byte("no archive "), 200), "invalid tar header"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			err := unpack(one.archive, filepath.Join(parent, "got"))
			if err == nil || !strings.Contains(err.Error(), one.want) {
				t.Errorf("the error is %v, want %q", err, one.want)
			}
			for _, dir := range []string{parent, outside} {
				if left := must(os.ReadDir(dir))(t); len(left) > 0 {
					t.Errorf("left in %s: %v", dir, left)
				}
			}
		})
	}
}

// What is at the target stays as it is.
func TestUnpackOntoSomething(t *testing.T) {
	at := filepath.Join(t.TempDir(), "got")
	if err := os.WriteFile(at, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{at, at + "/", filepath.Dir(at)} {
		if err := unpack(archive(t, file("cid", "x")), target); err == nil {
			t.Errorf("it unpacks onto %s", target)
		}
	}
	if err := unpack(archive(t, file("cid", "x")), filepath.Join(filepath.Dir(at), "none", "got")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("into a directory that is not there: %v", err)
	}
	if read(t, at) != "mine" || len(must(os.ReadDir(filepath.Dir(at)))(t)) != 1 {
		t.Error("something else is there now")
	}
}

// An archive that is whole, of an answer that is not, leaves nothing.
func TestUnpackOfAnAnswerThatFails(t *testing.T) {
	parent, broken := t.TempDir(), errors.New("behind the end")
	b := io.MultiReader(bytes.NewReader(archive(t, dir("cid").with(0o000), dir("cid/x").with(0o000))), failing{broken})
	if err := Unpack(b, filepath.Join(parent, "got"), func(int) {}); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	if left := must(os.ReadDir(parent))(t); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}
