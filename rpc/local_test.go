package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/labstack/echo/v4"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// me is the account of the door for this machine.
const me = "cluster"

// localWorld is a world behind the door for this machine.
type localWorld struct {
	*world
	local  *Local
	router *echo.Echo

	mu       sync.Mutex
	followed chan struct{}   // gets something when a call follows a request
	change   chan pin.Change // that calls follow
	lingers  []string        // what was unpinned
	repairs  bool
	kept     int // uploads
	room     Storage
	collect  error
	dialled  []peer.AddrInfo
	noDial   error
	nobody   bool // the account was removed
	// onAddOnce is called when AddOnce has found a request, and forgotten.
	onAddOnce func()
}

func newLocalWorld(t *testing.T) *localWorld {
	t.Helper()
	w := &localWorld{world: newWorld(t), followed: make(chan struct{}, 100), change: make(chan pin.Change, 100)}
	cfg := w.config()
	cfg.Repo = w
	local, err := NewLocal(LocalConfig{
		Config: cfg, Pins: w, TempDir: t.TempDir(),
		Account: func(context.Context) (auth.Account, error) {
			if w.nobody {
				return auth.Account{}, auth.ErrNoAccount
			}
			return auth.Account{ID: me}, nil
		},
		Upload: func(ctx context.Context, account string) (LooseUpload, error) {
			u, err := w.upload(ctx, account)
			if err != nil {
				return nil, err
			}
			return looseIntake{u.(*intake), w}, nil
		},
		Collect: func(context.Context) error { return w.collect },
		Connect: func(_ context.Context, p peer.AddrInfo) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.dialled = append(w.dialled, p)
			return w.noDial
		},
		Host: func(host string) bool { return host == "127.0.0.1" || host == "localhost" },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.local = local
	e := echo.New()
	local.Register(e.Group("/api/v0"))
	w.router = e
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	w.url = server.URL + "/api/v0/"
	return w
}

type looseIntake struct {
	*intake
	w *localWorld
}

func (l looseIntake) Keep(ctx context.Context) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.kept++
	return l.Flush(ctx)
}

func (w *localWorld) Storage(context.Context) (Storage, error) { return w.room, nil }

func (w *localWorld) ByCID(_ context.Context, account string, c cid.Cid) (pin.View, error) {
	w.world.mu.Lock()
	defer w.world.mu.Unlock()
	for _, r := range w.pins[account] {
		if r.Root.Equals(c) {
			return pin.View{Request: r}, nil
		}
	}
	return pin.View{}, pin.ErrNotFound
}

func (w *localWorld) AddOnce(ctx context.Context, account string, s pin.Spec) (pin.View, bool, error) {
	if v, err := w.ByCID(ctx, account, s.Root); err == nil {
		if on := w.onAddOnce; on != nil {
			w.onAddOnce = nil
			on()
		}
		return v, false, nil
	}
	v, err := w.Add(ctx, account, s)
	return v, true, err
}

func (w *localWorld) Unpin(ctx context.Context, account string, c cid.Cid) error {
	v, err := w.ByCID(ctx, account, c)
	if err == nil {
		err = w.Remove(ctx, account, v.ID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.lingers = append(w.lingers, c.String())
	}
	return err
}

func (w *localWorld) UnpinRequest(ctx context.Context, account, id string) error {
	err := w.Remove(ctx, account, id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.lingers = append(w.lingers, id)
	}
	return err
}

func (w *localWorld) Repairing(context.Context, pin.DAG) (bool, error) { return w.repairs, nil }

// Changed tells at once of what onGet changes.
func (w *localWorld) Changed(pin.DAG) (<-chan pin.Change, func()) {
	w.world.mu.Lock()
	defer w.world.mu.Unlock()
	if w.onGet != nil {
		select {
		case w.change <- pin.Change{}:
		default:
		}
	}
	w.followed <- struct{}{}
	return w.change, func() {}
}

// failed checks that a call is answered by an error of Kubo's form, with exactly that text.
func (w *localWorld) failed(command, query string, status int, text string) {
	w.t.Helper()
	a := w.ask("", command, query)
	var e errorObject
	if err := json.Unmarshal(a.body, &e); err != nil || a.status != status || e.Message != text {
		w.t.Errorf("%s?%s answers %d %s, want %d %q", command, query, a.status, a.body, status, text)
	}
}

// A list that cannot be completed is cut off: one that ends early would be taken for the whole.
func TestLocalListIsCutOff(t *testing.T) {
	w := newLocalWorld(t)
	for i := range pageSize + 1 {
		w.pin(me, w.file([]byte(fmt.Sprint(i))).Cid(), pin.Pinned)
	}
	if n := bytes.Count(w.good("", "pin/ls", "stream=true&type=recursive"), []byte("\n")); n != pageSize+1 {
		t.Errorf("it lists %d", n)
	}
	w.onList = func(page int) error {
		if page > 1 {
			return errors.New("the disk fails")
		}
		return nil
	}
	res, err := http.Post(w.url+"pin/ls?stream=true&type=recursive", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil || bytes.Count(got, []byte("\n")) > pageSize {
		t.Errorf("it ends after %d bytes with %v", len(got), err)
	}
}

// lateBody is a body that was announced and does not come in time.
type lateBody struct{}

func (lateBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
func (lateBody) Close() error             { return nil }

// A body that a command does not take is not waited for without an end, and the time for it is not
// that of a command that waits.
func TestLocalBodyThatIsNotTaken(t *testing.T) {
	w := newLocalWorld(t)
	for _, test := range []struct {
		body   io.ReadCloser
		status int
	}{
		{lateBody{}, http.StatusBadRequest},
		{io.NopCloser(strings.NewReader("x")), http.StatusBadRequest},
		{io.NopCloser(strings.NewReader("")), http.StatusOK},
	} {
		rec := httptest.NewRecorder()
		d := lastDeadline{ResponseWriter: rec}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/api/v0/id", nil)
		r.Body = test.body
		w.router.ServeHTTP(&d, r)
		if cleared := d.set && d.last.IsZero(); rec.Code != test.status || cleared != (test.status == http.StatusOK) {
			t.Errorf("with %v it answers %d %s, and the deadline is cleared: %v", test.body, rec.Code, rec.Body, cleared)
		}
	}
}

func TestLocalRefusesBrowsers(t *testing.T) {
	w := newLocalWorld(t)
	for _, tt := range []struct {
		name, value string
		status      int
	}{
		{"", "", http.StatusOK},
		{"Host", "localhost:5001", http.StatusOK},
		{"User-Agent", "Go-http-client/1.1", http.StatusOK},
		{"Host", "rebound.example.com:5001", http.StatusForbidden},
		{"Host", "10.0.0.1", http.StatusForbidden},
		{"Origin", "http://127.0.0.1", http.StatusForbidden},
		{"Origin", "null", http.StatusForbidden},
		{"Referer", "http://example.com/", http.StatusForbidden},
		{"Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{"User-Agent", "Mozilla/5.0 (X11; Linux x86_64)", http.StatusForbidden},
	} {
		for _, command := range []string{"id", "nothing"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+command, nil)
			if err != nil {
				t.Fatal(err)
			}
			switch tt.name {
			case "":
			case "Host":
				r.Host = tt.value
			default:
				r.Header.Set(tt.name, tt.value)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			want := tt.status
			if command == "nothing" && want == http.StatusOK {
				want = http.StatusNotFound
			}
			if res.StatusCode != want || res.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s with %s: %s is answered %d, want %d", command, tt.name, tt.value, res.StatusCode, want)
			}
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.url+"id", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "http://example.com")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNoContent || res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("OPTIONS is answered %d %v", res.StatusCode, res.Header)
	}
}

func TestLocalServer(t *testing.T) {
	w := newLocalWorld(t)
	w.room = Storage{Used: 1000, Room: 500, Lingering: 300, Dead: 100, Claimed: 200}
	if got := string(w.good("", "repo/stat", "size-only=true")); got != `{"RepoSize":600,"StorageMax":900,"NumObjects":0,"RepoPath":"","Version":""}`+"\n" {
		t.Errorf("repo/stat answers %s", got)
	}
	w.room.Claimed = 501
	if got := string(w.good("", "repo/stat", "")); got != `{"RepoSize":600,"StorageMax":600,"NumObjects":77,"RepoPath":"","Version":"fs-repo@18"}`+"\n" {
		t.Errorf("repo/stat of a node without room answers %s", got)
	}
	if got := w.good("", "repo/gc", "stream-errors=true"); len(got) != 0 {
		t.Errorf("repo/gc answers %s", got)
	}
	w.collect = pin.ErrDiskFull
	w.refused("", "repo/gc", "stream-errors=true", http.StatusInternalServerError, "too full")
	const id = "12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"
	if got := string(w.good("", "swarm/connect", arg("/ip4/127.0.0.1/tcp/4001/p2p/"+id))); got != `{"Strings":["connect `+id+` success"]}`+"\n" {
		t.Errorf("swarm/connect answers %s", got)
	}
	w.noDial = errors.New("it is private")
	w.failed("swarm/connect", arg("/ip4/10.0.0.1/tcp/1/p2p/"+id), http.StatusInternalServerError, "connect "+id+" failure: it is private")
	w.refused("", "swarm/connect", arg("/ip4/10.0.0.1/tcp/1"), http.StatusBadRequest, "ends in /p2p/ID")
	if len(w.dialled) != 2 {
		t.Errorf("dialled %v", w.dialled)
	}
	if got := string(w.good("", "swarm/peers", "")); got != `{"Peers":null}`+"\n" {
		t.Errorf("swarm/peers answers %s", got)
	}
	file := w.file(numbered(2500))
	root := w.dir(entry{"f", file})
	if got := string(w.good("", "resolve", arg("/ipfs/"+root.Cid().String()+"/f"))); got != fmt.Sprintf(`{"Path":"/ipfs/%s"}`+"\n", file.Cid()) {
		t.Errorf("resolve answers %s", got)
	}
	w.refused("", "resolve", arg("/ipns/example.com"), http.StatusInternalServerError, "not supported")
	// It reads what is served, whoever has pinned it.
	if got := w.good("", "cat", arg(file.Cid())); !bytes.Equal(got, numbered(2500)) {
		t.Errorf("it reads %.100q", got)
	}
	// What a pin has is known, and need not be counted: that has a limit.
	w.pin(me, root.Cid(), pin.Pinned)
	w.pins[me][0].Totals = pin.Totals{Blocks: maxSeen + 1, Bytes: 1 << 40}
	if got := string(w.good("", "dag/stat", arg(root.Cid())+"&progress=false")); !strings.Contains(got, fmt.Sprintf(`"NumBlocks":%d`, maxSeen+1)) {
		t.Errorf("dag/stat of a pin answers %s", got)
	}
	w.refused("", "nothing", "", http.StatusNotFound, "no such command")
	w.nobody = true
	w.refused("", "pin/ls", "", http.StatusInternalServerError, "does not exist any more")
}
