package denylist

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever cannot be read costs itself: what is beside it counts when it changes, what
// it said before counts on, the log has it once, and it is read again when it can be.
func TestUnreadable(t *testing.T) {
	loop := func(t *testing.T, path string) { // what cannot be opened, by root either
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, path); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		bad     func(t *testing.T, first, a string)
		restore func(t *testing.T, first, a string)
	}{
		"a file that cannot be found": {
			func(t *testing.T, _, a string) { loop(t, a) },
			func(t *testing.T, _, a string) { _ = os.Remove(a) },
		},
		"a file that cannot be read": {
			func(t *testing.T, _, a string) {
				if err := os.Remove(a); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("/proc/self/mem", a); err != nil { // its first page is never mapped
					t.Fatal(err)
				}
			},
			func(t *testing.T, _, a string) { _ = os.Remove(a) },
		},
		"a file that is no list": {
			func(t *testing.T, _, a string) { write(t, a, "version: 99\n---\n") },
			func(t *testing.T, _, a string) { _ = os.Remove(a) },
		},
		"a directory": {
			func(t *testing.T, first, _ string) { loop(t, first) },
			func(t *testing.T, first, _ string) { _ = os.Remove(first) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, second := filepath.Join(t.TempDir(), "first"), t.TempDir()
			a, b, other := filepath.Join(first, "a.deny"), filepath.Join(first, "b.deny"), filepath.Join(second, "c.deny")
			was, beside, new := someCID("was"), someCID("beside"), someCID("new")
			write(t, a, "/ipfs/"+was.String()+"\n")
			write(t, b, "/ipfs/"+beside.String()+"\n")
			write(t, other, "# nothing yet\n")
			l, log := open(t, Dir{Path: first}, Dir{Path: second})
			c.bad(t, first, a)
			for range 3 {
				l.reload(false)
			}
			wantDenied(t, l, was, "a.deny:1")
			wantDenied(t, l, beside, "b.deny:1")
			write(t, other, "/ipfs/"+new.String()+"\n")
			for range 3 {
				l.reload(false)
			}
			wantDenied(t, l, was, "a.deny:1")
			wantDenied(t, l, new, "c.deny:1")
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
				t.Errorf("%d errors are logged:\n%s", n, log)
			}
			c.restore(t, first, a)
			write(t, a, "/ipfs/"+new.String()+"\n/ipfs/"+someCID("more").String()+"\n")
			l.reload(false)
			wantDenied(t, l, new, "a.deny:1")
			wantAllowed(t, l, was)
		})
	}
}

// A file that could not be read when it appeared counts once it can, with no change of
// its own, and is not spoken of each time that it is looked at.
func TestUnreadableAtFirst(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.deny"), "# nothing\n")
	l, log := open(t, Dir{Path: dir})
	target, late := filepath.Join(t.TempDir(), "target"), filepath.Join(dir, "b.deny")
	if err := os.Symlink("/proc/self/mem", target); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, late); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.reload(false)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "NOTHING of it counts") {
		t.Errorf("%d errors are logged:\n%s", n, log)
	}
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	write(t, target, "/ipfs/"+someCID("x").String()+"\n")
	l.reload(false)
	wantDenied(t, l, someCID("x"), "b.deny:1")
}

// A line costs itself, however long it is, and a header that cannot be read is about no
// rule.
func TestBadLines(t *testing.T) {
	x, y := someCID("x"), someCID("y")
	for name, c := range map[string]struct {
		text  string
		line  string
		lines string
	}{
		"a line that is no rule": {"/ipfs/" + x.String() + "\n/ipfs/nonsense\n/ipfs/" + y.String() + "\n", "a.deny:3", "lines=1 first=2"},
		"a line that is too long": {
			"/ipfs/" + x.String() + "\n/ipfs/" + strings.Repeat("x", 3<<20) + "\n/ipfs/" + y.String() + "\n", "a.deny:3", "lines=1 first=2",
		},
		"a header that is none":       {"name: [\n---\n/ipfs/" + x.String() + "\n/ipfs/" + y.String() + "\n", "a.deny:4", "lines=1 first=1"},
		"a version that is no number": {"version: one\n---\n/ipfs/" + x.String() + "\n/ipfs/" + y.String() + "\n", "a.deny:4", "lines=1 first=1"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a.deny"), c.text)
			write(t, filepath.Join(dir, "b.deny"), "/ipfs/"+someCID("z").String()+"\n")
			l, log := open(t, Dir{Path: dir})
			if err := l.Denied(x); err == nil {
				t.Error("what is before it does not count")
			}
			wantDenied(t, l, y, c.line)
			wantDenied(t, l, someCID("z"), "b.deny:1")
			if s := log.String(); !strings.Contains(s, c.lines) || strings.Count(s, "level=WARN") != 1 || !strings.Contains(s, "a.deny") {
				t.Errorf("the log has %s", s)
			}
		})
	}
}
