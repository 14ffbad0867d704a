package gateway

import (
	"bytes"
	"context"
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
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// website is a directory, by paths of its files. It is in CIDv1.
type website struct {
	all  []blocks.Block
	root cid.Cid
	file map[string]cid.Cid
}

func newWebsite(t *testing.T, files map[string]string) *website {
	t.Helper()
	s := &website{file: map[string]cid.Cid{}}
	dirs := map[string]*merkledag.ProtoNode{"": newDir()}
	add := func(dir, name string, nd ipld.Node) {
		s.all = append(s.all, nd)
		if err := dirs[dir].AddNodeLink(name, nd); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range files {
		dir, name, below := strings.Cut(path, "/")
		if !below {
			dir, name = "", path
		} else if dirs[dir] == nil {
			dirs[dir] = newDir()
		}
		nd := merkledag.NewRawNode([]byte(text))
		s.file[path] = nd.Cid()
		add(dir, name, nd)
	}
	for name, nd := range dirs {
		if name != "" {
			s.file[name] = nd.Cid()
			add("", name, nd)
		}
	}
	s.all = append(s.all, dirs[""])
	s.root = dirs[""].Cid()
	return s
}

func newDir() *merkledag.ProtoNode {
	d := unixfs.EmptyDirNode()
	if err := d.SetCidBuilder(merkledag.V1CidPrefix()); err != nil {
		panic(err)
	}
	return d
}

var page = map[string]string{
	"index.html": "<h1>hello</h1>", "a.txt": "0123456789", "sub/b.txt": "below", "404.html": "not found here",
	"_redirects": "/old /a.txt 301\n/app/* /index.html 200\n/hidden /sub/b.txt 200\n/* /404.html 404\n",
}

const (
	subHost, pathHost, linkHost = "dweb.example.org", "192.0.2.1", "www.example.org"
	theirPolicy                 = "default-src 'none'"
)

// town is a gateway for people.
type town struct {
	*httptest.Server
	site  *website
	shop  *shop
	texts map[string][]string // the records of names
	asked atomic.Int32
	deny  map[string]bool // paths

	mu         sync.Mutex
	incomplete bool
}

func newTown(t *testing.T) *town {
	t.Helper()
	v := &town{site: newWebsite(t, page), deny: map[string]bool{}}
	v.texts = map[string][]string{"_dnslink." + linkHost + ".": {"dnslink=/ipfs/" + v.site.root.String()}}
	v.shop = newShop(t, v.site.all...)
	inner := newServer(t, Config{
		Blocks: v.shop,
		DeniedPath: func(p string) error {
			if v.deny[p] {
				return pin.ErrDenied
			}
			return nil
		},
		People: &People{
			Hosts: []string{subHost}, PathHosts: []string{pathHost}, DNSLinkHosts: []string{linkHost},
			LookupTXT: func(_ context.Context, name string) ([]string, error) {
				v.asked.Add(1)
				if texts, ok := v.texts[name]; ok {
					return texts, nil
				}
				return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			},
			Complete: func(context.Context, cid.Cid) (bool, error) {
				v.mu.Lock()
				defer v.mu.Unlock()
				return !v.incomplete, nil
			},
		},
	}).Config.Handler
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", theirPolicy) // as the server sets it for its API
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(v.Close)
	return v
}

// ask asks a host for a path, and follows no redirect.
func (v *town) ask(t *testing.T, host, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func (v *town) sub() string { return v.site.root.String() + ".ipfs." + subHost }

func TestPeople(t *testing.T) {
	v := newTown(t)
	root := "/ipfs/" + v.site.root.String()
	for _, c := range []struct {
		what, host, path string
		header           []string
		status           int
		body             string // some of it
		location, policy string
	}{
		{"a path leads to a subdomain", subHost, root + "/sub/", nil, 301, "", "http://" + v.sub() + "/sub/", theirPolicy},
		{"with a port", subHost + ":8080", root + "/", nil, 301, "", "http://" + v.sub() + ":8080/", theirPolicy},
		{"over TLS", subHost, root + "/", []string{"X-Forwarded-Proto", "https"}, 301, "", "https://" + v.sub() + "/", theirPolicy},
		{"a website", v.sub(), "/", nil, 200, "<h1>hello</h1>", "", ""},
		{"a website with a port", v.sub() + ":8080", "/", nil, 200, "<h1>hello</h1>", "", ""},
		{"a file", v.sub(), "/a.txt", nil, 200, "0123456789", "", ""},
		{"a range", v.sub(), "/a.txt", []string{"Range", "bytes=3-5"}, 206, "345", "", ""},
		{"the end", v.sub(), "/a.txt", []string{"Range", "bytes=-2"}, 206, "89", "", ""},
		{"a directory without a slash", v.sub(), "/sub", nil, 301, "", "/sub/", ""},
		{"a page of a directory", v.sub(), "/sub/", nil, 200, `href="/sub/b.txt"`, "", ""},
		{"a redirect", v.sub(), "/old", nil, 301, "", "/a.txt", ""},
		{"a rewrite", v.sub(), "/app/any/where", nil, 200, "<h1>hello</h1>", "", ""},
		{"what is not there", v.sub(), "/none", nil, 404, "not found here", "", ""},
		{"a website by path", pathHost, root + "/", nil, 200, "<h1>hello</h1>", "", sandbox},
		{"by path and port", pathHost + ":8080", root + "/a.txt", nil, 200, "0123456789", "", sandbox},
		{"redirects need an origin", pathHost, root + "/old", nil, 404, "", "", sandbox},
		{"a website by DNSLink", linkHost, "/", nil, 200, "<h1>hello</h1>", "", ""},
		{"a file by DNSLink", linkHost, "/sub/b.txt", nil, 200, "below", "", ""},
		{"a redirect by DNSLink", linkHost, "/old", nil, 301, "", "/a.txt", ""},
		{"other content under a name", linkHost, root + "/a.txt", nil, 404, "", "", ""},
		{"a name at a gateway", pathHost, "/ipns/" + linkHost + "/a.txt", nil, 200, "0123456789", "", sandbox},
		{"a name that nobody gave", pathHost, "/ipns/other.example.org/", nil, 404, "only /ipfs/CID", "", sandbox},
		{"a key", pathHost, "/ipns/k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxyzqj2xjonzllnv0v8/", nil, 404, "only /ipfs/CID", "", sandbox},
		{"a key as a subdomain", "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxyzqj2xjonzllnv0v8.ipns." + subHost, "/", nil, 404, "", "", ""},
		{"a host that nobody gave", "evil.example.com", root + "/", nil, 406, "trustless", "", theirPolicy},
		{"another name of the server", "localhost", root + "/", nil, 406, "trustless", "", theirPolicy},
		{"a subdomain of a path host", v.site.root.String() + ".ipfs." + pathHost, "/", nil, 404, "", "", theirPolicy},
		{"a raw block of any host", "evil.example.com", "/ipfs/" + v.site.file["a.txt"].String() + "?format=raw", nil, 200, "0123456789", "", theirPolicy},
		{"what is not here", blocks.NewBlock([]byte("x")).Cid().String() + ".ipfs." + subHost, "/", nil, 404, "is not here", "", ""},
		{"the gateway's own name", subHost, "/", nil, 404, "", "", theirPolicy},
	} {
		t.Run(c.what, func(t *testing.T) {
			answer, body := v.ask(t, c.host, c.path, c.header...)
			if answer.StatusCode != c.status || !strings.Contains(body, c.body) {
				t.Errorf("%s with %q, want %d with %q", answer.Status, body, c.status, c.body)
			}
			if got := answer.Header.Get("Location"); c.location != "" && got != c.location {
				t.Errorf("it leads to %q, want %q", got, c.location)
			}
			if got := answer.Header.Get("Content-Security-Policy"); got != c.policy {
				t.Errorf("the policy is %q, want %q", got, c.policy)
			}
		})
	}
	if n := v.asked.Load(); n != 1 {
		t.Errorf("the records of the host were looked up %d times within a minute", n)
	}
}

// A name may not lead to other names, which its owner and not the operator would choose.
func TestDNSLinkToANameIsNotFollowed(t *testing.T) {
	v := newTown(t)
	v.texts["_dnslink."+linkHost+"."] = []string{"dnslink=/ipns/other.example.org"}
	v.texts["_dnslink.other.example.org."] = []string{"dnslink=/ipfs/" + v.site.root.String()}
	if answer, body := v.ask(t, linkHost, "/a.txt"); answer.StatusCode != http.StatusBadGateway {
		t.Errorf("%s %q", answer.Status, body)
	}
	if n := v.asked.Load(); n != 1 {
		t.Errorf("%d names were looked up", n)
	}
}

// A path behind a name or a rewrite is no longer than one of a request.
func TestLongPathsOfWebsites(t *testing.T) {
	v := newTown(t)
	long := strings.Repeat("/a", maxSegments+1)
	v.texts["_dnslink."+linkHost+"."] = []string{"dnslink=/ipfs/" + v.site.root.String() + long}
	if answer, body := v.ask(t, linkHost, "/a.txt"); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "segments") {
		t.Errorf("behind a name: %s %q", answer.Status, body)
	}
	site := newWebsite(t, map[string]string{"_redirects": "/old " + long + " 200\n"})
	if err := v.shop.PutMany(t.Context(), site.all); err != nil {
		t.Fatal(err)
	}
	if answer, body := v.ask(t, site.root.String()+".ipfs."+subHost, "/old"); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "segments") {
		t.Errorf("behind a rewrite: %s %q", answer.Status, body)
	}
}

// What is denied is gone also where the path that is denied is not that of the request.
func TestPeopleGetNothingDenied(t *testing.T) {
	root := func(v *town) string { return "/ipfs/" + v.site.root.String() }
	for what, c := range map[string]struct {
		deny       func(v *town)
		host, path string // "" is the subdomain
	}{
		"a file":                    {func(v *town) { v.shop.deny(v.site.file["a.txt"]) }, "", "/a.txt"},
		"the website":               {func(v *town) { v.shop.deny(v.site.root) }, "", "/a.txt"},
		"the website, of its name":  {func(v *town) { v.shop.deny(v.site.root) }, linkHost, "/a.txt"},
		"a path":                    {func(v *town) { v.deny[root(v)+"/a.txt"] = true }, "", "/a.txt"},
		"a path, behind a name":     {func(v *town) { v.deny[root(v)+"/a.txt"] = true }, linkHost, "/a.txt"},
		"a path, behind a rewrite":  {func(v *town) { v.deny[root(v)+"/sub/b.txt"] = true }, "", "/hidden"},
		"the page of a directory":   {func(v *town) { v.deny[root(v)+"/index.html"] = true }, "", "/"},
		"the name":                  {func(v *town) { v.deny["/ipns/"+linkHost+"/a.txt"] = true }, linkHost, "/a.txt"},
		"a path, as an archive":     {func(v *town) { v.deny[root(v)+"/sub"] = true }, "", "/sub?format=tar"},
		"a path, as a CAR":          {func(v *town) { v.deny[root(v)+"/a.txt"] = true }, linkHost, "/a.txt?format=car"},
		"a file, though not needed": {func(v *town) { v.shop.deny(v.site.file["a.txt"]) }, "", "/a.txt?format=tar"},
	} {
		t.Run(what, func(t *testing.T) {
			v := newTown(t)
			host := c.host
			if host == "" {
				host = v.sub()
			}
			if answer, body := v.ask(t, host, c.path); answer.StatusCode != http.StatusOK {
				t.Fatalf("before: %s %q", answer.Status, body)
			}
			c.deny(v)
			if answer, body := v.ask(t, host, c.path); answer.StatusCode != http.StatusGone || strings.Contains(body, "0123456789") {
				t.Errorf("after: %s %q", answer.Status, body)
			}
		})
	}
}

// Of a pin that is not complete people get nothing, as a page would lack parts; who checks what
// comes gets what there is.
func TestIncompletePins(t *testing.T) {
	v := newTown(t)
	v.incomplete = true
	if answer, body := v.ask(t, v.sub(), "/a.txt"); answer.StatusCode != http.StatusNotFound || !strings.Contains(body, "is not here") {
		t.Errorf("%s %q", answer.Status, body)
	}
	path := "/ipfs/" + v.site.file["a.txt"].String()
	if answer, body := v.ask(t, pathHost, path+"?format=raw"); answer.StatusCode != http.StatusOK {
		t.Errorf("raw: %s %q", answer.Status, body)
	}
	for _, c := range []struct {
		accept []string
		served string // the type of what can be checked, and "" if nothing comes
	}{
		{[]string{"application/vnd.ipld.car"}, "application/vnd.ipld.car"},
		{[]string{"text/html, application/vnd.ipld.CAR;version=1"}, "application/vnd.ipld.car"},
		{[]string{"text/html", "application/vnd.ipld.raw"}, "application/vnd.ipld.raw"},
		{[]string{"application/vnd.ipld.raw,application/json"}, "application/vnd.ipld.raw"},
		{[]string{"text/html;application/vnd.ipld.raw"}, ""},
		{[]string{"text/html;q=application/vnd.ipld.car"}, ""},
		{[]string{"application/json, application/vnd.ipld.raw"}, ""},
		{[]string{"application/x-tar", "application/vnd.ipld.car"}, ""},
		{[]string{"application/vnd.ipld.rawer"}, ""},
		{[]string{"application/vnd.ipld.raw;="}, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host, r.Header["Accept"] = pathHost, c.accept
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		status := http.StatusNotFound
		if c.served != "" {
			status = http.StatusOK
		}
		if kind := answer.Header.Get("Content-Type"); answer.StatusCode != status || c.served != "" && !strings.HasPrefix(kind, c.served) {
			t.Errorf("Accept: %q: %s, %s; want %d, %s", c.accept, answer.Status, kind, status, c.served)
		}
	}
}

// A file of which a block cannot be read is an error, or cut off. Other parts of it come.
func TestFilesInParts(t *testing.T) {
	l := newLarge(t)
	server := newServer(t, Config{Blocks: l.shop, People: &People{PathHosts: []string{"127.0.0.1"}}})
	url := server.URL + "/ipfs/" + l.root.String() + "/deep-raw"
	answer, body, err := get(t, url)
	if err != nil || answer.StatusCode != http.StatusOK || len(body) != 5050 {
		t.Fatalf("%s, %d bytes, %v", answer.Status, len(body), err)
	}
	l.unreadable = merkledag.NewRawNode(body[3000:3100]).Cid()
	if answer, body, err := get(t, url); err == nil && answer.StatusCode != http.StatusInternalServerError {
		t.Errorf("%s, with %d bytes of 5050 and no error", answer.Status, len(body))
	}
	if answer, part, err := get(t, url, "Range", "bytes=100-299"); err != nil || answer.StatusCode != http.StatusPartialContent || !bytes.Equal(part, body[100:300]) {
		t.Errorf("another part: %s, %d bytes, %v", answer.Status, len(part), err)
	}
	if answer, body, err := get(t, server.URL+"/ipfs/"+l.root.String()+"/sharded/"); err != nil || strings.Count(string(body), ">f") != 600 {
		t.Errorf("a sharded directory: %s, %d entries, %v", answer.Status, strings.Count(string(body), ">f"), err)
	}
}

// A directory has so many entries on a page, and then an error in place of more memory.
func TestManyEntries(t *testing.T) {
	for _, tt := range []struct{ n, name, want int }{
		{maxListed, 10, maxListed}, {maxListed + 1, 10, maxListed}, {maxListed + 100, 10, maxListed},
		{4, maxNames / 4, 4}, {5, maxNames / 4, 4}, {100, maxNames + 1, 0},
	} {
		n := tt.n
		ctx, cancel := context.WithCancel(t.Context())
		all := make(chan unixfs.LinkResult)
		go func() {
			defer close(all)
			for i := range n {
				select {
				case all <- unixfs.LinkResult{Link: &ipld.Link{Name: fmt.Sprint(strings.Repeat("n", tt.name-5), 10000+i)}}:
				case <-ctx.Done():
					return
				}
			}
		}()
		got := 0
		var err error
		for e := range limited(ctx, all) {
			if e.Err != nil {
				err = e.Err
			} else {
				got++
			}
		}
		if got != tt.want || (err != nil) != (n > tt.want) {
			t.Errorf("%d entries with names of %d bytes: %d came, and %v", n, tt.name, got, err)
		}
		cancel()
	}
}

// DNSLinks are looked up once in a minute. If the name server is away, the last answer stays;
// if the name is, it goes.
func TestDNSLinksAreLookedUpOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			asked int
			texts = []string{"one"}
			fail  error
		)
		d := newDNSLinks(&People{DNSLinkHosts: []string{linkHost}, LookupTXT: func(ctx context.Context, _ string) ([]string, error) {
			asked++
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return texts, fail
		}})
		look := func(want string, lookups int) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // whoever asks first may hang up
			got, ttl, err := d.texts(ctx, "_dnslink."+linkHost+".")
			if want == "" && err == nil || want != "" && (err != nil || strings.Join(got, " ") != want) {
				t.Errorf("%v, %v, want %q", got, err, want)
			}
			if asked != lookups || ttl <= 0 || ttl > linkAge {
				t.Errorf("%d lookups, want %d; it is said to hold for %v", asked, lookups, ttl)
			}
		}
		look("one", 1)
		texts = []string{"two"}
		time.Sleep(linkAge - time.Second)
		look("one", 1)
		time.Sleep(time.Second)
		look("two", 2)
		texts, fail = nil, errors.New("the name server is away")
		time.Sleep(linkAge)
		look("two", 3)
		look("two", 3)
		fail = &net.DNSError{IsNotFound: true}
		time.Sleep(linkAge)
		look("", 4)
		look("", 4)
		texts, fail = []string{"three"}, nil
		time.Sleep(linkAge)
		look("three", 5)
	})
}
