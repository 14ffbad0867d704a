package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// memory is a sink that checks what it is given.
type memory struct {
	t      testing.TB
	blocks map[cid.Cid][]byte
	gets   int
	fail   error
}

func newMemory(t testing.TB) *memory { return &memory{t: t, blocks: map[cid.Cid][]byte{}} }

func (m *memory) Put(_ context.Context, c cid.Cid, data []byte) error {
	if m.fail != nil {
		return m.fail
	}
	if sum, err := c.Prefix().Sum(data); err != nil || !sum.Equals(c) {
		m.t.Errorf("block %s has the hash of %s, %v", c, sum, err)
	}
	m.blocks[c] = data
	return nil
}

func (m *memory) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	m.gets++
	data, ok := m.blocks[c]
	if !ok {
		return nil, fmt.Errorf("nobody put %s", c)
	}
	return data, nil
}

// numbered is data of which no two chunks are the same.
func numbered(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%09d\n", i)
	}
	return b.Bytes()[:size]
}

var aTime = time.Unix(1_700_000_000, 0)

// stat is the mode and time of everything in tests.
type stat struct{ mode fs.FileMode }

func (stat) Name() string        { return "" }
func (stat) Size() int64         { return 0 }
func (s stat) Mode() fs.FileMode { return s.mode }
func (stat) ModTime() time.Time  { return aTime }
func (s stat) IsDir() bool       { return s.mode.IsDir() }
func (stat) Sys() any            { return nil }

type statDir struct{ files.Directory }

func (statDir) Mode() fs.FileMode  { return 0o755 }
func (statDir) ModTime() time.Time { return aTime }

func file(size int) files.Node {
	return files.NewReaderStatFile(bytes.NewReader(numbered(size)), stat{0o644})
}

func dirOf(entries ...files.DirEntry) files.Node {
	return statDir{files.NewSliceDirectory(entries)}
}

// tree is one of each kind of thing.
func tree() files.Node {
	return dirOf(
		files.FileEntry("a", file(0)),
		files.FileEntry("b", file(256<<10)),
		files.FileEntry("c", file(256<<10+1)),
		files.FileEntry("link", files.NewLinkFile("../x", stat{0o777})),
		files.FileEntry("odd ü+&?.txt", file(77)),
		files.FileEntry("sub", dirOf(
			files.FileEntry("d", file(1000)),
			files.FileEntry("deeper", dirOf(files.FileEntry("e", file(5)))),
		)),
		files.FileEntry("zempty", dirOf()),
	)
}

// empties is a directory with so many empty files.
func empties(n int) files.Node {
	entries := make([]files.DirEntry, n)
	for i := range entries {
		entries[i] = files.FileEntry(fmt.Sprintf("%010d", i), file(0))
	}
	return dirOf(entries...)
}

func addTo(t testing.TB, s Sink, f Flags, profile string, e Events, n files.Node) (cid.Cid, error) {
	t.Helper()
	p, ok := ProfileNamed(profile)
	if !ok {
		t.Fatalf("there is no profile %q", profile)
	}
	o, err := f.Resolve(p)
	if err != nil {
		return cid.Undef, err
	}
	return NewAdder(s, o, e).Add(t.Context(), n)
}

// The CIDs are those that `ipfs add` of Kubo 0.43 gives for the same files and flags.
func TestCIDsAreKubos(t *testing.T) {
	tests := []struct {
		flags   Flags
		profile string
		of      files.Node
		want    string
	}{
		{Flags{}, "", tree(), "QmVh8L7qgsK4LGBZpjESZKGN6tgnini6V3v6opYpPV24oL"},
		{Flags{CIDVersion: new(1)}, "", tree(), "bafybeiglfgnk62djv7qge7lioq3adhh253pxkg3zlspmpwiw5v3f2f2tia"},
		{Flags{RawLeaves: new(true)}, "", tree(), "QmfDvz673CPbY5E9kDfmJ6bPzf1CZk3YqPLiJTzdJnWCXE"},
		{Flags{Trickle: true}, "", tree(), "QmcBGCXfhbhEi323ApYi9u4yJk3dYbdx8XadU41asaofN8"},
		{Flags{Chunker: "size-1000"}, "", tree(), "QmPbvjAKybbPySKD2hrLEq8ocLGKN3r4GVhfLDuSo1xdGR"},
		{Flags{Chunker: "rabin-1000-2000-3000"}, "", tree(), "QmRkoPykN94SnTapStBEpY7nk2atN9Citj5CeSFz2WQibA"},
		{Flags{Chunker: "buzhash"}, "", tree(), "QmaZ7NQET8bpjAjRDSTYrhPooLipPCV7XSQSgUBQSYPtRk"},
		{Flags{Inline: true}, "", tree(), "QmU5oDBaf3N8xR7Wue2mVnPHRhVsyxvX6Vd9bWDbyehvFr"},
		{Flags{Inline: true, InlineLimit: 100, CIDVersion: new(1)}, "", tree(), "bafybeicddyvzy4n5uymo72x54ye22nlt3q2zk6dab25pzzy5bpg4x7bqi4"},
		{Flags{Hash: "blake3"}, "", tree(), "bafyb4ihj4etrx6znbchoamsy7q3vz3okh4dmdcysp27egbdcrh7p6f77we"},
		{Flags{Hash: "sha2-512", RawLeaves: new(false)}, "", tree(), "bafybgqagtlc72epbkai7pjg3g6ert75civllqmoj5qs3dqtcoazdjn7imzt3duuw6vxehvujy6z4npqnlgzjynhfadf5274muo4pqamuwub3a"},
		{Flags{PreserveMode: true, PreserveMtime: true}, "", tree(), "QmQpCCc57TVT1Kke8GQDg3qRQk4KFMJDdQMv6bpxhjmitK"},
		{Flags{Mode: 0o600, Mtime: time.Unix(1_700_000_000, 5)}, "", tree(), "QmQ8T2EgAPRyA2791zYAVZajit64TH7b9tewxfbZUw3RBe"},
		{Flags{Mtime: time.Unix(-5, 0)}, "", tree(), "QmUTfourFnT8zwuiDti3SvVVHgBBu8v26tyv8RMJSShkV6"},
		{Flags{SkipEmptyDirs: true}, "", tree(), "QmNzmn5QYuVESopMz21eHfdFbC5STW3UKNC1E1MyBfC4hM"},
		{Flags{MaxDirectoryLinks: 3, MaxHAMTFanout: 8}, "", tree(), "QmNtobpNsVjBKj14FMMY5u6wcJkLanJJH9DCrZxHnuofMp"},
		{Flags{Chunker: "size-1000", MaxFileLinks: 5}, "", tree(), "Qma5my7HzqyCqmE5jAJQixJSUisRgTX8H4mLneqK2VPQ2i"},
		// One chunk more than a node of 174 links has.
		{Flags{Chunker: "size-1000"}, "", file(174_001), "QmSu9nAapWCdK5tiKFKaGbtsWZztYR1kx8jtUEC4mCrtaw"},
		{Flags{Chunker: "size-1000", Trickle: true}, "", file(174_001), "QmPZ7hRcoYxzP2fmqXEfVuCSTqA9DLW4Qvu6BnB9VRvjY9"},
		{Flags{Chunker: "size-1000", RawLeaves: new(true)}, "", file(174_001), "Qma583LQyEQi28ngg4Z6558RyGez13XNkj9rC3pb5odc5q"},
		// Both sides of the size from which a directory is a HAMT.
		{Flags{}, "", empties(5957), "Qmf7UeXun59LHfa4DUpcKpP39VhWhVthZGhZ5yPsiNnbsa"},
		{Flags{}, "", empties(5958), "QmazLpS2nA8Nt2SFZckByu28dCzttSx2E4XGv3iP6UKVdj"},
		{Flags{}, "", empties(8000), "QmRLTR7puSRzEJdoXXA7v52xQ5UuWfJ2eqSw4X1LCopDKB"},
		{Flags{CIDVersion: new(1)}, "", empties(5958), "bafybeiekfxwgujc6dtofaasq53fvuj5vagaxmcded34rxa7scl36vyc5ti"},
		{Flags{}, "unixfs-v1-2025", tree(), "bafybeifcuuxcgh4dlz36tkvb6hqmrceunrsriywqfuxq4bqsyqnuwmvfvu"},
		{Flags{}, "unixfs-v1-2025", empties(5957), "bafybeiesxbv2il6rx6ecppzdpskualpkodr3l6xu4afp2dplfjmphhbwxu"},
		{Flags{}, "unixfs-v1-2025", empties(8000), "bafybeigmb7dar6thxvo6nz753fopvknlj4cbt6pbri4tzgxae4hejhfycu"},
		{Flags{Chunker: "size-100"}, "unixfs-v1-2025", file(174_001), "bafybeiapf3fmviq5wkoyz272f4sihypwkovwtoqhoqc5njbzza4wppigvu"},
		{Flags{}, "unixfs-v1-2025", file(174_001), "bafkreid2uf26eag33tbrzjqynpn4hbge7utjz4e2ixuiyye5mmfgaqz56i"},
		{Flags{CIDVersion: new(0)}, "unixfs-v1-2025", file(174_001), "bafkreid2uf26eag33tbrzjqynpn4hbge7utjz4e2ixuiyye5mmfgaqz56i"},
		{Flags{}, "legacy-cid-v0", tree(), "QmVh8L7qgsK4LGBZpjESZKGN6tgnini6V3v6opYpPV24oL"},
	}
	for _, test := range tests {
		got, err := addTo(t, newMemory(t), test.flags, test.profile, Events{}, test.of)
		if err != nil || got.String() != test.want {
			t.Errorf("%+v, %q: %s, %v; want %s", test.flags, test.profile, got, err, test.want)
		}
	}
}

// However many entries the directories on the way down have, few of them are in memory. The root is the
// same, whatever is put in between.
func TestDirectoriesRest(t *testing.T) {
	const levels, entries, limit = 20, 50, 120
	nested := func() files.Node {
		top := dirOf()
		for range levels {
			var all []files.DirEntry
			for i := range entries {
				if i == entries/2 {
					all = append(all, files.FileEntry("sub", statDir{top.(files.Directory)}))
				}
				all = append(all, files.FileEntry(fmt.Sprint(i), file(1)))
			}
			top = dirOf(all...)
		}
		return statDir{top.(files.Directory)}
	}
	for _, f := range []Flags{{}, {CIDVersion: new(1), MaxDirectoryLinks: 20, MaxHAMTFanout: 8}, {PreserveMode: true, PreserveMtime: true}, {Mode: 0o700, Mtime: aTime}} {
		want, err := addTo(t, newMemory(t), f, "", Events{}, nested())
		if err != nil {
			t.Fatal(err)
		}
		o, err := f.Resolve(Default)
		if err != nil {
			t.Fatal(err)
		}
		s, peak := newMemory(t), 0
		var a *Adder
		a = NewAdder(s, o, Events{Added: func(Entry) error {
			peak = max(peak, a.fresh)
			return nil
		}})
		a.maxFresh = limit
		got, err := a.Add(t.Context(), nested())
		if err != nil || got != want {
			t.Errorf("%+v: %s, want %s, %v", f, got, want, err)
		}
		if peak > limit+entries+1 || a.fresh > entries+1 || s.gets == 0 {
			t.Errorf("%+v: %d entries are in memory at a time, %d in the end, and %d blocks were read again", f, peak, a.fresh, s.gets)
		}
	}
}

// Flags that do not fit together are refused, and so is what would take any amount of memory.
func TestFlagsThatAreRefused(t *testing.T) {
	for text, f := range map[string]Flags{
		"raw-leaves":                      {RawLeaves: new(true), PreserveMode: true},
		"CIDv0 only supports sha2-256":    {Hash: "blake3", CIDVersion: new(0)},
		"unrecognized hash":               {Hash: "md6"},
		"hash":                            {Hash: "md5"},
		"cid-version 2":                   {CIDVersion: new(2)},
		"chunker":                         {Chunker: "size-0"},
		"chunker \"size-3000000\"":        {Chunker: "size-3000000"},
		"unrecognized chunker":            {Chunker: "fast"},
		"inline-limit 129 exceeds":        {Inline: true, InlineLimit: 129},
		"max-file-links is 1,":            {MaxFileLinks: 1},
		"max-file-links is 1000000,":      {MaxFileLinks: 1_000_000},
		"max-directory-links is negative": {MaxDirectoryLinks: -1},
		"max-hamt-fanout is 100,":         {MaxHAMTFanout: 100},
		"max-hamt-fanout is 2048,":        {MaxHAMTFanout: 2048},
	} {
		_, err := f.Resolve(Default)
		if !errors.As(err, new(*InvalidError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v is refused with %v, want %q", f, err, text)
		}
	}
}

// Averages of Rabin's chunker that are of no use are refused.
func TestRabinThatIsRefused(t *testing.T) {
	for _, c := range []string{"rabin-200", "rabin-255", "rabin-0255", "rabin-1397931"} {
		_, err := Flags{Chunker: c}.Resolve(Default)
		if !errors.As(err, new(*InvalidError)) || !strings.Contains(err.Error(), "from 256 to") {
			t.Errorf("%s is refused with %v", c, err)
		}
	}
	for _, c := range []string{"rabin", "rabin-256", "rabin-262144", "rabin-1397930", "rabin-16-32-64"} {
		if _, err := (Flags{Chunker: c}).Resolve(Default); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
	// With the least average chunks are cut.
	s := newMemory(t)
	if _, err := addTo(t, s, Flags{Chunker: "rabin-256"}, "", Events{}, files.NewBytesFile(bytes.Repeat([]byte("x"), 10_000))); err != nil {
		t.Fatal(err)
	}
	if len(s.blocks) < 2 {
		t.Errorf("%d blocks", len(s.blocks))
	}
}

// A directory of very many entries is put and read again on the way, and is the same in the end.
func TestLargeDirectoryIsTheSame(t *testing.T) {
	const n = 2*spillAfter + 5
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%09d", (i*7919)%n)
	}
	for _, f := range []Flags{{Inline: true, InlineLimit: 120, Mode: 0o700, Mtime: aTime}, {MaxDirectoryLinks: 1000, MaxHAMTFanout: 64}} {
		entries := make([]files.DirEntry, n)
		for i, name := range names {
			entries[i] = files.FileEntry(name, files.NewBytesFile(nil))
		}
		s := newMemory(t)
		got, err := addTo(t, s, f, "", Events{}, dirOf(entries...))
		if err != nil {
			t.Fatal(err)
		}
		if s.gets == 0 {
			t.Error("all of the directory stays in memory")
		}
		want, err := wholeDirectory(t, f, names)
		if err != nil || got != want {
			t.Errorf("%+v: %s, want %s, %v", f, got, want, err)
		}
	}
}

// wholeDirectory makes a directory of empty files without putting it in between.
func wholeDirectory(t *testing.T, f Flags, names []string) (cid.Cid, error) {
	o, err := f.Resolve(Default)
	if err != nil {
		return cid.Undef, err
	}
	a := NewAdder(newMemory(t), o, Events{})
	empty, err := a.addContent(t.Context(), "", strings.NewReader(""))
	if err != nil {
		return cid.Undef, err
	}
	d, err := a.newDir()
	if err != nil {
		return cid.Undef, err
	}
	for _, name := range names {
		if err := d.d.AddChild(t.Context(), name, empty); err != nil {
			return cid.Undef, err
		}
	}
	nd, err := d.d.GetNode()
	if err != nil {
		return cid.Undef, err
	}
	return nd.Cid(), nil
}

// Directories may be entered again, as clients send files in any order.
func TestEntriesInAnyOrder(t *testing.T) {
	sub := func(entries ...files.DirEntry) files.DirEntry { return files.FileEntry("sub", dirOf(entries...)) }
	inOrder := dirOf(files.FileEntry("a", file(1)), sub(files.FileEntry("x", file(2)), files.FileEntry("y", file(300_000)), files.FileEntry("z", dirOf())))
	apart := dirOf(sub(files.FileEntry("y", file(300_000))), files.FileEntry("a", file(1)), sub(files.FileEntry("z", dirOf())), sub(files.FileEntry("x", file(2))), sub())
	var told []string
	tell := Events{Added: func(e Entry) error {
		told = append(told, e.Name)
		return nil
	}}
	want, err := addTo(t, newMemory(t), Flags{}, "", Events{}, inOrder)
	if err != nil {
		t.Fatal(err)
	}
	got, err := addTo(t, newMemory(t), Flags{}, "", tell, apart)
	if err != nil || got != want {
		t.Errorf("%s, want %s, %v", got, want, err)
	}
	if want := []string{"sub/y", "a", "sub/x", "sub/z", "sub", ""}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
	for text, tree := range map[string]files.Node{
		"already has entry": dirOf(files.FileEntry("a", file(1)), files.FileEntry("a", file(1))),
		"already exists":    dirOf(files.FileEntry("sub", file(1)), sub(files.FileEntry("x", file(2)))),
	} {
		_, err := addTo(t, newMemory(t), Flags{}, "", Events{}, tree)
		if !errors.As(err, new(*InvalidError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q", err, text)
		}
	}
}

// What happens is told as Kubo tells it.
func TestEvents(t *testing.T) {
	var told []string
	e := Events{
		Read: func(name string, n int64) error {
			told = append(told, fmt.Sprintf("%s %d", name, n))
			return nil
		},
		Added: func(e Entry) error {
			told = append(told, fmt.Sprintf("%s %s %d %v", e.Name, e.CID, e.Size, e.Directory))
			return nil
		},
	}
	if _, err := addTo(t, newMemory(t), Flags{}, "", e, dirOf(files.FileEntry("f", dirOf(files.FileEntry("c", file(256<<10+1)))))); err != nil {
		t.Fatal(err)
	}
	told = slices.Compact(told) // the end of a file may be read twice
	want := []string{
		"f/c 262144", "f/c 262145", "f/c QmPxn6DobwBMs7e5a51fD3nv4QDMtBGzA72jgXsqXGcsgD 262267 false",
		"f QmZju6DK3Tn3yD6G9mMu4pTUR8YCqxkEk1enQ8N5qqN2Q2 262316 true", " QmbjTqvg563fscjTkQ8q1tPKdf8Yb5c978BzwamLLG2PGi 262365 true",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	told = nil
	if c, err := addTo(t, newMemory(t), Flags{}, "", e, file(3)); err != nil || told[len(told)-1] != fmt.Sprintf("%s %s 11 false", c, c) {
		t.Errorf("told %q of a file, %v", told, err)
	}
}

// Errors of the sink, of the events and of reading come back as what they are.
// Directories wait to be told of, until their names take too much memory.
func TestDirectoriesWithLongNames(t *testing.T) {
	const n = 6000
	var entries []files.DirEntry
	for i := range n {
		entries = append(entries, files.FileEntry(fmt.Sprintf("%01000d", i), dirOf()))
	}
	entries = append(entries, files.FileEntry("the last", file(1)))
	dirs, before := 0, -1
	tell := Events{Added: func(e Entry) error {
		if e.Directory {
			dirs++
		} else {
			before = dirs
		}
		return nil
	}}
	if _, err := addTo(t, newMemory(t), Flags{}, "", tell, dirOf(entries...)); err != nil {
		t.Fatal(err)
	}
	if before < n-maxDirNames/1000 || dirs != n+1 {
		t.Errorf("told of %d directories before the last file, and of %d in all", before, dirs)
	}
}

func TestErrorsOfAdd(t *testing.T) {
	boom := errors.New("boom")
	s := newMemory(t)
	s.fail = boom
	if _, err := addTo(t, s, Flags{}, "", Events{}, tree()); !errors.Is(err, boom) {
		t.Errorf("the sink's error comes as %v", err)
	}
	for _, e := range []Events{{Read: func(string, int64) error { return boom }}, {Added: func(Entry) error { return boom }}} {
		if _, err := addTo(t, newMemory(t), Flags{}, "", e, tree()); !errors.Is(err, boom) {
			t.Errorf("the error of an event comes as %v", err)
		}
	}
	broken := files.NewReaderFile(io.MultiReader(bytes.NewReader(numbered(600_000)), iotest{}))
	_, err := addTo(t, newMemory(t), Flags{}, "", Events{}, dirOf(files.FileEntry("x", broken)))
	if !errors.As(err, new(*ReadError)) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an error of reading comes as %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o, _ := Flags{}.Resolve(Default)
	if _, err := NewAdder(newMemory(t), o, Events{}).Add(ctx, tree()); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

type iotest struct{}

func (iotest) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A stream of zeros without end is one block again and again, until the sink refuses it: it
// takes no memory.
func TestEndlessStream(t *testing.T) {
	enough := errors.New("enough")
	s := &counting{after: 50_000, err: enough}
	_, err := addTo(t, s, Flags{Chunker: "size-1000"}, "", Events{}, files.NewReaderFile(zeros{}))
	if !errors.Is(err, enough) {
		t.Errorf("an endless stream ends with %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

type counting struct {
	after int
	err   error
}

func (c *counting) Put(_ context.Context, _ cid.Cid, _ []byte) error {
	if c.after--; c.after < 0 {
		return c.err
	}
	return nil
}

func (c *counting) Get(context.Context, cid.Cid) ([]byte, error) { return nil, c.err }

func TestInlinedHasNoBlock(t *testing.T) {
	c, err := addTo(t, newMemory(t), Flags{Inline: true, CIDVersion: new(1)}, "", Events{}, file(5))
	if err != nil || c.Prefix().MhType != multihash.IDENTITY {
		t.Errorf("a small file is %s, %v", c, err)
	}
}

// Directories that are too deep, also without names, and names and paths that are too long are
// refused.
func TestPathsThatAreRefused(t *testing.T) {
	within := func(levels int, name string, n files.Node) files.Node {
		for range levels {
			n = dirOf(files.FileEntry(name, n))
		}
		return n
	}
	f := func() files.Node { return files.NewBytesFile([]byte("x")) }
	for text, n := range map[string]files.Node{
		"512 directories":     within(514, "d", f()),
		"the 512 directories": within(514, "", f()),
		"a name has 1025":     dirOf(files.FileEntry(strings.Repeat("n", 1025), f())),
		"1025 bytes":          dirOf(files.FileEntry(strings.Repeat("n", 1025), dirOf())),
		"the 8192 bytes":      within(9, strings.Repeat("n", 1000), f()),
	} {
		_, err := addTo(t, newMemory(t), Flags{}, "", Events{}, n)
		if !errors.As(err, new(*InvalidError)) || !strings.Contains(err.Error(), text) {
			t.Errorf("it is refused with %v, want %q", err, text)
		}
	}
	for _, n := range []files.Node{within(513, "d", f()), within(8, strings.Repeat("n", 1000), f()), dirOf(files.FileEntry(strings.Repeat("n", 1024), f()))} {
		if _, err := addTo(t, newMemory(t), Flags{}, "", Events{}, n); err != nil {
			t.Error(err)
		}
	}
}
