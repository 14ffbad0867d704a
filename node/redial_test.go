package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

func infoOf(s *source) peer.AddrInfo { return peer.AddrInfo{ID: s.host.ID(), Addrs: s.host.Addrs()} }

// A peer that has moved since somebody said where it is is found all the same, one
// that is an HTTP server is not dialled, and one at private addresses is not either.
func TestRedialler(t *testing.T) {
	moved, gone := newSource(t), newSource(t)
	gone.close()
	nowhere := ma.StringCast("/ip4/127.0.0.1/tcp/1")
	looked := make(map[peer.ID]int)
	h := newTestHost(t)
	findPeer := func(_ context.Context, p peer.ID) ([]ma.Multiaddr, error) {
		looked[p]++
		if p == moved.host.ID() {
			return append(moved.host.Addrs(), nowhere), nil
		}
		return []ma.Multiaddr{nowhere}, nil
	}
	r := newRedialler(bsnet.NewFromIpfsHost(h), newGater(true, false, nil).guard, findPeer)
	for what, tt := range map[string]struct {
		ai     peer.AddrInfo
		ok     bool
		lookup int
	}{
		"moved":   {peer.AddrInfo{ID: moved.host.ID(), Addrs: []ma.Multiaddr{nowhere}}, true, 1},
		"gone":    {peer.AddrInfo{ID: gone.host.ID(), Addrs: []ma.Multiaddr{nowhere}}, false, 1},
		"gateway": {peer.AddrInfo{ID: newSource(t).host.ID(), Addrs: []ma.Multiaddr{ma.StringCast("/dns4/gateway.example.com/tcp/443/tls/http")}}, true, 0},
	} {
		err := r.Connect(t.Context(), tt.ai)
		if (err == nil) != tt.ok || looked[tt.ai.ID] != tt.lookup {
			t.Errorf("%s: %v after %d lookups", what, err, looked[tt.ai.ID])
		}
	}
	if n := len(h.Network().Peers()); n != 1 {
		t.Errorf("%d peers are connected", n)
	}
	// What is found is under the same rule as what was said.
	private := newSource(t)
	r = newRedialler(bsnet.NewFromIpfsHost(h), newGater(false, false, nil).guard, func(context.Context, peer.ID) ([]ma.Multiaddr, error) {
		return private.host.Addrs(), nil
	})
	if r.Connect(t.Context(), peer.AddrInfo{ID: private.host.ID(), Addrs: []ma.Multiaddr{nowhere}}) == nil {
		t.Error("a private address was dialled")
	}
}

// When many are not where they should be, few are looked for at the same time.
func TestRediallerLooksUpFew(t *testing.T) {
	nowhere := ma.StringCast("/ip4/127.0.0.1/tcp/1")
	begun, end := make(chan struct{}, 100), make(chan struct{})
	r := newRedialler(bsnet.NewFromIpfsHost(newTestHost(t)), newGater(true, false, nil).guard, func(context.Context, peer.ID) ([]ma.Multiaddr, error) {
		begun <- struct{}{}
		<-end
		return nil, context.DeadlineExceeded
	})
	const many = 5 * redialsAtOnce
	results := make(chan error, many)
	for range many {
		ai := peer.AddrInfo{ID: newTestHost(t).ID(), Addrs: []ma.Multiaddr{nowhere}}
		go func() { results <- r.Connect(t.Context(), ai) }()
	}
	for range many - redialsAtOnce {
		if <-results == nil {
			t.Error("it is connected")
		}
	}
	if n := len(begun); n != redialsAtOnce {
		t.Errorf("%d were looked for", n)
	}
	close(end)
	for range redialsAtOnce {
		<-results
	}
}

func TestIsHTTP(t *testing.T) {
	for a, want := range map[string]bool{
		"/dns4/example.com/tcp/443/tls/http":                   true,
		"/dns4/example.com/tcp/443/https":                      true,
		"/ip4/192.0.2.1/tcp/8080/http":                         true,
		"/dns4/example.com/tcp/443/tls/sni/example.com/http":   true,
		"/dns4/example.com/tcp/443/tls/http/http-path/gateway": true,
		"/ip4/192.0.2.1/tcp/4001":                              false,
		"/dns4/example.com/tcp/443/tls/ws":                     false,
		"/ip4/192.0.2.1/udp/4001/quic-v1":                      false,
	} {
		if got := isHTTP(ma.StringCast(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// delegatedRouter answers every question with some peers.
func delegatedRouter(t *testing.T, infos ...peer.AddrInfo) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for _, ai := range infos {
			if err := json.NewEncoder(w).Encode(map[string]any{"Schema": "peer", "ID": ai.ID, "Addrs": ai.Addrs}); err != nil {
				t.Error(err)
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Content is found by delegated routers, with nobody in the DHT, and however
// many of the routers are broken.
func TestDelegatedRouters(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	src := newSource(t, all...)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
	t.Cleanup(hangs.Close)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{") }))
	t.Cleanup(broken.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	gateway := peer.AddrInfo{ID: newSource(t).host.ID(), Addrs: []ma.Multiaddr{ma.StringCast("/dns4/gateway.example.com/tcp/443/tls/http")}}
	store := walktest.NewStore(t)
	n := newTestNode(t, store, auto(), func(c *Config) {
		c.DelegatedRouters = []string{hangs.URL, broken.URL, gone.URL, delegatedRouter(t, gateway, infoOf(src))}
	})
	began := time.Now()
	done, result := start(t.Context(), n, newJob(dagtest.Last(all)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
	store.CheckWhole(1, all)
	t.Logf("found and fetched in %v", time.Since(began))
}
