package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/ipld/go-car/v2"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// shop is what a gateway has to give. Some of it is denied.
type shop struct {
	blockstore.Blockstore
	mu     sync.Mutex
	denied map[string]bool
	// unreadable, if defined, is here and cannot be read.
	unreadable cid.Cid
	// before, if not nil, is called with each block that is read.
	before func(cid.Cid)
}

func newShop(t *testing.T, have ...blocks.Block) *shop {
	t.Helper()
	bs := blockstore.NewIdStore(blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore())))
	if err := bs.PutMany(t.Context(), have); err != nil {
		t.Fatal(err)
	}
	return &shop{Blockstore: bs, denied: make(map[string]bool)}
}

func (s *shop) deny(c cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[string(c.Hash())] = true
}

func (s *shop) check(c cid.Cid) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.denied[string(c.Hash())] {
		return fmt.Errorf("by line 7: %w", pin.ErrDenied)
	}
	return nil
}

func (s *shop) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if err := s.check(c); err != nil {
		return false, err
	}
	return s.Blockstore.Has(ctx, c)
}

func (s *shop) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	if s.before != nil {
		s.before(c)
	}
	if err := s.check(c); err != nil {
		return nil, err
	}
	if c == s.unreadable {
		return nil, pin.ErrUnreadable
	}
	return s.Blockstore.Get(ctx, c)
}

func (s *shop) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if err := s.check(c); err != nil {
		return 0, err
	}
	return s.Blockstore.GetSize(ctx, c)
}

// site is a directory a/ with b.txt, and c.txt beside it.
type site struct {
	root, a, b, c ipld.Node
}

func newSite() site {
	file := func(s string) ipld.Node { return merkledag.NodeWithData(unixfs.FilePBData([]byte(s), uint64(len(s)))) }
	s := site{b: file("b"), c: file("c")}
	a := unixfs.EmptyDirNode()
	root := unixfs.EmptyDirNode()
	for _, err := range []error{
		a.AddNodeLink("b.txt", s.b), root.AddNodeLink("a", a), root.AddNodeLink("c.txt", s.c),
	} {
		if err != nil {
			panic(err)
		}
	}
	s.a, s.root = a, root
	return s
}

func (s site) blocks() []blocks.Block { return []blocks.Block{s.root, s.a, s.b, s.c} }

func newServer(t *testing.T, cfg Config) *httptest.Server {
	t.Helper()
	cfg.Links = links.Of
	cfg.Seen = func() dagcar.Seen { return seen.New(t.TempDir(), func() int { return 1000 }) }
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func get(t *testing.T, url string, header ...string) (*http.Response, []byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// carBlocks lists the blocks of a CAR, as far as it can be read.
func carBlocks(body []byte) (all []cid.Cid, err error) {
	r, err := car.NewBlockReader(iotest.OneByteReader(bytes.NewReader(body)))
	if err != nil {
		return nil, err
	}
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, b.Cid())
	}
}

func TestServes(t *testing.T) {
	s := newSite()
	server := newServer(t, Config{Blocks: newShop(t, s.blocks()...)})
	url := func(path string) string { return server.URL + path }

	for _, c := range []struct{ query, accept string }{{"?format=raw", ""}, {"", "application/vnd.ipld.raw"}} {
		answer, body, err := get(t, url("/ipfs/"+s.b.Cid().String()+c.query), "Accept", c.accept)
		if err != nil || answer.StatusCode != http.StatusOK || !bytes.Equal(body, s.b.RawData()) ||
			answer.Header.Get("Content-Type") != "application/vnd.ipld.raw" {
			t.Errorf("raw: %s %q, %v", answer.Status, body, err)
		}
		if got := answer.Header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("web pages of %q may ask", got)
		}
	}
	answer, body, err := get(t, url("/ipfs/"+s.root.Cid().String()+"?format=car"))
	all, carErr := carBlocks(body)
	if err != nil || carErr != nil || answer.StatusCode != http.StatusOK || len(all) != 4 || all[0] != s.root.Cid() {
		t.Errorf("CAR: %s, %v; %v, %v", answer.Status, all, err, carErr)
	}
	answer, body, err = get(t, url("/ipfs/"+s.root.Cid().String()+"/a/b.txt?format=car"))
	all, carErr = carBlocks(body)
	if want := []cid.Cid{s.root.Cid(), s.a.Cid(), s.b.Cid()}; err != nil || carErr != nil || answer.StatusCode != http.StatusOK || !slices.Equal(all, want) {
		t.Errorf("CAR of a path: %s, %v; %v, %v", answer.Status, all, err, carErr)
	}
	// What other servers look for before they ask for anything.
	answer, body, err = get(t, url("/ipfs/bafkqaaa?format=raw"))
	if err != nil || answer.StatusCode != http.StatusOK || len(body) > 0 {
		t.Errorf("the probe: %s %q, %v", answer.Status, body, err)
	}
}

// What would have to be believed, what is not here, and what is no business of
// a gateway.
func TestRefuses(t *testing.T) {
	s := newSite()
	server := newServer(t, Config{Blocks: newShop(t, s.blocks()...)})
	root, missing := s.root.Cid().String(), blocks.NewBlock([]byte("missing")).Cid().String()
	key := "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
	for path, want := range map[string]int{
		"/ipfs/" + root:                              http.StatusNotAcceptable,
		"/ipfs/" + root + "/c.txt":                   http.StatusNotAcceptable,
		"/ipfs/" + root + "?format=tar":              http.StatusNotAcceptable,
		"/ipfs/" + root + "/c.txt?format=raw":        http.StatusNotAcceptable,
		"/ipfs/" + missing + "?format=raw":           http.StatusNotFound,
		"/ipfs/nonsense?format=raw":                  http.StatusBadRequest,
		"/ipfs/" + root + "%0A?format=raw":           http.StatusBadRequest,
		"/ipns/" + key + "?format=ipns-record":       http.StatusNotFound,
		"/ipns/example.com?format=car":               http.StatusNotFound,
		"/ipns/" + key + "/x?format=raw":             http.StatusNotFound,
		"/":                                          http.StatusNotFound,
		"/api/psa/pins":                              http.StatusNotFound,
		"/healthz":                                   http.StatusNotFound,
		"/debug/pprof/":                              http.StatusNotFound,
		"/ipfs/../api/auth/login?format=raw":         http.StatusBadRequest,
		"/ipfs/" + missing + "?format=car":           http.StatusNotFound,
		"/ipfs/" + root + "/none.txt?format=raw":     http.StatusNotAcceptable,
		"/ipfs/" + root + "/../../etc/x?format=raw":  http.StatusBadRequest,
		"/ipfs/" + root + "?format=car&dag-scope=xx": http.StatusBadRequest,
	} {
		answer, body, err := get(t, server.URL+path)
		if err != nil || answer.StatusCode != want {
			t.Errorf("%s: %s, want %d (%q, %v)", path, answer.Status, want, body, err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/ipfs/"+root+"?format=raw", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %s", answer.Status)
	}
}

// What is denied is gone, by every way to ask for it: as a block, as a part of
// a DAG, on the way to something else, under another codec, by a session.
func TestDenied(t *testing.T) {
	s := newSite()
	inline := cid.NewCidV1(cid.Raw, must(multihash.Sum([]byte("inline"), multihash.IDENTITY, -1)))
	root := s.root.Cid().String()
	all := append(s.blocks(), blocks.NewBlock(nil))
	for name, c := range map[string]struct {
		deny cid.Cid
		path string
		want int
		not  cid.Cid // what must not come, in an answer that is cut off
	}{
		"a block":             {s.b.Cid(), "/ipfs/" + s.b.Cid().String() + "?format=raw", http.StatusGone, cid.Undef},
		"under another codec": {s.b.Cid(), "/ipfs/" + cid.NewCidV1(cid.Raw, s.b.Cid().Hash()).String() + "?format=raw", http.StatusGone, cid.Undef},
		"its own CID":         {inline, "/ipfs/" + inline.String() + "?format=raw", http.StatusGone, cid.Undef},
		"the root of a CAR":   {s.root.Cid(), "/ipfs/" + root + "?format=car", http.StatusGone, cid.Undef},
		"one block as a CAR":  {s.b.Cid(), "/ipfs/" + s.b.Cid().String() + "?format=car&dag-scope=block", http.StatusGone, cid.Undef},
		"on the way":          {s.a.Cid(), "/ipfs/" + root + "/a/b.txt?format=car", http.StatusGone, cid.Undef},
		"at the end":          {s.b.Cid(), "/ipfs/" + root + "/a/b.txt?format=car&dag-scope=block", http.StatusOK, s.b.Cid()},
		"a leaf of a CAR":     {s.b.Cid(), "/ipfs/" + root + "?format=car", http.StatusOK, s.b.Cid()},
		"a leaf, as entity":   {s.a.Cid(), "/ipfs/" + root + "/a?format=car&dag-scope=entity", http.StatusOK, s.a.Cid()},
	} {
		t.Run(name, func(t *testing.T) {
			have := newShop(t, all...)
			server := newServer(t, Config{Blocks: have})
			if answer, _, err := get(t, server.URL+c.path); err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("before: %s, %v", answer.Status, err)
			}
			have.deny(c.deny)
			answer, body, err := get(t, server.URL+c.path)
			if answer.StatusCode != c.want {
				t.Fatalf("after: %s, want %d", answer.Status, c.want)
			}
			if c.want == http.StatusGone {
				return
			}
			got, carErr := carBlocks(body)
			if carErr == nil && err == nil {
				t.Error("the CAR looks whole")
			}
			if slices.Contains(got, c.not) || bytes.Contains(body, s.b.RawData()) && c.not == s.b.Cid() {
				t.Errorf("what is denied came, in %v", got)
			}
		})
	}
}

// What is here and cannot be read is an error, and a CAR that comes to it is cut off: it
// does not end as if it were whole, nor do caches keep it.
func TestUnreadable(t *testing.T) {
	s := newSite()
	root := s.root.Cid().String()
	for name, c := range map[string]struct {
		bad  cid.Cid
		path string
		cut  bool
	}{
		"a block":            {s.b.Cid(), "/ipfs/" + s.b.Cid().String() + "?format=raw", false},
		"the root of a CAR":  {s.root.Cid(), "/ipfs/" + root + "?format=car", true},
		"one block as a CAR": {s.b.Cid(), "/ipfs/" + s.b.Cid().String() + "?format=car&dag-scope=block", true},
		"on the way":         {s.a.Cid(), "/ipfs/" + root + "/a/b.txt?format=car", false},
		"a leaf of a CAR":    {s.b.Cid(), "/ipfs/" + root + "?format=car", true},
		"a node of a CAR":    {s.a.Cid(), "/ipfs/" + root + "?format=car", true},
	} {
		t.Run(name, func(t *testing.T) {
			have := newShop(t, s.blocks()...)
			have.unreadable = c.bad
			answer, body, err := get(t, newServer(t, Config{Blocks: have}).URL+c.path)
			if !c.cut {
				if answer.StatusCode != http.StatusInternalServerError || answer.Header.Get("Cache-Control") != "" {
					t.Errorf("%s, Cache-Control %q, %q", answer.Status, answer.Header.Get("Cache-Control"), body)
				}
				return
			}
			if answer.StatusCode != http.StatusOK || err == nil {
				t.Errorf("%s with %d bytes ends with %v", answer.Status, len(body), err)
			}
			if _, err := carBlocks(body); err == nil {
				t.Error("the CAR looks whole")
			}
		})
	}
}

// A session of a BlockService takes out the block store of what it is given.
// That is how blocks got by the wrapper that nopfs has for BlockServices.
func TestDeniedToSessions(t *testing.T) {
	s := newSite()
	have := newShop(t, s.blocks()...)
	have.deny(s.b.Cid())
	bs := service(have)
	ctx := t.Context()
	sessions := map[string]func() (blocks.Block, error){
		"a session": func() (blocks.Block, error) { return blockservice.NewSession(ctx, bs).GetBlock(ctx, s.b.Cid()) },
		"a context with one": func() (blocks.Block, error) {
			return bs.GetBlock(blockservice.ContextWithSession(ctx, bs), s.b.Cid())
		},
		"many at once": func() (blocks.Block, error) {
			for b := range blockservice.NewSession(ctx, bs).GetBlocks(ctx, []cid.Cid{s.b.Cid(), s.c.Cid()}) {
				if b.Cid() == s.b.Cid() {
					return b, nil
				}
			}
			return nil, pin.ErrDenied
		},
		"a session of a DAG": func() (blocks.Block, error) {
			return merkledag.NewSession(ctx, merkledag.NewDAGService(bs)).Get(ctx, s.b.Cid())
		},
		"the block store": func() (blocks.Block, error) { return bs.Blockstore().Get(ctx, s.b.Cid()) },
		"the exchange":    func() (blocks.Block, error) { return bs.Exchange().GetBlock(ctx, s.b.Cid()) },
		"no session":      func() (blocks.Block, error) { return bs.GetBlock(ctx, s.b.Cid()) },
	}
	for name, ask := range sessions {
		if b, err := ask(); !errors.Is(err, pin.ErrDenied) {
			t.Errorf("%s: %v, %v", name, b, err)
		}
	}
	if b, err := blockservice.NewSession(ctx, bs).GetBlock(ctx, s.c.Cid()); err != nil || b.Cid() != s.c.Cid() {
		t.Errorf("what is not denied: %v", err)
	}
}

func TestDeniedPath(t *testing.T) {
	s := newSite()
	denied := "/ipfs/" + s.root.Cid().String() + "/a/b.txt"
	server := newServer(t, Config{Blocks: newShop(t, s.blocks()...), DeniedPath: func(path string) error {
		if path == denied {
			return pin.ErrDenied
		}
		return nil
	}})
	for path, want := range map[string]int{
		denied + "?format=car": http.StatusGone,
		"/ipfs/" + s.root.Cid().String() + "/a/%62.txt?format=car": http.StatusGone,
		"/ipfs/" + s.root.Cid().String() + "/c.txt?format=car":     http.StatusOK,
	} {
		if answer, body, err := get(t, server.URL+path); err != nil || answer.StatusCode != want {
			t.Errorf("%s: %s, want %d (%q, %v)", path, answer.Status, want, body, err)
		}
	}
}

// Long paths are refused before anything is resolved: the work grows with the square.
func TestLongPaths(t *testing.T) {
	chain := []blocks.Block{dagtest.CBOR("end")}
	for range maxSegments / 2 { // each has two segments
		chain = append(chain, dagtest.CBOR("", dagtest.Last(chain)))
	}
	shop := newShop(t, chain...)
	server := newServer(t, Config{Blocks: shop})
	path := server.URL + "/ipfs/" + dagtest.Last(chain).String() + strings.Repeat("/links/0", maxSegments/2)
	if answer, body, err := get(t, path+"/?format=car"); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%d segments: %s %q, %v", maxSegments, answer.Status, body, err)
	}
	shop.deny(dagtest.Last(chain)) // to look for it is answered with 410
	for _, format := range []string{"raw", "car"} {
		answer, body, err := get(t, path+"/name?format="+format)
		if err != nil || answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "segments") {
			t.Errorf("%d segments as %s: %s %q, %v", maxSegments+1, format, answer.Status, body, err)
		}
	}
}

// More than so many at once are asked to come again.
func TestMaxRequests(t *testing.T) {
	s := newSite()
	have := newShop(t, s.blocks()...)
	reading, release := make(chan struct{}), make(chan struct{})
	have.before = func(cid.Cid) {
		reading <- struct{}{}
		<-release
	}
	server := newServer(t, Config{Blocks: have, MaxRequests: 1})
	url := server.URL + "/ipfs/" + s.b.Cid().String() + "?format=raw"
	done := make(chan int)
	go func() {
		answer, err := http.Get(url)
		if err != nil {
			t.Error(err)
			done <- 0
			return
		}
		answer.Body.Close()
		done <- answer.StatusCode
	}()
	<-reading
	answer, _, err := get(t, url)
	if err != nil || answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" {
		t.Errorf("the second: %s, Retry-After %q, %v", answer.Status, answer.Header.Get("Retry-After"), err)
	}
	go func() { // the rest may be read
		for range reading {
		}
	}()
	close(release)
	if got := <-done; got != http.StatusOK {
		t.Errorf("the first: %d", got)
	}
	close(reading)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
