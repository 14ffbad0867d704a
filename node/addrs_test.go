package node

import (
	"fmt"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

func TestAddresses(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.Listen = []string{
			"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1",
			"/ip4/127.0.0.1/udp/0/quic-v1/webtransport", "/ip4/127.0.0.1/udp/0/webrtc-direct", "/ip4/127.0.0.1/tcp/0/ws",
		}
	})
	if got := n.Addrs(); len(got) != 5 {
		t.Errorf("it listens on %v", got)
	}
	for _, s := range append(n.Addrs(), n.Delegates()...) {
		ai, err := peer.AddrInfoFromString(s)
		if err != nil || ai.ID.String() != n.PeerID() || !strings.HasSuffix(s, "/p2p/"+n.PeerID()) {
			t.Errorf("%s: %v", s, err)
		}
		if strings.Contains(s, "/tcp/0/") || strings.Contains(s, "/udp/0/") {
			t.Errorf("%s has no port", s)
		}
	}
	if got := n.Delegates(); len(got) != 5 || !strings.Contains(got[0], "/tcp/") {
		t.Errorf("the delegates are %v", got)
	}
	for _, s := range n.Addrs() { // each of them leads here
		ai, err := peer.AddrInfoFromString(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := newTestHost(t).Connect(t.Context(), *ai); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestDelegatesOfAnyAddress(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Listen = []string{"/ip4/0.0.0.0/tcp/0"} })
	got := n.Delegates()
	if len(got) == 0 || len(got) > maxDelegates {
		t.Fatalf("the delegates are %v", got)
	}
	for _, s := range got {
		if strings.Contains(s, "/0.0.0.0/") {
			t.Errorf("%s cannot be dialled", s)
		}
	}
}

// reachedHost is a host that others have reached.
type reachedHost struct {
	host.Host
	by []ma.Multiaddr
}

func (h reachedHost) ConfirmedAddrs() (reachable, unreachable, unknown []ma.Multiaddr) {
	return h.by, nil, []ma.Multiaddr{ma.StringCast("/ip4/9.9.9.9/tcp/1")}
}

// Behind a router, clients are given the address that others have reached the
// node by, and none that nobody has.
func TestDelegatesBehindARouter(t *testing.T) {
	n := newTestNode(t, walktest.NewStore(t))
	if _, ok := n.host.(confirmer); !ok {
		t.Fatalf("%T does not tell which addresses were reached", n.host)
	}
	if got := n.findDelegates(); len(got) != 1 || !strings.HasPrefix(got[0], "/ip4/127.0.0.1/") {
		t.Errorf("without a router they are %v", got)
	}
	inner := n.host
	defer func() { n.host = inner }()
	n.host = reachedHost{inner, []ma.Multiaddr{
		ma.StringCast("/ip4/8.8.8.8/tcp/1234"),
		ma.StringCast("/ip4/1.1.1.1/tcp/1/p2p/" + n.PeerID() + "/p2p-circuit"),
	}}
	if got, want := n.findDelegates(), []string{"/ip4/8.8.8.8/tcp/1234/p2p/" + n.PeerID()}; !slices.Equal(got, want) {
		t.Errorf("they are %v, want %v", got, want)
	}
}

func TestAnnounce(t *testing.T) {
	announce := []string{"/dns4/pins.example.com/tcp/4040", "/ip4/1.2.3.4/udp/4040/quic-v1"}
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) { c.Announce = announce })
	got := n.Delegates()
	if len(got) != 2 || got[0] != announce[0]+"/p2p/"+n.PeerID() || got[1] != announce[1]+"/p2p/"+n.PeerID() {
		t.Errorf("the delegates are %v", got)
	}
	if addrs := n.host.Addrs(); len(addrs) != 2 || !slices.ContainsFunc(addrs, func(a ma.Multiaddr) bool { return a.String() == announce[0] }) {
		t.Errorf("others are told %v", addrs)
	}
}

// What is announced beside the node's own addresses is told with them, and has its place
// among the delegates. Hashes of certificates, which nobody can write down, come to it.
func TestAppendAnnounce(t *testing.T) {
	const wss, webTransport = "/dns4/pins.example.com/tcp/443/tls/ws", "/ip4/1.2.3.4/udp/4040/quic-v1/webtransport"
	listen := []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1/webtransport"}
	n := newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.Listen, c.AppendAnnounce = listen, []string{wss, webTransport}
	})
	hashed := func(s string) bool { return strings.HasPrefix(s, webTransport+"/certhash/") }
	got := n.Delegates()
	if len(got) != 2 || got[0] != wss+"/p2p/"+n.PeerID() || !hashed(got[1]) {
		t.Errorf("the delegates are %v", got)
	}
	if addrs := n.host.Addrs(); len(addrs) != 4 {
		t.Errorf("others are told %v", addrs)
	}
	n = newTestNode(t, walktest.NewStore(t), func(c *Config) {
		c.Listen, c.Announce, c.AppendAnnounce = listen, []string{webTransport}, []string{wss}
	})
	if got := n.Delegates(); len(got) != 2 || got[0] != wss+"/p2p/"+n.PeerID() || !hashed(got[1]) {
		t.Errorf("with announce they are %v", got)
	}
	if addrs := n.host.Addrs(); len(addrs) != 2 {
		t.Errorf("with announce others are told %v", addrs)
	}
}

func TestBadConfig(t *testing.T) {
	other := newTestHost(t).ID().String()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	taken := fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", conn.LocalAddr().(*net.UDPAddr).Port)
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"routing":             {func(c *Config) { c.Routing = "maybe" }, "node.routing"},
		"announce":            {func(c *Config) { c.Announce = []string{"1.2.3.4:5"} }, "node.announce"},
		"announce of another": {func(c *Config) { c.Announce = []string{"/ip4/1.2.3.4/tcp/1/p2p/" + other} }, other},
		"append_announce":     {func(c *Config) { c.AppendAnnounce = []string{"1.2.3.4:5"} }, "node.append_announce"},
		"no certificate":      {func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0/tls/ws"} }, "http.tls"},
		"announce of nothing": {func(c *Config) { c.Announce = []string{"/p2p/" + other} }, "node.announce"},
		"listen on nothing":   {func(c *Config) { c.Listen = []string{} }, "node.listen"},
		"listen, taken":       {func(c *Config) { c.Listen = []string{"/ip4/127.0.0.1/tcp/0", taken} }, taken},
		"listen":              {func(c *Config) { c.Listen = []string{"nowhere"} }, "nowhere"},
		"bootstrap":           {func(c *Config) { c.Routing, c.Bootstrap = RoutingAuto, []string{"/ip4/127.0.0.1/tcp/1"} }, "node.bootstrap"},
	} {
		cfg := Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}}
		c.change(&cfg)
		n, err := New(t.Context(), cfg, walktest.NewStore(t))
		if err == nil {
			n.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Two servers of one user must not share a port, each getting half of the
// other's connections.
func TestPortIsNotShared(t *testing.T) {
	first := newTestNode(t, walktest.NewStore(t))
	addr, _, _ := strings.Cut(first.Addrs()[0], "/p2p/")
	second, err := New(t.Context(), Config{Listen: []string{addr}}, walktest.NewStore(t))
	if err == nil {
		second.Close()
		t.Fatalf("two nodes listen on %s", addr)
	}
	if !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error is %v", err)
	}
}

func TestIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identity.key")
	first, err := loadIdentity(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if again, err := loadIdentity(file); err != nil || !again.Equals(first) {
		t.Fatalf("another key the second time; %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}

	rsa, _, err := crypto.GenerateKeyPair(crypto.RSA, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaData, err := crypto.MarshalPrivateKey(rsa)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"empty": nil, "torn": whole[:20], "text": []byte("hello"), "RSA": rsaData} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadIdentity(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != string(data) {
			t.Errorf("%s: the file was changed; %v", name, err)
		}
	}

	if _, err := loadIdentity(filepath.Join(t.TempDir(), "missing", "key")); err == nil {
		t.Error("a key was made in a directory that is not there")
	}
}

func TestNodeKeepsItsIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "identity.key")
	keep := func(c *Config) { c.KeyFile = file }
	first := newTestNode(t, walktest.NewStore(t), keep)
	id := first.PeerID()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if again := newTestNode(t, walktest.NewStore(t), keep).PeerID(); again != id {
		t.Errorf("%s is now %s", id, again)
	}
}
