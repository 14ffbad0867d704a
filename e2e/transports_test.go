package e2e

import (
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// speaking are the options of a Kubo that speaks some transports alone, and listens by
// nothing but what is given.
func speaking(transports, listen []string) rig.KuboOptions {
	config := map[string]any{"Addresses.Swarm": listen}
	for _, name := range []string{"TCP", "QUIC", "Websocket", "WebTransport", "WebRTCDirect"} {
		config["Swarm.Transports.Network."+name] = false
	}
	for _, name := range transports {
		config["Swarm.Transports.Network."+name] = true
	}
	return rig.KuboOptions{Config: config}
}

// TestClientsWithABrowsersTransports has Kubos that can dial no more than a browser, and
// that nobody can dial, pin what they alone have, at a server with all of the default
// transports over IPv4 and IPv6, and WebSocket.
func TestClientsWithABrowsersTransports(t *testing.T) {
	t.Parallel()
	d := newData(t)
	var listen []string
	for _, ip := range []string{"/ip4/127.0.0.1", "/ip6/::1"} {
		listen = append(listen, ip+"/tcp/0", ip+"/udp/0/quic-v1", ip+"/udp/0/quic-v1/webtransport", ip+"/udp/0/webrtc-direct", ip+"/tcp/0/ws")
	}
	d.Env["HOLDFAST_NODE_LISTEN"] = strings.Join(listen, ",")
	s := serve(t, d)
	ctx := within(t, 240*patience)
	for name, transports := range map[string][]string{
		"all":           {"Websocket", "WebTransport", "WebRTCDirect"},
		"websocket":     {"Websocket"},
		"webtransport":  {"WebTransport"},
		"webrtc-direct": {"WebRTCDirect"},
	} {
		kubo := must(suite.StartKubo(ctx, name, speaking(transports, []string{})))(t)
		ends(t, kubo.Process)
		cid := must(kubo.AddFile(ctx, rig.Random(uint64(len(name)), 100_000), 10_000))(t)
		addService(t, kubo, s, "holdfast")
		must(kubo.Run(ctx, nil, "pin", "remote", "add", "--service=holdfast", "--name="+name, cid))(t)
	}
}

// TestSourcesOfOneTransport pins from Kubos that listen by one of a browser's transports
// alone, and do not dial.
func TestSourcesOfOneTransport(t *testing.T) {
	t.Parallel()
	s := serve(t, allowPrivate(newData(t)))
	c := login(t, s)
	ctx := within(t, 240*patience)
	for transport, listen := range map[string]string{
		"Websocket":    "/ip4/127.0.0.1/tcp/0/ws",
		"WebTransport": "/ip4/127.0.0.1/udp/0/quic-v1/webtransport",
		"WebRTCDirect": "/ip4/127.0.0.1/udp/0/webrtc-direct",
	} {
		kubo := must(suite.StartKubo(ctx, transport, speaking([]string{transport}, []string{listen})))(t)
		ends(t, kubo.Process)
		cid := must(kubo.AddFile(ctx, rig.Random(uint64(500+len(listen)), 100_000), 10_000))(t)
		got := pinned(t, c, rig.Pin{CID: cid, Origins: kubo.Addrs}, 60*patience)
		if len(got.Delegates) == 0 {
			t.Errorf("%s: the answer has no delegates", transport)
		}
	}
}
