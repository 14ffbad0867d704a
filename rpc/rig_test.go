package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/internal/dagcar"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/node/seen"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// world is what the commands stand on, in memory. Its pins hold DAGs that are whole.
type world struct {
	t      *testing.T
	blocks *faulty
	dag    ipld.DAGService
	url    string
	lines  *logtest.Lines
	server *httptest.Server

	stopping atomic.Bool

	mu     sync.Mutex
	pins   map[string][]pin.Request // of each account
	made   int
	onGet  func(*pin.View)
	onList func(page int) error // nil is nothing; pages of a call count from 1
	refuse error                // of Add
	// onAdd is called before a request is made.
	onAdd func()
	// onReplace is called before a request is replaced, and forgotten.
	onReplace func()
	denied    func(path string) error
	onPut     func(blocks int) error // of an upload, nil is nothing
	live      int                    // uploads that are not closed
	// providers and connections are what the network has.
	providers   []peer.AddrInfo
	connections []Connection
	quota       pin.Quota
	// crowded has Above look at too few links to find anything.
	crowded bool
}

// faulty is a block store that fails as it is told to.
type faulty struct {
	blockstore.Blockstore
	mu   sync.Mutex
	fail func(cid.Cid) error // nil does not
}

func (f *faulty) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	f.mu.Lock()
	fail := f.fail
	f.mu.Unlock()
	if fail != nil {
		if err := fail(c); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil { // as the store that is on disk
		return nil, err
	}
	return f.Blockstore.Get(ctx, c)
}

func (f *faulty) set(fail func(cid.Cid) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func newWorld(t *testing.T, change ...func(*http.Server)) *world {
	t.Helper()
	store := &faulty{Blockstore: blockstore.NewIdStore(blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore())))}
	w := &world{t: t, blocks: store, lines: new(logtest.Lines), pins: map[string][]pin.Request{}}
	w.dag = merkledag.NewDAGService(blockservice.New(store, offline.Exchange(store)))
	e := echo.New()
	if err := Register(e.Group("/api/v0"), w.config()); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewUnstartedServer(e)
	for _, c := range change {
		c(w.server.Config)
	}
	w.server.Start()
	t.Cleanup(w.server.Close)
	w.url = w.server.URL + "/api/v0/"
	return w
}

// config is of a world's commands.
func (w *world) config() Config {
	return Config{
		Pins: w, Upload: w.upload, Blocks: w.blocks, Above: w.above, Links: w.links,
		Seen: func() dagcar.Seen { return seen.New(w.t.TempDir(), func() int { return 1000 }) },
		DeniedPath: func(path string) error {
			if w.denied == nil {
				return nil
			}
			return w.denied(path)
		},
		Node: func() Node {
			return Node{ID: "12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi", PublicKey: "a2V5", Addresses: []string{"/ip4/127.0.0.1/tcp/1"}, Version: "v1.2.3"}
		},
		Repo: w,
		Providers: func(ctx context.Context, _ cid.Cid) iter.Seq[peer.AddrInfo] {
			return func(yield func(peer.AddrInfo) bool) {
				for _, p := range w.providers {
					if ctx.Err() != nil || !yield(p) {
						return
					}
				}
			}
		},
		Connections: func() []Connection { return w.connections },
		Auth: func(scope auth.Scope) echo.MiddlewareFunc {
			return func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c echo.Context) error {
					account, ok := strings.CutPrefix(c.Request().Header.Get("Authorization"), "Bearer ")
					if !ok {
						return auth.ErrTokenMissing
					}
					account, looks := strings.CutSuffix(account, " looks")
					account, rules := strings.CutSuffix(account, " rules")
					p := auth.Principal{Account: account, Scope: auth.ScopePin}
					if looks {
						p.Scope = auth.ScopeRead
					}
					if rules {
						p.Admin, p.Scope = true, auth.ScopeAdmin
					}
					if err := p.Require(scope); err != nil {
						return err
					}
					c.SetRequest(c.Request().WithContext(auth.WithPrincipal(c.Request().Context(), p)))
					return next(c)
				}
			}
		},
		Stopping: w.stopping.Load,
		Logger:   slog.New(slog.NewTextHandler(w.lines, nil)),
	}
}

// List implements Pins, as far as the commands ask.
func (w *world) List(ctx context.Context, account string, q pin.Query) (page pin.ViewPage, err error) {
	if err := ctx.Err(); err != nil {
		return page, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.onList != nil {
		number := 1
		if !q.Before.IsZero() {
			number = 2
		}
		if err := w.onList(number); err != nil {
			return page, err
		}
	}
	for _, r := range slices.Backward(w.pins[account]) {
		if slices.Contains(q.Statuses, r.Status) && (q.DAGs == nil || slices.Contains(q.DAGs, r.DAG())) && len(page.Views) < q.Limit &&
			(q.Before.IsZero() || r.Created.Before(q.Before)) && strings.Contains(r.Name, q.Name) {
			page.Views = append(page.Views, pin.View{Request: r})
		}
	}
	return page, nil
}

func (w *world) Add(_ context.Context, account string, s pin.Spec) (pin.View, error) {
	if w.onAdd != nil {
		w.onAdd()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return pin.View{}, w.refuse
	}
	w.made++
	r := pin.Request{ID: fmt.Sprint(w.made), Account: account, Spec: s, Status: pin.Queued, Created: time.UnixMilli(int64(w.made))}
	w.pins[account] = append(w.pins[account], r)
	return pin.View{Request: r}, nil
}

func (w *world) Replace(ctx context.Context, account, id string, s pin.Spec) (pin.View, error) {
	if on := w.onReplace; on != nil {
		w.onReplace = nil
		on()
	}
	if err := w.Remove(ctx, account, id); err != nil {
		return pin.View{}, err
	}
	return w.Add(ctx, account, s)
}

func (w *world) Remove(_ context.Context, account, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.pins[account], func(r pin.Request) bool { return r.ID == id })
	if i < 0 {
		return pin.ErrNotFound
	}
	w.pins[account] = slices.Delete(w.pins[account], i, i+1)
	return nil
}

// Get has onGet change what the request is by now.
func (w *world) Get(_ context.Context, account, id string) (pin.View, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.pins[account], func(r pin.Request) bool { return r.ID == id })
	if i < 0 {
		return pin.View{}, pin.ErrNotFound
	}
	v := pin.View{Request: w.pins[account][i]}
	if w.onGet != nil {
		w.onGet(&v)
	}
	w.pins[account][i] = v.Request
	return v, nil
}

// links reads what tests make.
func (w *world) links(c cid.Cid, data []byte) (out []cid.Cid, err error) {
	if c.Type() == cid.Raw {
		return nil, nil
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		return nil, err
	}
	nd, err := ipld.Decode(b, merkledag.DecodeProtobufBlock)
	if err != nil {
		if nd, err = w.dag.Get(context.Background(), c); err != nil {
			return nil, pin.Refused("block %s does not decode: %v", c, err)
		}
	}
	for _, l := range nd.Links() {
		out = append(out, l.Cid)
	}
	return out, nil
}

// above goes down from every pin, under the codecs of the links.
func (w *world) above(ctx context.Context, c cid.Cid, limit int) (dags []pin.DAG, whole bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.crowded {
		return nil, false, nil
	}
	for _, requests := range w.pins {
		for _, r := range requests {
			seen := map[cid.Cid]bool{}
			for todo := []cid.Cid{r.Root}; len(todo) > 0; {
				next := todo[0]
				if todo = todo[1:]; seen[next] {
					continue
				}
				seen[next] = true
				if next.Equals(c) || c.Type() == cid.Raw && bytes.Equal(next.Hash(), c.Hash()) {
					dags = append(dags, r.DAG())
					break
				}
				b, err := w.blocks.Blockstore.Get(ctx, next)
				if err != nil {
					continue
				}
				below, err := w.links(next, b.RawData())
				if err != nil {
					return nil, false, err
				}
				todo = append(todo, below...)
			}
		}
	}
	return dags, true, nil
}

// Account implements Repo.
func (w *world) Account(context.Context, string) (pin.Usage, pin.Quota, error) {
	return pin.Usage{Bytes: 3000, Blocks: 3, DAGs: 1, Pins: 2}, w.quota, nil
}

// Storage implements Repo.
func (w *world) Storage(context.Context) (Storage, error) {
	return Storage{Used: 50_000, Room: 20_000}, nil
}

// Blocks implements Repo.
func (w *world) Blocks(context.Context) (uint64, error) { return 77, nil }

// pin makes a request of an account's.
func (w *world) pin(account string, root cid.Cid, status pin.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made++
	w.pins[account] = append(w.pins[account], pin.Request{ID: fmt.Sprint(w.made), Created: time.UnixMilli(int64(w.made)), Account: account, Spec: pin.Spec{CID: root.String(), Root: root}, Status: status})
}

func (w *world) add(nd ipld.Node) ipld.Node {
	w.t.Helper()
	if err := w.dag.Add(w.t.Context(), nd); err != nil {
		w.t.Fatal(err)
	}
	return nd
}

var v1 = cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256}

// file makes a file in chunks of 1,000 bytes, with leaves of the codec raw.
func (w *world) file(data []byte) ipld.Node {
	w.t.Helper()
	params := helpers.DagBuilderParams{Dagserv: w.dag, Maxlinks: 5, RawLeaves: true, CidBuilder: v1}
	b, err := params.New(chunk.NewSizeSplitter(bytes.NewReader(data), 1000))
	if err != nil {
		w.t.Fatal(err)
	}
	nd, err := balanced.Layout(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return nd
}

type entry struct {
	name string
	node ipld.Node
}

// dir makes a directory with whatever names.
func (w *world) dir(entries ...entry) ipld.Node {
	w.t.Helper()
	d := unixfs.EmptyDirNode()
	if err := d.SetCidBuilder(v1); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		if err := d.AddNodeLink(e.name, e.node); err != nil {
			w.t.Fatal(err)
		}
	}
	return w.add(d)
}

func (w *world) symlink(target string) ipld.Node {
	w.t.Helper()
	data, err := unixfs.SymlinkData(target)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.add(merkledag.NodeWithData(data))
}

// answer is what a command answered.
type answer struct {
	status  int
	header  http.Header
	trailer http.Header
	body    []byte
}

// ask calls a command for an account. Arguments begin the query, as in "arg=CID&size=false".
func (w *world) ask(account, command, query string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+command+"?"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if account != "" {
		r.Header.Set("Authorization", "Bearer "+account)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, res.Trailer, body}
}

// good is the body of an answer that is right.
func (w *world) good(account, command, query string) []byte {
	w.t.Helper()
	a := w.ask(account, command, query)
	if trailer := a.trailer.Get(headerStreamError); a.status != http.StatusOK || trailer != "" {
		w.t.Fatalf("%s?%s answers %d %s, and behind it %q", command, query, a.status, a.body, trailer)
	}
	return a.body
}

// refused checks that an answer is an error, and has part of it.
func (w *world) refused(account, command, query string, status int, part string) {
	w.t.Helper()
	a := w.ask(account, command, query)
	var e errorObject
	if err := json.Unmarshal(a.body, &e); err != nil || a.status != status || e.Type != "error" || !strings.Contains(e.Message, part) {
		w.t.Errorf("%s?%s answers %d %s, %v; want %d with %q", command, query, a.status, a.body, err, status, part)
	}
}

func arg(v any) string { return "arg=" + url.QueryEscape(fmt.Sprint(v)) }

// numbered is data of which no two chunks are the same.
func numbered(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%09d\n", i)
	}
	return b.Bytes()[:size]
}
