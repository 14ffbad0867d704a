package trustless

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/node/guard/guardtest"
)

// Where a guard does not let it go, it does not go: by an address, a name, a
// redirect.
func TestGuarded(t *testing.T) {
	if !guardtest.Isolated(t) {
		return
	}
	b := block("a block")
	var asked []netip.Addr // by their own words
	var mu sync.Mutex
	var to string
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		asked = append(asked, local.AddrPort().Addr().Unmap())
		if to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			to = ""
			return
		}
		w.Write(b.RawData())
	})}}
	server.Start()
	defer server.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	public := netip.MustParseAddr("8.8.8.8")
	names := map[string]netip.Addr{}
	for i, a := range guardtest.Hostile() {
		names[fmt.Sprintf("n%d.test", i)] = a.Addr.WithZone("")
	}
	transport := guard.Guard{}.Transport(connsPerHost, guardtest.Resolver(t, guardtest.Addrs(names)))
	c := New(Config{Transport: transport})
	defer c.Close()
	publicURL := "http://" + netip.AddrPortFrom(public, port).String()
	for i, a := range guardtest.Hostile() {
		if a.Addr.Zone() != "" {
			continue
		}
		url := "http://" + netip.AddrPortFrom(a.Addr, port).String()
		name := fmt.Sprintf("http://n%d.test:%d", i, port)
		for _, u := range []string{url, name} {
			if _, err := c.Block(t.Context(), at(t, u), b.Cid()); !isRefused(err) {
				t.Errorf("%s (%s): %v", u, a.Addr, err)
			}
			mu.Lock()
			to = u
			mu.Unlock()
			if _, err := c.Block(t.Context(), at(t, publicURL), b.Cid()); !isRefused(err) {
				t.Errorf("by a redirect to %s (%s): %v", u, a.Addr, err)
			}
		}
	}
	if data, err := c.Block(t.Context(), at(t, publicURL), b.Cid()); err != nil || !bytes.Equal(data, b.RawData()) {
		t.Errorf("of a public address: %q, %v", data, err)
	}
	for _, ip := range asked {
		if ip != public {
			t.Errorf("%s was asked", ip)
		}
	}
}

func isRefused(err error) bool {
	_, refused := errors.AsType[*guard.RefusedError](err)
	_, typed := errors.AsType[*UnreachableError](err)
	return refused && typed
}
