package rig

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Tree is a file or a directory on the disk, to be imported.
type Tree struct {
	Name string // the last part of its path
	Kind string // why it is there, for people
	// Plain is that there are only files and directories in it, with names that are UTF-8.
	Plain bool
	// Large is that it takes long to import.
	Large bool
}

// Sizes of chunks around which the trees have files: of the tests, of Kubo's default, and of
// its profile of 2025.
const (
	smallChunk  = 1000
	kuboChunk   = 256 << 10
	largeChunk  = 1 << 20
	legacyLinks = 174 // how many links a node has by default
	modernLinks = 1024
)

// HAMT thresholds. A directory becomes a HAMT if its links, counted as names and CIDs, have
// more than 256 KiB; or, by the profile of 2025, if its block has. With empty files whose names
// have 222 or 220 characters, a link has 256 bytes under a CID of version 0 or 1, and 266 in the
// block of a directory that has version 1.
const hamtLinks, hamtBlocks = 1024, 985

// MakeTrees makes n trees below a directory. The same seed makes the same trees. The first ones are
// around the boundaries of imports; the others are random. n is at least 100.
func MakeTrees(root string, seed uint64, n int) ([]Tree, error) {
	m := treeMaker{root: root, seed: seed, rand: rand.New(rand.NewPCG(seed, 1))}
	m.files()
	m.hamts()
	m.names()
	m.shapes()
	m.dressed()
	for len(m.all) < n {
		m.random()
	}
	return m.all, m.err
}

type treeMaker struct {
	root string
	seed uint64
	rand *rand.Rand
	all  []Tree
	err  error // the first
}

// tree begins one, and gives its path.
func (m *treeMaker) tree(kind string, t Tree) string {
	t.Name, t.Kind = fmt.Sprintf("t%03d", len(m.all)), kind
	m.all = append(m.all, t)
	return filepath.Join(m.root, t.Name)
}

func (m *treeMaker) try(err error) {
	if m.err == nil && err != nil {
		m.err = fmt.Errorf("make a tree: %w", err)
	}
}

func (m *treeMaker) dir(path string) { m.try(os.MkdirAll(path, 0o755)) }

// write makes a file of random bytes.
func (m *treeMaker) write(path string, size int64) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		m.try(err)
		return
	}
	_, err = io.Copy(f, Random(m.seed^m.rand.Uint64(), size))
	m.try(err)
	m.try(f.Close())
}

// files are of every size at which something changes.
func (m *treeMaker) files() {
	sizes := []int64{0, 1, 31, 32, 33, 127, 128, 129}
	for _, chunk := range []int64{smallChunk, kuboChunk, largeChunk} {
		sizes = append(sizes, chunk-1, chunk, chunk+1, 2*chunk-1, 2*chunk, 2*chunk+1)
	}
	for _, links := range []int64{4, 16, legacyLinks, modernLinks} {
		sizes = append(sizes, links*smallChunk-1, links*smallChunk, links*smallChunk+1, (links+1)*smallChunk, (links+1)*smallChunk+1)
	}
	sizes = append(sizes, legacyLinks*kuboChunk, legacyLinks*kuboChunk+1, (legacyLinks+1)*kuboChunk)
	for _, size := range sizes {
		m.write(m.tree(fmt.Sprintf("a file of %d bytes", size), Tree{Plain: true, Large: size > 10<<20}), size)
	}
	zeros := m.tree("a file of zeros, whose chunks are all the same", Tree{Plain: true})
	m.try(os.WriteFile(zeros, make([]byte, 3*kuboChunk+5), 0o644))
	text := m.tree("a file of text, for chunkers by content", Tree{Plain: true})
	m.try(os.WriteFile(text, []byte(strings.Repeat("the quick brown fox jumps over the lazy dog\n", 40_000)), 0o644))
}

// hamts are directories on both sides of the threshold.
func (m *treeMaker) hamts() {
	for _, length := range []int{220, 222} {
		for _, count := range []int{hamtBlocks, hamtBlocks + 1, hamtLinks - 1, hamtLinks, hamtLinks + 1} {
			dir := m.tree(fmt.Sprintf("a directory of %d empty files, whose names have %d characters", count, length), Tree{Plain: true, Large: true})
			m.dir(dir)
			for i := range count {
				name := fmt.Sprintf("%0*d", length, i)
				m.try(os.WriteFile(filepath.Join(dir, name), nil, 0o644))
			}
		}
	}
	below := m.tree("a HAMT within a directory", Tree{Plain: true, Large: true})
	m.dir(filepath.Join(below, "a", "b"))
	for i := range 1100 {
		m.try(os.WriteFile(filepath.Join(below, "a", "b", fmt.Sprintf("%0230d", i)), []byte{byte(i)}, 0o644))
	}
}

// names are odd, and allowed.
func (m *treeMaker) names() {
	for _, name := range []string{
		"with space", " leading", "trailing ", "tab\tin it", "new\nline", "\x01control", "del\x7f", `back\slash`, `"quoted"`, "it's",
		"100%", "%41", "a+b", "a&b=c", "a;b", "a,b", "semi:colon", "a?b#c", "<html>", "`id`", "$HOME", "*", "-dash", "--flag",
		"ü", "u\u0308", "漢字", "🐟", "\u202eright to left", "\ufeffmark", "zero\u200bwidth", "e\u0301\u0327", ".hidden", "...", "..a", "a.", "~",
		strings.Repeat("x", 255), strings.Repeat("ü", 127), "CON", "nul.txt",
	} {
		dir := m.tree(fmt.Sprintf("a name: %.40q", name), Tree{Plain: true})
		m.dir(dir)
		m.write(filepath.Join(dir, name), 10)
		m.dir(filepath.Join(dir, "in", name))
		m.write(filepath.Join(dir, "in", name, name), 11)
	}
	for _, name := range []string{"\xff", "latin-\xe9", "cut \xf0\x9f", "\xc0\xaf"} {
		dir := m.tree(fmt.Sprintf("a name that is no UTF-8: %q", name), Tree{})
		m.dir(dir)
		m.write(filepath.Join(dir, name), 10)
	}
}

// shapes are of every form that a directory can have.
func (m *treeMaker) shapes() {
	m.dir(m.tree("an empty directory", Tree{Plain: true}))
	dir := m.tree("empty directories within others", Tree{Plain: true})
	m.dir(filepath.Join(dir, "a", "b", "c"))
	m.dir(filepath.Join(dir, "d"))
	for _, depth := range []int{10, 100, 200} {
		dir := m.tree(fmt.Sprintf("a path of %d directories", depth), Tree{Plain: true})
		for i := range depth {
			dir = filepath.Join(dir, fmt.Sprint(i%10))
		}
		m.dir(dir)
		m.write(filepath.Join(dir, "f"), 100)
	}
	dir = m.tree("the same file many times", Tree{Plain: true})
	m.dir(dir)
	for i := range 300 {
		m.try(os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("the same"), 0o644))
	}
	dir = m.tree("names in the order of their bytes, and not of people", Tree{Plain: true})
	m.dir(dir)
	for _, name := range []string{"a", "B", "a.b", "a-b", "a b", "aa", "A", "Z", "z", "ä", "10", "9", "a/x", "a.d/x"} {
		path := filepath.Join(dir, "_"+filepath.Dir(name), filepath.Base(name))
		m.dir(filepath.Dir(path))
		m.write(path, 5)
	}
	for i, target := range []string{"file", "../elsewhere", "/etc/passwd", "nowhere", ".", strings.Repeat("a/", 400) + "a", "ü &%\n", "link"} {
		dir := m.tree(fmt.Sprintf("a symbolic link to %.20q", target), Tree{})
		m.dir(dir)
		m.try(os.WriteFile(filepath.Join(dir, "file"), []byte{byte(i)}, 0o644))
		m.try(os.Symlink(target, filepath.Join(dir, "link")))
	}
}

// dressed have modes and times.
func (m *treeMaker) dressed() {
	for _, mode := range []os.FileMode{0o400, 0o600, 0o644, 0o755, 0o777, os.ModeSetuid | 0o755, os.ModeSetgid | 0o755, os.ModeSticky | 0o777} {
		dir := m.tree(fmt.Sprintf("the mode %v", mode), Tree{Plain: true})
		m.dir(filepath.Join(dir, "sub"))
		m.write(filepath.Join(dir, "f"), 100)
		m.write(filepath.Join(dir, "large"), 3*kuboChunk)
		m.try(os.Chmod(filepath.Join(dir, "f"), mode))
		m.try(os.Chmod(filepath.Join(dir, "sub"), mode|0o700))
	}
	for _, at := range []time.Time{time.Unix(0, 0), time.Unix(1, 1), time.Unix(-1000, 0), time.Unix(-1000, 999_999_999), time.Unix(1_700_000_000, 123_456_789), time.Unix(1<<33, 0)} {
		dir := m.tree(fmt.Sprintf("the time %v", at.UTC()), Tree{Plain: true})
		m.dir(dir)
		m.write(filepath.Join(dir, "f"), 100)
		m.try(os.Chtimes(filepath.Join(dir, "f"), at, at))
		m.try(os.Chtimes(dir, at, at))
	}
}

// random makes a directory of some depth with some files.
func (m *treeMaker) random() {
	var fill func(dir string, depth int)
	fill = func(dir string, depth int) {
		m.dir(dir)
		for i := range m.rand.IntN(6) {
			size := m.rand.Int64N(2000)
			if m.rand.IntN(8) == 0 {
				size = m.rand.Int64N(2 * kuboChunk)
			}
			m.write(filepath.Join(dir, fmt.Sprintf("f%d", i)), size)
		}
		for i := range m.rand.IntN(4) {
			if depth > 0 {
				fill(filepath.Join(dir, fmt.Sprintf("d%d", i)), depth-1)
			}
		}
	}
	fill(m.tree("random", Tree{Plain: true}), 3)
}
