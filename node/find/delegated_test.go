package find

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
)

// answer serves one answer to every lookup.
func answer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func record(ai peer.AddrInfo, protocols ...string) string {
	addrs := []string{}
	for _, a := range ai.Addrs {
		addrs = append(addrs, a.String())
	}
	b, err := json.Marshal(map[string]any{"Schema": "peer", "ID": ai.ID.String(), "Addrs": addrs, "Protocols": protocols})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func router(t *testing.T, cfg RouterConfig) *Router {
	t.Helper()
	r, err := NewRouter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRouterStreams(t *testing.T) {
	more := make(chan struct{})
	s := answer(t, func(w http.ResponseWriter, req *http.Request) {
		if want := "/routing/v1/providers/" + key(1).String(); req.URL.Path != want {
			t.Errorf("asked for %s, want %s", req.URL.Path, want)
		}
		if got := req.URL.Query().Get("filter-protocols"); !strings.Contains(got, "transport-ipfs-gateway-http") || !strings.Contains(got, "transport-bitswap") {
			t.Errorf("asked for the protocols %q", got)
		}
		if got := req.UserAgent(); got != "holdfast" {
			t.Errorf("the user agent is %q", got)
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, record(who(1, addrA), "transport-bitswap"))
		w.(http.Flusher).Flush()
		<-more
		fmt.Fprintln(w, `{"Schema":"peer","Addrs":["/ip4/192.0.2.9/tcp/1"]}`) // of nobody
		fmt.Fprintln(w, `{"Schema":"something new","ID":"x"}`)
		fmt.Fprintln(w, record(who(2, addrH), "transport-ipfs-gateway-http"))
		fmt.Fprintf(w, `{"Schema":"bitswap","Protocol":"transport-bitswap","ID":%q,"Addrs":[%q]}`+"\n", who(3).ID, addrB)
	})
	for _, url := range []string{s.URL, s.URL + "/", s.URL + "/routing/v1"} {
		ch := router(t, RouterConfig{URL: url, UserAgent: "holdfast"}).FindProvidersAsync(t.Context(), key(1), 0)
		same(t, []peer.AddrInfo{<-ch}, who(1, addrA)) // while the rest is still to come
		go func() { more <- struct{}{} }()
		same(t, collect(ch), who(2, addrH), who(3, addrB))
	}
}

func TestRouterAnswersAtOnce(t *testing.T) {
	s := answer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"Providers":[%s,%s]}`, record(who(1, addrA)), record(who(2, addrB)))
	})
	r := router(t, RouterConfig{URL: s.URL})
	same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)), who(1, addrA), who(2, addrB))
	same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 1)), who(1, addrA))
}

// One that knows nobody has not failed.
func TestRouterKnowsNobody(t *testing.T) {
	s := answer(t, http.NotFound)
	r := router(t, RouterConfig{URL: s.URL})
	for range 2 * routerPatience {
		same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)))
	}
	if ready, _ := r.ready(key(1)); !ready {
		t.Error("it is left alone")
	}
}

// clock is one that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

// A router that fails is left alone for a while, is told of in the log once, and
// is used again when it answers again. Another one beside it is not touched.
func TestRouterThatFails(t *testing.T) {
	var asked atomic.Int64
	var works atomic.Bool
	bad := answer(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if !works.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, record(who(1, addrA)))
	})
	good := answer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, record(who(2, addrB)))
	})
	var (
		log bytes.Buffer
		at  clock
	)
	r := router(t, RouterConfig{URL: bad.URL, Now: at.now, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	f := finder(t, Config{}, routing.ContentDiscovery(r), router(t, RouterConfig{URL: good.URL}))
	for i := range 100 {
		same(t, collect(f.FindProvidersAsync(t.Context(), key(i), 0)), who(2, addrB))
	}
	if n := asked.Load(); n != routerPatience+1 { // and a probe
		t.Errorf("it was asked %d times", n)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), bad.URL) {
		t.Errorf("%d warnings: %s", n, &log)
	}
	at.forward(routerPauseAfter(1))
	for i := range 4 {
		collect(r.FindProvidersAsync(t.Context(), key(1000+i), 0))
	}
	if n := asked.Load(); n != routerPatience+3 { // and a probe again
		t.Errorf("it was asked %d times after the pause", n)
	}
	at.forward(routerTellAgain)
	collect(r.FindProvidersAsync(t.Context(), key(1), 0))
	if n := strings.Count(log.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings after an hour", n)
	}
	works.Store(true)
	at.forward(routerPauseMax)
	for range 2 {
		same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)), who(1, addrA))
	}
	if n := strings.Count(log.String(), "answers again"); n != 1 {
		t.Errorf("told %d times that it answers again", n)
	}
}

// However long it fails, it is tried again within the longest pause.
func TestRouterPause(t *testing.T) {
	var at clock
	r := router(t, RouterConfig{URL: "http://127.0.0.1:1", Now: at.now})
	for range 1000 {
		r.note(key(1), errSlowRouter)
		r.note(key(2), errSlowRouter)
	}
	at.forward(routerPauseMax)
	if ready, probe := r.ready(key(1)); !ready || probe {
		t.Error("it is still left alone")
	}
}

// A lookup that its caller ends is no failure of the router's.
func TestRouterCallerHasEnough(t *testing.T) {
	s := answer(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, record(who(1, addrA)))
		w.(http.Flusher).Flush()
		<-req.Context().Done()
	})
	r := router(t, RouterConfig{URL: s.URL})
	for range 2 * routerPatience {
		ctx, cancel := context.WithCancel(t.Context())
		ch := r.FindProvidersAsync(ctx, key(1), 0)
		same(t, []peer.AddrInfo{<-ch}, who(1, addrA))
		cancel()
		collect(ch)
	}
	if ready, _ := r.ready(key(1)); !ready {
		t.Error("it is left alone")
	}
}

// What a router answers is bounded in size and number.
func TestRouterThatDoesNotEnd(t *testing.T) {
	s := answer(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for i := 0; req.Context().Err() == nil; i++ {
			fmt.Fprintln(w, record(who(i, addrA)))
		}
	})
	if n := len(collect(router(t, RouterConfig{URL: s.URL}).FindProvidersAsync(t.Context(), key(1), 0))); n != routerRecords {
		t.Errorf("%d records", n)
	}
	long := answer(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for req.Context().Err() == nil {
			if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<16)); err != nil {
				return
			}
		}
	})
	r := router(t, RouterConfig{URL: long.URL})
	collect(r.FindProvidersAsync(t.Context(), key(1), 0))
	if r.failed != 1 {
		t.Error("an answer without an end is not a failure")
	}
}

// A redirect leads nowhere but to the same host.
func TestRouterRedirect(t *testing.T) {
	elsewhere := answer(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	var to string
	s := answer(t, func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/moved") {
			w.Header().Set("Content-Type", "application/x-ndjson")
			fmt.Fprintln(w, record(who(1, addrA)))
			return
		}
		http.Redirect(w, req, to, http.StatusFound)
	})
	r := router(t, RouterConfig{URL: s.URL})
	to = s.URL + "/moved"
	same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)), who(1, addrA))
	to = elsewhere.URL
	same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)))
}

func TestCheckRouterURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://router.example.com":             true,
		"http://127.0.0.1:8190":                  true,
		"https://router.example.com/routing/v1":  true,
		"https://router.example.com/routing/v1/": true,
		"https://router.example.com/other":       false,
		"router.example.com":                     false,
		"ftp://router.example.com":               false,
		"https://router.example.com?a=b":         false,
		"":                                       false,
	} {
		if err := CheckRouterURL(url); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if _, err := NewRouter(RouterConfig{URL: url}); (err == nil) != ok {
			t.Errorf("a router at %q: %v", url, err)
		}
	}
}

// A router that fails for one block is asked for others as ever, however often that one
// is looked up; and if it fails for many, one that it knows is found all the same.
func TestRouterThatFailsForSome(t *testing.T) {
	var odd atomic.Int64
	s := answer(t, func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasSuffix(req.URL.Path, key(1).String()) {
			odd.Add(1)
			http.Error(w, "not this one", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		fmt.Fprintln(w, record(who(1, addrA)))
	})
	var at clock
	r := router(t, RouterConfig{URL: s.URL, Now: at.now})
	for range 20 {
		collect(r.FindProvidersAsync(t.Context(), key(2), 0))
		at.forward(time.Minute)
		same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)), who(1, addrA))
	}
	if n := odd.Load(); n > 6 {
		t.Errorf("it was asked %d times for what it fails for", n)
	}
	for i := range 50 {
		collect(r.FindProvidersAsync(t.Context(), key(100+i), 0))
	}
	at.forward(routerProbe)
	same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)), who(1, addrA))
	at.forward(routerProbe / 2)
	same(t, collect(r.FindProvidersAsync(t.Context(), key(1), 0)), who(1, addrA))
}

// A router is asked where a peer is; what it says of others is left out, and a router that
// fails is left alone.
func TestRouterFindsPeers(t *testing.T) {
	wanted, other := who(1, "/ip4/192.0.2.1/tcp/1"), who(2, "/ip4/192.0.2.2/tcp/1")
	var asked atomic.Int64
	var broken atomic.Bool
	s := answer(t, func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		switch {
		case broken.Load():
			http.Error(w, "broken", http.StatusInternalServerError)
		case req.URL.Path == "/routing/v1/peers/"+peer.ToCid(wanted.ID).String():
			w.Header().Set("Content-Type", "application/x-ndjson")
			fmt.Fprintln(w, record(other))
			fmt.Fprintln(w, record(wanted))
		default:
			http.NotFound(w, req)
		}
	})
	r := router(t, RouterConfig{URL: s.URL})
	addrs, err := r.FindPeer(t.Context(), wanted.ID)
	if err != nil || len(addrs) != len(wanted.Addrs) || !addrs[0].Equal(wanted.Addrs[0]) {
		t.Errorf("got %v, %v", addrs, err)
	}
	if addrs, err := r.FindPeer(t.Context(), other.ID); err != nil || len(addrs) > 0 {
		t.Errorf("of a peer that it does not know: %v, %v", addrs, err)
	}
	broken.Store(true)
	before := asked.Load()
	if _, err := r.FindPeer(t.Context(), wanted.ID); err == nil {
		t.Error("a router that fails is no error")
	}
	if addrs, err := r.FindPeer(t.Context(), wanted.ID); err != nil || len(addrs) > 0 || asked.Load() != before+1 {
		t.Errorf("asked again at once: %v, %v, asked %d times", addrs, err, asked.Load()-before)
	}
}
