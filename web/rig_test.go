package web

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/auth/authtest"
	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/rpc"
)

const (
	anna     = "anna@example.org" // an admin
	ben      = "ben@example.org"
	password = "correct horse battery"
	someCID  = "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
	otherCID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
)

// rig is a dashboard over accounts and pins in memory.
type rig struct {
	t       *testing.T
	ui      *UI
	auth    *auth.Service
	audit   auth.Audit
	records *pintest.Records
	pins    *watchedPins
	lines   *logtest.Lines
	server  *httptest.Server
	blocks  blockstore.Blockstore
	ids     map[string]string       // of the accounts, by address
	onPut   func(data []byte) error // of an upload; nil is nothing
}

// watchedPins lets a test change what a view says, and fail.
type watchedPins struct {
	*pin.Offline
	mu   sync.Mutex
	info func(*pin.View)
	fail error
}

func (w *watchedPins) look(v pin.View) pin.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.info != nil {
		w.info(&v)
	}
	return v
}

func (w *watchedPins) set(info func(*pin.View), fail error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.info, w.fail = info, fail
}

func (w *watchedPins) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fail
}

func (w *watchedPins) Get(ctx context.Context, account, id string) (pin.View, error) {
	if err := w.fault(); err != nil {
		return pin.View{}, err
	}
	v, err := w.Offline.Get(ctx, account, id)
	return w.look(v), err
}

func (w *watchedPins) List(ctx context.Context, account string, q pin.Query) (pin.ViewPage, error) {
	if err := w.fault(); err != nil {
		return pin.ViewPage{}, err
	}
	p, err := w.Offline.List(ctx, account, q)
	for i := range p.Views {
		p.Views[i] = w.look(p.Views[i])
	}
	return p, err
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newEmptyRig(t, change...)
	for email, admin := range map[string]bool{anna: true, ben: false} {
		a, err := r.auth.AddAccount(t.Context(), auth.NewAccount{Email: email, Password: password, Admin: admin})
		if err != nil {
			t.Fatal(err)
		}
		r.ids[email] = a.ID
	}
	return r
}

// newEmptyRig is a rig without accounts.
func newEmptyRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, lines: new(logtest.Lines), ids: map[string]string{}, records: pintest.NewRecords(time.Now)}
	log := slog.New(slog.NewTextHandler(r.lines, nil))
	keys, err := auth.OpenKeys(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	no := auth.Rate{Burst: -1}
	accounts := authtest.NewAccounts()
	r.audit = accounts
	r.auth, err = auth.New(auth.Config{
		HashCost: auth.HashCost{Memory: 8, Iterations: 1}, Log: log,
		Limits: auth.Limits{Address: no, Account: no, Register: no, Refresh: no, Changes: no, Token: no},
		Usage: func(ctx context.Context, account string) (auth.Usage, error) {
			u, err := r.records.Usage(ctx, account)
			return auth.Usage{Bytes: u.Bytes, Pins: int(u.Pins)}, err
		},
	}, accounts, keys)
	if err != nil {
		t.Fatal(err)
	}
	r.pins = &watchedPins{Offline: pin.NewOffline(r.records, nil)}
	e := echo.New()
	r.content(e)
	cfg := Config{
		Auth: r.auth, Pins: r.pins, API: e, SessionTTL: time.Hour, Logger: log,
		Delegates: func() []string {
			return []string{"/ip4/127.0.0.1/tcp/4040/p2p/12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"}
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	if r.ui, err = Register(e, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.ui.Close)
	r.server = httptest.NewServer(e)
	t.Cleanup(r.server.Close)
	return r
}

// browser keeps cookies and follows no redirects.
type browser struct {
	t    *testing.T
	rig  *rig
	http *http.Client
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &browser{r.t, r, &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// as is a browser that is signed in.
func (r *rig) as(email string) *browser {
	r.t.Helper()
	b := r.browser()
	if a := b.post("/ui/signin", url.Values{"email": {email}, "password": {password}}); a.status != http.StatusSeeOther {
		r.t.Fatalf("sign in answers %d: %s", a.status, a.body)
	}
	return b
}

// answer is what a browser got.
type answer struct {
	status int
	header http.Header
	body   string
}

// to is where a redirect leads.
func (a answer) to() string { return a.header.Get("Location") }

func (b *browser) do(method, path string, form url.Values, header ...string) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.rig.server.URL+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			req.AddCookie(&http.Cookie{Name: cookieName, Value: b.session()}) // the jar has it for another host
		}
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(all)}
}

func (b *browser) get(path string, header ...string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil, header...)
}

func (b *browser) post(path string, form url.Values, header ...string) answer {
	b.t.Helper()
	return b.do(http.MethodPost, path, form, header...)
}

// session is the token in the browser's cookie.
func (b *browser) session() string {
	b.t.Helper()
	u, err := url.Parse(b.rig.server.URL + Base)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == cookieName {
			return c.Value
		}
	}
	return ""
}

// withToken is a browser whose cookie has a token.
func (r *rig) withToken(raw string) *browser {
	r.t.Helper()
	b := r.browser()
	u, err := url.Parse(r.server.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: cookieName, Value: raw, Path: Base}})
	return b
}

// pin adds a pin for an account.
func (r *rig) pin(email, text, name string) pin.View {
	r.t.Helper()
	root, err := pin.ParseCID(text)
	if err != nil {
		r.t.Fatal(err)
	}
	v, err := r.pins.Add(r.t.Context(), r.ids[email], pin.Spec{CID: text, Root: root, Name: name})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// content serves Kubo's RPC over blocks in memory.
func (r *rig) content(e *echo.Echo) {
	r.blocks = blockstore.NewIdStore(blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore())))
	err := rpc.Register(e.Group("/api/v0"), rpc.Config{
		Pins: r.pins, Upload: func(context.Context, string) (rpc.Upload, error) { return intake{r}, nil }, Blocks: r.blocks, Links: links.Of, Node: func() rpc.Node { return rpc.Node{} },
		Seen:        func() dagcar.Seen { return seen.New(r.t.TempDir(), func() int { return 1000 }) },
		Repo:        struct{ rpc.Repo }{}, // no page asks for these
		Providers:   func(context.Context, cid.Cid) iter.Seq[peer.AddrInfo] { return func(func(peer.AddrInfo) bool) {} },
		Connections: func() []rpc.Connection { return nil },
		Above:       func(context.Context, cid.Cid, int) ([]pin.DAG, bool, error) { return nil, true, nil },
		Auth: func(scope auth.Scope) echo.MiddlewareFunc {
			return authhttp.ForScope(r.auth, scope, func(_ echo.Context, err error) error { return err })
		},
		Logger: slog.New(slog.NewTextHandler(r.lines, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// intake is an upload whose blocks are there at once, and whose pins are whole.
type intake struct{ r *rig }

func (in intake) Put(ctx context.Context, c cid.Cid, data []byte) error {
	if in.r.onPut != nil {
		if err := in.r.onPut(data); err != nil {
			return err
		}
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return err
	}
	return in.r.blocks.Put(ctx, b)
}

func (in intake) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := in.r.blocks.Get(ctx, c)
	if err != nil {
		return nil, err
	}
	return b.RawData(), nil
}

func (in intake) Flush(context.Context) error                         { return nil }
func (in intake) Lacks(context.Context, cid.Cid) (c cid.Cid, e error) { return cid.Undef, nil }
func (in intake) HoldFor(v pin.View)                                  { in.r.complete(v) }
func (in intake) Charged()                                            {}
func (in intake) Close() error                                        { return nil }

// complete makes a pin whole.
func (r *rig) complete(v pin.View) {
	a, _, err := r.records.Begin(context.Background(), v.DAG())
	if err == nil {
		_, _, err = r.records.Complete(context.Background(), v.DAG(), a, pin.Totals{Blocks: 3, Bytes: 3 << 20})
	}
	if err != nil {
		r.t.Error(err)
	}
}

// tree stores a directory with files, whose names may have directories in them, and gives its
// CID.
func (r *rig) tree(files map[string][]byte) string {
	r.t.Helper()
	dag := merkledag.NewDAGService(blockservice.New(r.blocks, offline.Exchange(r.blocks)))
	var store func(map[string][]byte) ipld.Node
	store = func(files map[string][]byte) ipld.Node {
		dir, err := uio.NewDirectory(dag)
		if err != nil {
			r.t.Fatal(err)
		}
		below := map[string]map[string][]byte{}
		add := func(name string, nd ipld.Node) {
			if err := errors.Join(dag.Add(r.t.Context(), nd), dir.AddChild(r.t.Context(), name, nd)); err != nil {
				r.t.Fatal(err)
			}
		}
		for name, data := range files {
			if parent, rest, deeper := strings.Cut(name, "/"); deeper {
				if below[parent] == nil {
					below[parent] = map[string][]byte{}
				}
				below[parent][rest] = data
				continue
			}
			add(name, merkledag.NewRawNode(data))
		}
		for name, files := range below {
			add(name, store(files))
		}
		nd, err := dir.GetNode()
		if err == nil {
			err = dag.Add(r.t.Context(), nd)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		return nd
	}
	return store(files).Cid().String()
}

// pinned is a pin that is whole.
func (r *rig) pinned(email, cid, name string) pin.View {
	r.t.Helper()
	v := r.pin(email, cid, name)
	r.complete(v)
	return v
}

// failed is a pin that has failed.
func (r *rig) failed(email, cid, name, why string) pin.View {
	r.t.Helper()
	v := r.pin(email, cid, name)
	if _, err := r.records.Fail(r.t.Context(), v.DAG(), why); err != nil {
		r.t.Fatal(err)
	}
	return v
}

// must fails the test unless the answer has the status and all of the texts.
func (a answer) must(t *testing.T, status int, texts ...string) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("the answer is %d, want %d: %s", a.status, status, a.body)
	}
	for _, s := range texts {
		if !strings.Contains(a.body, s) {
			t.Fatalf("the page does not have %q:\n%s", s, a.body)
		}
	}
	return a
}

// noFaults fails the test if the log has a fault.
func (r *rig) noFaults() {
	r.t.Helper()
	for line := range strings.Lines(r.lines.String()) {
		if strings.Contains(line, "level=ERROR") {
			r.t.Errorf("the log has %s", line)
		}
	}
}

var errCheese = errors.New("the disk is made of cheese")
