package trustless

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/gateway"
	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const connsPerHost = 3

// client is one that may go to loopback, where the servers of tests are.
func client(t *testing.T, change ...func(*http.Transport)) *Client {
	t.Helper()
	transport := guard.Guard{AllowPrivate: true}.Transport(connsPerHost, nil)
	for _, c := range change {
		c(transport)
	}
	cl := New(Config{Transport: transport, Now: func() time.Time { return noon }})
	t.Cleanup(cl.Close)
	return cl
}

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

func at(t *testing.T, url string) Provider {
	t.Helper()
	p, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func serve(t *testing.T, h http.HandlerFunc) Provider {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return at(t, s.URL)
}

func block(s string) blocks.Block {
	b := blocks.NewBlock([]byte(s))
	raw, err := blocks.NewBlockWithCid(b.RawData(), cid.NewCidV1(cid.Raw, b.Cid().Hash()))
	if err != nil {
		panic(err)
	}
	return raw
}

// memory is a block store with some blocks. What is denied is an error.
type memory struct {
	blockstore.Blockstore
	denied cid.Cid
}

func (m memory) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if c.Equals(m.denied) {
		return false, pin.ErrDenied
	}
	return m.Blockstore.Has(ctx, c)
}

// Of a real gateway, over HTTP/1.1 and over HTTP/2 with TLS.
func TestRealGateway(t *testing.T) {
	var have []blocks.Block
	for i := range 50 {
		have = append(have, block(strings.Repeat(fmt.Sprint(i), 1000)))
	}
	large := block(strings.Repeat("x", 4<<20))
	empty := block("")
	pb, err := blocks.NewBlockWithCid(have[0].RawData(), cid.NewCidV0(have[0].Cid().Hash()))
	if err != nil {
		t.Fatal(err)
	}
	store := memory{blockstore.NewIdStore(blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))), have[49].Cid()}
	if err := store.PutMany(t.Context(), append(have, large, empty)); err != nil {
		t.Fatal(err)
	}
	handler, err := gateway.New(gateway.Config{Blocks: store, Links: links.Of})
	if err != nil {
		t.Fatal(err)
	}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			var conns atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != proto {
					t.Errorf("it is asked by %s", r.Proto)
				}
				if r.Header.Get("Accept") != "application/vnd.ipld.raw" || r.Header.Get("Accept-Encoding") != "identity" || r.UserAgent() != "holdfast" {
					t.Errorf("the headers are %v", r.Header)
				}
				handler.ServeHTTP(w, r)
			}))
			server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					conns.Add(1)
				}
			}
			c := client(t)
			if proto == "HTTP/2.0" {
				server.EnableHTTP2 = true
				server.StartTLS()
				c = client(t, func(tr *http.Transport) {
					roots := x509.NewCertPool()
					roots.AddCert(server.Certificate())
					tr.TLSClientConfig = &tls.Config{RootCAs: roots}
				})
			} else {
				server.Start()
			}
			defer server.Close()
			p := at(t, server.URL)
			ctx := t.Context()
			if err := c.Probe(ctx, p); err != nil {
				t.Error(err)
			}
			var wg sync.WaitGroup
			for _, b := range append(have[:49:49], large, empty, pb) {
				wg.Go(func() {
					data, err := c.Block(ctx, p, b.Cid())
					if err != nil || !bytes.Equal(data, b.RawData()) {
						t.Errorf("%s: %d bytes, %v", b.Cid(), len(data), err)
					}
					if err := c.Has(ctx, p, b.Cid()); err != nil {
						t.Errorf("has %s: %v", b.Cid(), err)
					}
				})
			}
			wg.Wait()
			for _, k := range []cid.Cid{block("missing").Cid(), have[49].Cid()} {
				if _, err := c.Block(ctx, p, k); !errors.Is(err, ErrNotFound) {
					t.Errorf("get what it does not give: %v", err)
				}
				if err := c.Has(ctx, p, k); !errors.Is(err, ErrNotFound) {
					t.Errorf("has what it does not give: %v", err)
				}
			}
			if n := conns.Load(); n > connsPerHost || n == 0 {
				t.Errorf("%d connections were opened, at most %d may be", n, connsPerHost)
			}
			c.Close()
			c.Close()
			if err := c.Probe(ctx, p); err != nil {
				t.Errorf("after Close: %v", err)
			}
		})
	}
}

func TestInline(t *testing.T) {
	h, err := multihash.Sum([]byte("inline"), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	p := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked for") })
	k := cid.NewCidV1(cid.Raw, h)
	data, err := client(t).Block(t.Context(), p, k)
	if err != nil || string(data) != "inline" {
		t.Errorf("%q, %v", data, err)
	}
	if err := client(t).Has(t.Context(), p, k); err != nil {
		t.Error(err)
	}
	unknown, err := multihash.Encode([]byte("12345678"), 0x300001)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client(t).Block(t.Context(), p, cid.NewCidV1(cid.Raw, unknown))
	if _, ok := errors.AsType[*BadError](err); err == nil || ok {
		t.Errorf("a hash that nobody knows: %v", err)
	}
}

// gzipped is a bomb: much of nothing.
func gzipped(n int) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	io.Copy(w, io.LimitReader(zeros{}, int64(n)))
	w.Close()
	return buf.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Servers that are no gateway, or a bad one.
func TestBad(t *testing.T) {
	b := block("a block")
	big := block(strings.Repeat("x", 4<<20+1))
	var served atomic.Int64
	for name, c := range map[string]struct {
		k    cid.Cid
		h    http.HandlerFunc
		says string
	}{
		"other bytes": {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("another block")) }, "not the block"},
		"no bytes":    {b.Cid(), func(http.ResponseWriter, *http.Request) {}, "not the block"},
		"fewer bytes": {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.Write(b.RawData()[1:]) }, "not the block"},
		"a page":      {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>welcome</html>") }, "not the block"},
		"a large one": {big.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.Write(big.RawData()) }, "bytes for a block"},
		"without end": {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { n, _ := io.Copy(w, zeros{}); served.Add(n) }, "more than 4194304 bytes"},
		"says so":     {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999999") }, "has 99999999999 bytes"},
		"an error":    {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh no", 500) }, "answers 500"},
		"no such":     {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "answers 204"},
		"a part":      {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206); w.Write(b.RawData()) }, "answers 206"},
		"who are you": {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "answers 401"},
		"bad request": {b.Cid(), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, "answers 400"},
		"in circles":  {b.Cid(), func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, "more than the 3"},
		"to a file": {b.Cid(), func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, `a URL of "file"`},
		"nowhere":      {b.Cid(), func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(302) }, "302"},
		"a bomb":       {b.Cid(), encoded("gzip", gzipped(64<<20)), `encodes a block as "gzip"`},
		"a known bomb": {b.Cid(), encoded("br", []byte("x")), `encodes a block as "br"`},
		// Go would take this off by itself, had it asked for it.
		"its own gzip": {b.Cid(), encoded("GZIP", gzipped(10)), "encodes a block"},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, c.h)
			data, err := client(t).Block(t.Context(), p, c.k)
			_, ok := errors.AsType[*BadError](err)
			if name == "nowhere" { // what Go makes of it is not ours
				ok = err != nil
			}
			if !ok || !strings.Contains(err.Error(), c.says) || data != nil {
				t.Errorf("%d bytes, %v", len(data), err)
			}
		})
	}
	if n := served.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken of an answer without end", n)
	}
}

func encoded(as string, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", as)
		w.Write(data)
	}
}

func TestNotFound(t *testing.T) {
	b := block("a block")
	for name, h := range map[string]http.HandlerFunc{
		"404": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
		"410": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) },
		"403": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"451": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(451) },
		"500": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ipld: could not find node", 500) },
		"404, without end": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			io.Copy(w, zeros{})
		},
	} {
		if _, err := client(t).Block(t.Context(), serve(t, h), b.Cid()); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBusy(t *testing.T) {
	b := block("a block")
	for _, c := range []struct {
		status int
		after  string
		want   time.Duration
	}{
		{429, "7", 7 * time.Second},
		{503, "0", 0},
		{503, "", 0},
		{502, "", 0},
		{504, "120", 2 * time.Minute},
		{429, noon.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second},
		{429, noon.Add(-time.Hour).Format(http.TimeFormat), 0},
		{429, "-5", 0},
		{429, "soon", 0},
		{429, "99999999", time.Hour},
		{429, "999999999999999999999", 0},
		{429, noon.Add(1000 * time.Hour).Format(http.TimeFormat), time.Hour},
	} {
		p := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.after)
			w.WriteHeader(c.status)
		})
		_, err := client(t).Block(t.Context(), p, b.Cid())
		busy, ok := errors.AsType[*BusyError](err)
		if !ok || busy.Status != c.status || busy.RetryAfter != c.want {
			t.Errorf("%d, Retry-After %q: %v", c.status, c.after, err)
		}
	}
}

func TestRedirectIsFollowed(t *testing.T) {
	b := block("a block")
	there := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/vnd.ipld.raw" {
			t.Errorf("after a redirect the headers are %v", r.Header)
		}
		w.Write(b.RawData())
	})
	here := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, there.String()+r.URL.String(), http.StatusMovedPermanently)
	})
	if data, err := client(t).Block(t.Context(), here, b.Cid()); err != nil || !bytes.Equal(data, b.RawData()) {
		t.Errorf("%q, %v", data, err)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody is there any more
	cut := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte("half"))
		panic(http.ErrAbortHandler)
	})
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	for name, p := range map[string]Provider{
		"nobody": at(t, "http://"+l.Addr().String()), "cut off": cut, "no TLS": at(t, strings.Replace(plain.String(), "http:", "https:", 1)),
	} {
		_, err := client(t).Block(t.Context(), p, block("a block").Cid())
		if _, ok := errors.AsType[*UnreachableError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	hangs := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := client(t).Block(ctx, hangs, block("a block").Cid()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	} else if _, ok := errors.AsType[*UnreachableError](err); ok {
		t.Errorf("cancelled, and the gateway is blamed: %v", err)
	}
}
