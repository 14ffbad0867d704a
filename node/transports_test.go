package node

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/test"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	webrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/guard/guardtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// tlsName is a name that leads to loopback.
const tlsName = "pins.test"

// tlsWorld is a CA, a certificate of it for tlsName and loopback, and a resolver that knows the name.
type tlsWorld struct {
	cert     tls.Certificate
	roots    *x509.CertPool
	resolver network.MultiaddrDNSResolver
}

func newTLSWorld(t *testing.T) *tlsWorld {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{tlsName}, IPAddresses: []net.IP{{127, 0, 0, 1}}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	w := &tlsWorld{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots: x509.NewCertPool()}
	w.roots.AddCert(leaf)
	names := guardtest.Addrs(map[string]netip.Addr{tlsName: netip.MustParseAddr("127.0.0.1")})
	r, err := madns.NewResolver(madns.WithDefaultResolver(guardtest.Resolver(t, names)))
	if err != nil {
		t.Fatal(err)
	}
	w.resolver = swarm.ResolverFromMaDNS{Resolver: r}
	return w
}

// node has a node know the certificate and the name.
func (w *tlsWorld) node(c *Config) {
	c.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &w.cert, nil }
	c.resolver, c.roots = w.resolver, w.roots
}

// speaking is a source that speaks one transport alone. listen is where; "" is nowhere.
func (w *tlsWorld) speaking(t *testing.T, transport libp2p.Option, listen string, have ...blocks.Block) *source {
	t.Helper()
	options := []libp2p.Option{transport, libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.MultiaddrResolver(w.resolver)}
	if listen != "" {
		options = append(options, libp2p.ListenAddrStrings(listen))
	}
	h, err := libp2p.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	return newSourceAt(t, h, have...)
}

// transports are all that a node speaks: a way to speak nothing else, and an address.
func (w *tlsWorld) transports() map[string]struct {
	speak  libp2p.Option
	listen string
} {
	return map[string]struct {
		speak  libp2p.Option
		listen string
	}{
		"tcp":  {libp2p.Transport(tcp.NewTCPTransport), "/ip4/127.0.0.1/tcp/0"},
		"quic": {libp2p.Transport(quic.NewTransport), "/ip4/127.0.0.1/udp/0/quic-v1"},
		"ws": {libp2p.Transport(websocket.New,
			websocket.WithTLSClientConfig(&tls.Config{RootCAs: w.roots})), "/ip4/127.0.0.1/tcp/0/ws"},
		"wss": {libp2p.Transport(websocket.New,
			websocket.WithTLSConfig(&tls.Config{Certificates: []tls.Certificate{w.cert}}),
			websocket.WithTLSClientConfig(&tls.Config{RootCAs: w.roots})), "/ip4/127.0.0.1/tcp/0/tls/ws"},
		"webtransport":  {libp2p.Transport(webtransport.New), "/ip4/127.0.0.1/udp/0/quic-v1/webtransport"},
		"webrtc-direct": {libp2p.Transport(webrtc.New), "/ip4/127.0.0.1/udp/0/webrtc-direct"},
	}
}

// A source that listens by one transport alone is dialled.
func TestOriginsOfEveryTransport(t *testing.T) {
	w := newTLSWorld(t)
	all := dagtest.Tree(dagtest.Leaves(30, 1000), 10)
	for name, tr := range w.transports() {
		t.Run(name, func(t *testing.T) {
			src := w.speaking(t, tr.speak, tr.listen, all...)
			n := newTestNode(t, walktest.NewStore(t), w.node)
			origin := src.host.Addrs()[0]
			if name == "wss" {
				origin = named(origin, tlsName)
			}
			done, result := start(t.Context(), n, newJob(dagtest.Last(all), withPeer(origin, src.host.ID())))
			if _, err := wait(t, done, result); err != nil {
				t.Fatal(err)
			}
			conn := n.host.Network().ConnsToPeer(src.host.ID())[0]
			if got, want := transportOf(conn.RemoteMultiaddr()), transportOf(ma.StringCast(tr.listen)); got != want {
				t.Errorf("it is connected by %s", conn.RemoteMultiaddr())
			}
		})
	}
}

// A client that speaks one transport alone, and nobody can dial, delivers by the delegates.
func TestDelegatesOfEveryTransport(t *testing.T) {
	w := newTLSWorld(t)
	all := dagtest.Tree(dagtest.Leaves(30, 1000), 10)
	var listen []string
	for _, tr := range w.transports() {
		listen = append(listen, tr.listen)
	}
	for name, tr := range w.transports() {
		t.Run(name, func(t *testing.T) {
			n := newTestNode(t, walktest.NewStore(t), w.node, func(c *Config) { c.Listen = listen })
			delegates := n.Delegates()
			client := w.speaking(t, tr.speak, "", all...)
			reached := 0
			for _, d := range delegates {
				ai, err := peer.AddrInfoFromString(d)
				if err != nil {
					t.Fatal(err)
				}
				if client.host.Network().(*swarm.Swarm).TransportForDialing(ai.Addrs[0]) == nil {
					continue
				}
				reached++
				if err := client.host.Connect(t.Context(), *ai); err != nil {
					t.Errorf("%s: %v", d, err)
				}
			}
			if reached == 0 {
				t.Fatalf("none of the delegates is of it: %v", delegates)
			}
			done, result := start(t.Context(), n, newJob(dagtest.Last(all)))
			if _, err := wait(t, done, result); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A delegate that is found by its name has the name.
func TestDelegatesByName(t *testing.T) {
	w := newTLSWorld(t)
	n := newTestNode(t, walktest.NewStore(t), w.node, func(c *Config) {
		c.Listen, c.CertificateName = []string{"/ip4/127.0.0.1/tcp/0/tls/ws"}, tlsName
	})
	got := n.Delegates()
	if len(got) != 1 || !strings.HasPrefix(got[0], "/dns/"+tlsName+"/tcp/") || !strings.HasSuffix(got[0], "/tls/ws/p2p/"+n.PeerID()) {
		t.Errorf("the delegates are %v", got)
	}
	if told := n.host.Addrs(); len(told) != 1 || !strings.HasPrefix(told[0].String(), "/dns/"+tlsName) {
		t.Errorf("others are told %v", told)
	}
}

// A proxy may have the certificate: it takes the TLS off, and passes WebSockets on.
func TestDelegateBehindATLSProxy(t *testing.T) {
	w := newTLSWorld(t)
	all := dagtest.Tree(dagtest.Leaves(30, 1000), 10)
	var n *Node
	proxy := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		inside, err := manet.ToNetAddr(n.host.Network().ListenAddresses()[0].Decapsulate(ma.StringCast("/ws")))
		if err != nil {
			t.Error(err)
			return
		}
		r.SetURL(&url.URL{Scheme: "http", Host: inside.String()})
	}})
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{w.cert}, NextProtos: []string{"http/1.1"}}
	port := proxy.Listener.Addr().(*net.TCPAddr).Port
	n = newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.Listen = []string{"/ip4/127.0.0.1/tcp/0/ws"}
		c.Announce = []string{fmt.Sprintf("/dns4/%s/tcp/%d/tls/ws", tlsName, port)}
	})
	proxy.StartTLS()
	t.Cleanup(proxy.Close)

	client := w.speaking(t, w.transports()["wss"].speak, "", all...)
	ai, err := peer.AddrInfoFromString(n.Delegates()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := client.host.Connect(t.Context(), *ai); err != nil {
		t.Fatalf("%s: %v", ai, err)
	}
	done, result := start(t.Context(), n, newJob(dagtest.Last(all)))
	if _, err := wait(t, done, result); err != nil {
		t.Fatal(err)
	}
}

// TCP and WebSocket, with and without TLS, share a port, and still no other server may
// listen on it. QUIC, WebTransport and WebRTC share another.
func TestSharedPorts(t *testing.T) {
	w := newTLSWorld(t)
	free, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp := fmt.Sprintf("/ip4/127.0.0.1/udp/%d", free.LocalAddr().(*net.UDPAddr).Port)
	free.Close()
	n := newTestNode(t, walktest.NewStore(t), w.node, func(c *Config) {
		c.Listen = []string{
			udp + "/webrtc-direct", udp + "/quic-v1", udp + "/quic-v1/webtransport",
			"/ip4/127.0.0.1/tcp/0/tls/ws", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0",
		}
	})
	ports := map[string]int{}
	for _, s := range n.Addrs() {
		p := ma.Split(ma.StringCast(s))[1].String()
		ports[p]++
	}
	if len(ports) != 2 {
		t.Errorf("the addresses are %v", n.Addrs())
	}
	for name, tr := range w.transports() {
		client := w.speaking(t, tr.speak, "")
		var addrs []ma.Multiaddr
		for _, d := range n.Delegates() {
			ai, err := peer.AddrInfoFromString(d)
			if err != nil {
				t.Fatal(err)
			}
			addrs = append(addrs, ai.Addrs...)
		}
		if err := client.host.Connect(t.Context(), peer.AddrInfo{ID: n.host.ID(), Addrs: addrs}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range n.Addrs() {
		taken, _, _ := strings.Cut(s, "/certhash")
		taken, _, _ = strings.Cut(taken, "/p2p/")
		second, err := New(t.Context(), Config{
			Listen:      []string{taken},
			Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &w.cert, nil },
		}, walktest.NewStore(t))
		if err == nil {
			second.Close()
			t.Errorf("two nodes listen on %s", taken)
		} else if !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: the error is %v", taken, err)
		}
	}
}

// What comes to a TCP port is looked at only where it may be several things.
func TestSharesPorts(t *testing.T) {
	for _, c := range []struct {
		listen []string
		want   bool
	}{
		{DefaultListen(), false},
		{[]string{"/ip4/0.0.0.0/tcp/4040", "/ip4/0.0.0.0/tcp/4041/ws", "/ip6/::/tcp/4040"}, false},
		{[]string{"/ip4/0.0.0.0/tcp/4040", "/ip4/0.0.0.0/tcp/4040/ws"}, true},
		{[]string{"/ip4/0.0.0.0/tcp/4040/tls/ws", "/ip4/0.0.0.0/tcp/4040/ws"}, true},
		{[]string{"/ip4/0.0.0.0/tcp/0/ws", "/ip4/0.0.0.0/tcp/0"}, true},
	} {
		listen, err := parseListen(c.listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := sharesPorts(listen); got != c.want {
			t.Errorf("%v: %v", c.listen, got)
		}
	}
}

// Connections by WebSocket and WebRTC count against the limits.
func TestTransportsAreCounted(t *testing.T) {
	w := newTLSWorld(t)
	for name, files := range map[string]int{"ws": 1, "wss": 1, "webrtc-direct": 0} {
		tr := w.transports()[name]
		n := newTestNode(t, walktest.NewStore(t), w.node, func(c *Config) { c.Listen = []string{tr.listen} })
		ai, err := peer.AddrInfoFromString(n.Delegates()[0])
		if err != nil {
			t.Fatal(err)
		}
		counted := func() (s network.ScopeStat) {
			_ = n.host.Network().ResourceManager().ViewSystem(func(scope network.ResourceScope) error { s = scope.Stat(); return nil })
			return s
		}
		client := w.speaking(t, tr.speak, "")
		if err := client.host.Connect(t.Context(), *ai); err != nil {
			t.Fatal(err)
		}
		eventually(t, name+" is counted", func() bool { s := counted(); return s.NumConnsInbound == 1 && s.NumFD == files })
		hangUp(t, client, n)
		eventually(t, name+" is not any more", func() bool { s := counted(); return s.NumConnsInbound == 0 && s.NumFD == 0 })

		src := w.speaking(t, tr.speak, tr.listen)
		origin := peer.AddrInfo{ID: src.host.ID(), Addrs: src.host.Addrs()}
		n.gater.name(origin.ID)
		if err := n.host.Connect(t.Context(), origin); err != nil {
			t.Fatal(err)
		}
		if s := counted(); s.NumConnsOutbound != 1 || s.NumFD != files {
			t.Errorf("%s: with one that was dialled it counts %+v", name, s)
		}
		hangUp(t, src, n)
		eventually(t, name+" is not any more", func() bool { s := counted(); return s.NumConnsOutbound == 0 && s.NumFD == 0 })
	}
}

func hangUp(t *testing.T, s *source, n *Node) {
	t.Helper()
	if err := s.host.Network().ClosePeer(n.host.ID()); err != nil {
		t.Fatal(err)
	}
}

// What comes to a WebSocket's port and opens none is answered, and cannot fill memory.
func TestNotWebSockets(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0/ws"} })
	to, err := wsTargetOf(n.host.Network().ListenAddresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]int{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": http.StatusUpgradeRequired,
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
			"X: " + strings.Repeat("x", 2*wsHeaderBytes) + "\r\n\r\n": http.StatusRequestHeaderFieldsTooLarge,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": http.StatusUpgradeRequired,
	} {
		c, err := net.Dial("tcp", to.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%.20q: %v", request, err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || !answer.Close {
			t.Errorf("%.20q is answered %s, and it closes: %v", request, answer.Status, answer.Close)
		}
	}
}

// The name that comes with an address is what the server is called, and nothing else.
func TestWebSocketTargets(t *testing.T) {
	for addr, want := range map[string]wsTarget{
		"/ip4/1.1.1.1/tcp/80/ws":                           {"tcp4", "1.1.1.1:80", "ws://1.1.1.1:80/", false},
		"/ip6/2606:4700::1111/tcp/80/ws":                   {"tcp6", "[2606:4700::1111]:80", "ws://[2606:4700::1111]:80/", false},
		"/ip4/1.1.1.1/tcp/443/wss":                         {"tcp4", "1.1.1.1:443", "wss://1.1.1.1:443/", true},
		"/ip4/1.1.1.1/tcp/443/tls/ws":                      {"tcp4", "1.1.1.1:443", "wss://1.1.1.1:443/", true},
		"/ip4/1.1.1.1/tcp/443/tls/sni/pins.example.com/ws": {"tcp4", "1.1.1.1:443", "wss://pins.example.com:443/", true},
		"/ip4/1.1.1.1/tcp/443/tls/sni/127.0.0.1/ws":        {"tcp4", "1.1.1.1:443", "wss://127.0.0.1:443/", true},
		"/ip4/1.1.1.1/tcp/443/tls/sni/127.0.0.1:80/ws":     {"tcp4", "1.1.1.1:443", "wss://[127.0.0.1:80]:443/", true},
		"/ip4/1.1.1.1/tcp/443/tls/sni/127.0.0.1:80?x=/ws":  {"tcp4", "1.1.1.1:443", "wss://[127.0.0.1:80%3Fx=]:443/", true},
		"/dns4/pins.example.com/tcp/443/tls/ws":            {"tcp4", "pins.example.com:443", "wss://pins.example.com:443/", true},
	} {
		if got, err := wsTargetOf(ma.StringCast(addr)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", addr, got, err)
		}
	}
}

// Whatever went wrong before, the socket of a WebSocket is not connected to what the guard
// refuses, nor by a proxy.
func TestWebSocketSocketsAreGuarded(t *testing.T) {
	tr := newTrap(t, "127.0.0.1")
	resources := newTestHost(t).Network().ResourceManager()
	for _, allow := range []bool{false, true} {
		transport, err := newWebSocket(Config{}, newGater(allow, false, nil))(nil, resources, nil)
		if err != nil {
			t.Fatal(err)
		}
		id, err := test.RandPeerID()
		if err != nil {
			t.Fatal(err)
		}
		for _, rest := range []string{"/ws", "/tls/ws", "/tls/sni/example.com/ws", "/wss"} {
			before := len(tr.Seen())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if allow { // the trap says nothing
				go func() {
					for len(tr.Seen()) == before && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					cancel()
				}()
			}
			_, err := transport.Dial(ctx, ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d%s", tr.Port, rest)), id)
			if err == nil {
				t.Fatalf("%s: the trap is a peer", rest)
			}
			if refused := strings.Contains(err.Error(), "a loopback address"); refused == allow {
				t.Errorf("%s, private addresses allowed %v: %v", rest, allow, err)
			}
			if seen := len(tr.Seen()) > before; seen != allow {
				t.Errorf("%s, private addresses allowed %v: connected to %v", rest, allow, seen)
			}
		}
	}
}

// A server that never ends its headers is hung up on.
func TestWebSocketsOfLiars(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sent := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
		n, _ := io.Copy(c, io.LimitReader(endless{}, 1<<30))
		sent <- n
	}()
	transport, err := newWebSocket(Config{}, newGater(true, false, nil))(nil, newTestHost(t).Network().ResourceManager(), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, err := test.RandPeerID()
	if err != nil {
		t.Fatal(err)
	}
	_, err = transport.Dial(t.Context(), ma.StringCast(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/ws", l.Addr().(*net.TCPAddr).Port)), id)
	if err == nil || !strings.Contains(err.Error(), "more than 65536 bytes") {
		t.Errorf("the error is %v", err)
	}
	if n := <-sent; n == 1<<30 {
		t.Error("all of a GiB was read")
	}
}

// endless is headers.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return copy(b, "X: y\r\n"), nil }
