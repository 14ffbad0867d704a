package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/walk/walktest"
)

// writeSwarmKey makes a key in the form that Kubo's users have it.
func writeSwarmKey(t *testing.T, digit string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "swarm.key")
	text := "/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat(digit, 64) + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Nodes with the key talk, by TCP and by WebSocket; one without, and one with another,
// cannot even say hello.
func TestPrivateNetwork(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"} {
		t.Run(listen, func(t *testing.T) { testPrivateNetwork(t, listen) })
	}
}

func testPrivateNetwork(t *testing.T, listen string) {
	all := dagtest.Tree(dagtest.Leaves(50, 100), 10)
	key := writeSwarmKey(t, "a")
	withKey := func(path string) func(*Config) {
		return func(c *Config) {
			c.SwarmKeyFile = path
			c.Listen = []string{
				"/ip4/127.0.0.1/udp/0/quic-v1", listen, "/ip4/127.0.0.1/udp/0/quic-v1/webtransport", "/ip4/127.0.0.1/udp/0/webrtc-direct",
			}
		}
	}
	has := walktest.NewStore(t, all...)
	hold(t, has, 1, all...)
	holder := newTestNode(t, has, withKey(key))
	if addrs := holder.Addrs(); len(addrs) != 1 || !strings.Contains(addrs[0], "/tcp/") {
		t.Fatalf("it listens on %v", addrs)
	}
	member := walktest.NewStore(t)
	if _, err := newTestNode(t, member, withKey(key)).Fetch(t.Context(), newJob(dagtest.Last(all), holder.Addrs()...)); err != nil {
		t.Fatal(err)
	}
	member.CheckWhole(1, all)

	ai, err := peer.AddrInfoFromString(holder.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no key": func(*Config) {}, "another key": withKey(writeSwarmKey(t, "b")),
	} {
		n := newTestNode(t, walktest.NewStore(t), change)
		n.gater.name(ai.ID) // as an origin is
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := n.host.Connect(ctx, *ai)
		if err == nil || ctx.Err() != nil {
			t.Errorf("%s: connecting ended with %v, and should have failed", name, err)
		}
		if len(n.host.Network().Peers()) > 0 {
			t.Errorf("%s: it has a connection", name)
		}
	}
}

func TestPrivateNetworkConfig(t *testing.T) {
	key := writeSwarmKey(t, "a")
	garbage := filepath.Join(t.TempDir(), "swarm.key")
	if err := os.WriteFile(garbage, []byte("secret garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tcp := []string{"/ip4/127.0.0.1/tcp/0"}
	for name, c := range map[string]struct {
		cfg  Config
		want string // part of the error; "" is none
	}{
		"no peers":   {Config{Routing: RoutingAuto, SwarmKeyFile: key, Listen: tcp, Bootstrap: []string{}}, ""},
		"no routing": {Config{SwarmKeyFile: key, Listen: tcp}, ""},
		"no TCP":     {Config{SwarmKeyFile: key, Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}}, "over TCP alone"},
		"one port":   {Config{SwarmKeyFile: key, Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"}}, "share a port"},
		"no file":    {Config{SwarmKeyFile: key + ".none", Listen: tcp}, "swarm.key.none"},
		"no key":     {Config{SwarmKeyFile: garbage, Listen: tcp}, "/key/swarm/psk/1.0.0/"},
		"no address": {Config{SwarmKeyFile: key, Listen: []string{"nowhere"}}, "node.listen"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := New(t.Context(), c.cfg, walktest.NewStore(t))
			if err == nil {
				defer n.Close()
			}
			switch {
			case c.want == "" && err != nil:
				t.Errorf("the error is %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("the error is %v, and should have %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "garbage"):
				t.Errorf("the error tells what is in the file: %v", err)
			}
		})
	}
}

// A private network is not joined by the public one's peers. Nothing is started
// here.
func TestPrivateNetworkRefusesPublicPeers(t *testing.T) {
	psk, err := loadSwarmKey(writeSwarmKey(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	own := newTestHost(t)
	member, public := withPeer(own.Addrs()[0], own.ID()), dht.DefaultBootstrapPeers[0].String()
	for _, c := range []struct {
		routing   string
		bootstrap []string
		refused   bool
	}{
		{RoutingAuto, nil, true},
		{RoutingAuto, []string{member, public}, true},
		{RoutingAuto, []string{member}, false},
		{RoutingAuto, []string{}, false},
		{RoutingNone, nil, false}, // it is not used
	} {
		cfg := Config{Routing: c.routing, Bootstrap: c.bootstrap, Listen: []string{"/ip4/127.0.0.1/tcp/0"}}
		_, err := privateConfig(cfg, psk, slog.New(slog.DiscardHandler))
		if (err != nil) != c.refused || err != nil && !strings.Contains(err.Error(), "node.bootstrap") {
			t.Errorf("routing %s by %v: the error is %v", c.routing, c.bootstrap, err)
		}
	}
}

func TestPrivateNetworkIsForced(t *testing.T) {
	defer func(was bool) { pnet.ForcePrivateNetwork = was }(pnet.ForcePrivateNetwork)
	pnet.ForcePrivateNetwork = true // as LIBP2P_FORCE_PNET=1 does at start
	cfg := Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}}
	if n, err := New(t.Context(), cfg, walktest.NewStore(t)); !errors.Is(err, errForced) {
		if err == nil {
			n.Close()
		}
		t.Fatalf("without a key the error is %v", err)
	}
	cfg.SwarmKeyFile = writeSwarmKey(t, "a")
	n, err := New(t.Context(), cfg, walktest.NewStore(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// The log says what is left out, and tells keys apart.
func TestPrivateNetworkIsLogged(t *testing.T) {
	fingerprints := map[string]bool{}
	for _, digit := range []string{"a", "b"} {
		var out bytes.Buffer
		psk, err := loadSwarmKey(writeSwarmKey(t, digit))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := privateConfig(Config{Listen: DefaultListen(), HTTPRetrieval: true}, psk, slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if len(cfg.Listen) != 2 || !strings.Contains(out.String(), "/ip6/::/udp/4040/quic-v1/webtransport") {
			t.Errorf("it listens on %v and says\n%s", cfg.Listen, &out)
		}
		if cfg.HTTPRetrieval || !strings.Contains(out.String(), "not fetching from gateways") {
			t.Errorf("it fetches over HTTP: %v; it says\n%s", cfg.HTTPRetrieval, &out)
		}
		if f := keyFingerprint(psk); len(f) != 32 || !strings.Contains(out.String(), f) {
			t.Errorf("the fingerprint %q is not logged:\n%s", f, &out)
		} else {
			fingerprints[f] = true
		}
	}
	if len(fingerprints) != 2 {
		t.Errorf("two keys have the fingerprints %v", fingerprints)
	}
	// What a Kubo v0.43.0 prints at its start with the same key, so that the two
	// can be compared.
	const kubosFingerprint = "8bf0189fdd4f1ca16f988ecdea8cd049"
	psk, err := pnet.DecodeV1PSK(strings.NewReader("/key/swarm/psk/1.0.0/\n/base16/\n" + strings.Repeat("a", 64) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := keyFingerprint(psk); got != kubosFingerprint {
		t.Errorf("the fingerprint is %s, and Kubo prints %s", got, kubosFingerprint)
	}
}
