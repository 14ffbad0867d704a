package guard_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/node/guard"
	"github.com/holdfast-ipfs/holdfast/node/guard/guardtest"
)

// get asks for a URL through a transport of the guard's.
func get(t *testing.T, g guard.Guard, resolver *net.Resolver, url string) (string, error) {
	t.Helper()
	transport := g.Transport(2, resolver)
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: guard.Redirects(3), Timeout: 10 * time.Second}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return string(body), err
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*guard.RefusedError](err)
	return ok
}

// What a socket asks before it connects. Nothing is sent: to see that nothing
// is, the last test here has a network of its own.
func TestControl(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6", "udp4", "udp6"} {
		for _, a := range guardtest.Hostile() {
			to := netip.AddrPortFrom(a.Addr, 80).String()
			if err := (guard.Guard{}).Control(t.Context(), network, to, nil); !isRefused(err) {
				t.Errorf("%s to %s: the error is %v", network, to, err)
			}
			if err := (guard.Guard{AllowPrivate: true}).Control(t.Context(), network, to, nil); err != nil {
				t.Errorf("with private addresses allowed, %s to %s: %v", network, to, err)
			}
		}
		for _, ip := range guardtest.Public() {
			if err := (guard.Guard{}).Control(t.Context(), network, netip.AddrPortFrom(ip, 80).String(), nil); err != nil {
				t.Errorf("%s to %s: %v", network, ip, err)
			}
		}
		if err := (guard.Guard{}).Control(t.Context(), network, "example.com:80", nil); !isRefused(err) {
			t.Errorf("%s to a name: the error is %v", network, err)
		}
	}
	for _, network := range []string{"unix", "ip4:icmp", "tcp"} {
		if err := (guard.Guard{}).Control(t.Context(), network, "1.1.1.1:80", nil); !isRefused(err) {
			t.Errorf("over %s the error is %v", network, err)
		}
	}
}

// Nobody who listens on this host sees a connection, by whatever name.
func TestTransportLeavesLoopbackAlone(t *testing.T) {
	names := map[string]netip.Addr{
		"four.test": netip.MustParseAddr("127.0.0.1"), "other.test": netip.MustParseAddr("127.8.9.1"),
		"six.test": netip.MustParseAddr("::1"), "any.test": netip.MustParseAddr("0.0.0.0"),
	}
	resolver := guardtest.Resolver(t, guardtest.Addrs(names))
	for _, c := range []struct {
		listen string
		hosts  []string
	}{
		{"127.0.0.1", []string{"127.0.0.1", "four.test", "0.0.0.0", "any.test", "[::ffff:127.0.0.1]", "localhost"}},
		{"127.8.9.1", []string{"127.8.9.1", "other.test"}},
		{"::1", []string{"[::1]", "six.test", "[::]"}},
	} {
		l := guardtest.Listen(t, c.listen)
		for _, host := range c.hosts {
			url := fmt.Sprintf("http://%s:%d/", host, l.Port)
			if _, err := get(t, guard.Guard{}, resolver, url); err == nil {
				t.Errorf("%s was answered", url)
			}
		}
		// The same listener is reached when the guard allows it.
		dialer := net.Dialer{ControlContext: guard.Guard{AllowPrivate: true}.Control}
		conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(c.listen, fmt.Sprint(l.Port)))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		for deadline := time.Now().Add(10 * time.Second); len(l.Seen()) == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		if seen := l.Seen(); len(seen) != 1 {
			t.Errorf("%s saw %v, want the one that was allowed", c.listen, seen)
		}
	}
}

// A proxy would connect in our place.
func TestTransportTakesNoProxy(t *testing.T) {
	if !guardtest.Isolated(t) {
		return
	}
	l := guardtest.Listen(t, "127.0.0.1")
	proxy := fmt.Sprintf("http://127.0.0.1:%d", l.Port)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy)
	}
	for _, url := range []string{"http://10.0.0.1/", "https://10.0.0.1/"} {
		if _, err := get(t, guard.Guard{}, nil, url); !isRefused(err) {
			t.Errorf("%s: the error is %v", url, err)
		}
		if _, err := get(t, guard.Guard{AllowPrivate: true}, nil, url); err == nil {
			t.Errorf("somebody answers at %s", url)
		}
	}
	if seen := l.Seen(); len(seen) > 0 {
		t.Error("the proxy was asked")
	}
}

func TestRedirects(t *testing.T) {
	check := guard.Redirects(2)
	at := func(s string) *http.Request { return httptest.NewRequest(http.MethodGet, s, nil) }
	for _, c := range []struct {
		to  string
		via []string
		ok  bool
	}{
		{"http://a/", []string{"http://b/"}, true},
		{"https://a/", []string{"http://b/"}, true},
		{"https://a/", []string{"https://b/", "https://c/"}, true},
		{"https://a/", []string{"https://b/", "https://c/", "https://d/"}, false},
		{"http://a/", []string{"https://b/"}, false},
		{"http://a/", []string{"http://c/", "https://b/"}, false},
		{"ftp://a/", []string{"http://b/"}, false},
		{"file:///etc/passwd", []string{"http://b/"}, false},
	} {
		var via []*http.Request
		for _, s := range c.via {
			via = append(via, at(s))
		}
		to, err := url.Parse(c.to)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(&http.Request{URL: to}, via); (err == nil) != c.ok || err != nil && !errors.Is(err, guard.ErrRedirect) {
			t.Errorf("from %v to %s: %v", c.via, c.to, err)
		}
	}
}

// With real sockets to every kind of address: what is refused is never
// connected to, not by a redirect and not by a name that has changed its mind,
// and what is public is.
func TestTransportInItsOwnNetwork(t *testing.T) {
	if !guardtest.Isolated(t) {
		return
	}
	var to atomic.Pointer[string] // where "/away" leads
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, *to.Load(), http.StatusFound)
			return
		}
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		fmt.Fprint(w, local.AddrPort().Addr().Unmap())
	}))
	server.Listener.Close()
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Listener = l
	server.Start()
	defer server.Close()
	port := l.Addr().(*net.TCPAddr).Port
	at := func(ip netip.Addr, path string) string {
		return fmt.Sprintf("http://%s%s", netip.AddrPortFrom(ip, uint16(port)), path)
	}

	for _, ip := range guardtest.Public() {
		if body, err := get(t, guard.Guard{}, nil, at(ip, "/")); err != nil || body != ip.Unmap().String() {
			t.Errorf("%s, which is public, was not reached: %q, %v", ip, body, err)
		}
	}

	// What this network can reach at all when nobody guards it, so that what
	// follows says something.
	var reached []netip.Addr
	for _, a := range guardtest.Hostile() {
		if a.Addr.Zone() != "" {
			continue
		}
		if _, err := get(t, guard.Guard{AllowPrivate: true}, nil, at(a.Addr, "/")); err == nil {
			reached = append(reached, a.Addr)
		}
	}
	for _, s := range []string{
		"0.0.0.0", "127.0.0.1", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
		"168.63.129.16", "192.0.0.192", "198.18.0.1", "240.0.0.1", "::1", "::", "fc00::1", "fd00:ec2::254", "fec0::1",
		"64:ff9b::10.0.0.1", "64:ff9b::1.1.1.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::1", "2002:101:101::1", "2001:db8::1",
		"::ffff:10.0.0.1", "::ffff:127.0.0.1", "::10.0.0.1", "2001::1", "4000::1",
	} {
		if !slices.Contains(reached, netip.MustParseAddr(s)) {
			t.Errorf("without a guard, %s was not reached: the test shows nothing of it", s)
		}
	}

	var leads atomic.Pointer[[]netip.Addr] // where the name leads
	resolver := guardtest.Resolver(t, guardtest.Names{Addrs: func(string) []netip.Addr { return *leads.Load() }})
	public := netip.MustParseAddr("1.1.1.1")
	g := guard.Guard{Own: guard.Interfaces()}
	for _, a := range append(guardtest.Hostile(), guardtest.Address{Addr: guardtest.Own}) {
		if a.Addr.Zone() != "" {
			continue
		}
		if _, err := get(t, g, nil, at(a.Addr, "/")); !isRefused(err) {
			t.Errorf("%s: the error is %v", a.Addr, err)
		}
		url := fmt.Sprintf("https://%s", netip.AddrPortFrom(a.Addr, uint16(port)))
		if _, err := get(t, g, nil, url); !isRefused(err) {
			t.Errorf("%s: the error is %v", url, err)
		}
		url = at(a.Addr, "/")
		to.Store(&url)
		if _, err := get(t, g, nil, at(public, "/away")); !isRefused(err) {
			t.Errorf("by a redirect to %s: the error is %v", a.Addr, err)
		}
		// A name that changes its mind, and one of two minds.
		url = fmt.Sprintf("http://rebind.test:%d/", port)
		leads.Store(&[]netip.Addr{public})
		if body, err := get(t, g, resolver, url); err != nil || body != public.String() {
			t.Errorf("a name that is public: %q, %v", body, err)
		}
		leads.Store(&[]netip.Addr{a.Addr})
		if _, err := get(t, g, resolver, url); !isRefused(err) {
			t.Errorf("a name that is now %s: the error is %v", a.Addr, err)
		}
		leads.Store(&[]netip.Addr{a.Addr, public})
		if body, err := get(t, g, resolver, url); err != nil || body != public.String() {
			t.Errorf("a name that is both %s and public: %q, %v", a.Addr, body, err)
		}
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", "1.1.1.1:1"); err == nil {
		t.Error("something else than the test answers here")
	}
}
