package node

import (
	"slices"
	"strings"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// listenedOn is what a node with the default addresses has at an IP address.
func listenedOn(ip string) []string {
	return []string{ip + "/tcp/4040", ip + "/udp/4040/quic-v1", ip + "/udp/4040/quic-v1/webtransport", ip + "/udp/4040/webrtc-direct"}
}

func TestPickDelegates(t *testing.T) {
	const (
		loop  = "/ip4/127.0.0.1"
		lan   = "/ip4/192.168.1.5"
		box   = "/ip4/172.17.0.1"
		ula   = "/ip6/fd00::5"
		pub   = "/ip4/1.2.3.4"
		pub6  = "/ip6/2606:4700::1111"
		tcp   = "/tcp/4040"
		quic  = "/udp/4040/quic-v1"
		wt    = quic + "/webtransport"
		rtc   = "/udp/4040/webrtc-direct"
		ws    = tcp + "/ws"
		tlsWS = tcp + "/tls/ws"
		any   = "/ip4/0.0.0.0/tcp/4040"
		link  = "/ip6/fe80::1/tcp/4040"
		name  = "/dns4/pins.example.com/tcp/443/tls/ws"
	)
	for what, c := range map[string]struct{ in, want []string }{
		"none":           {[]string{any, link, "/unix/x"}, []string{}},
		"loopback alone": {[]string{any, loop + quic, loop + tcp, link}, []string{loop + tcp, loop + quic}},
		"no loopback beside others": {
			[]string{loop + tcp, lan + quic, lan + tcp},
			[]string{lan + tcp, lan + quic},
		},
		"the local network beside IPv6 of the internet": {
			slices.Concat(listenedOn(pub6), listenedOn(lan), listenedOn(box), listenedOn(loop)),
			[]string{
				pub6 + tcp, lan + tcp, box + tcp, pub6 + quic, lan + quic, box + quic,
				pub6 + wt, lan + wt, box + wt, pub6 + rtc, lan + rtc, box + rtc,
			},
		},
		"all that a dual-stack server listens on by default": {
			slices.Concat(listenedOn(pub), listenedOn(pub6)),
			[]string{pub + tcp, pub6 + tcp, pub + quic, pub6 + quic, pub + wt, pub6 + wt, pub + rtc, pub6 + rtc},
		},
		"each once": {[]string{pub + tcp, pub + tcp}, []string{pub + tcp}},
		"of each kind": {
			[]string{lan + ws, pub + ws, pub + rtc, pub + wt, pub + tlsWS, name, ula + tcp, pub6 + tcp, pub + quic, pub + tcp, "/dns6/x.example.com/tcp/1"},
			[]string{
				pub + tcp, pub6 + tcp, "/dns6/x.example.com/tcp/1", ula + tcp, pub + quic,
				pub + tlsWS, name, pub + wt, pub + rtc, pub + ws, lan + ws,
			},
		},
		"the first of each kind before the second of any": {
			slices.Concat(listenedOn("/ip4/172.18.0.1"), listenedOn("/ip4/172.19.0.1"), listenedOn("/ip4/172.20.0.1"),
				listenedOn("/ip4/172.21.0.1"), listenedOn(pub), listenedOn(pub6), listenedOn("/ip4/1.2.3.5"), listenedOn(ula)),
			[]string{
				pub + tcp, "/ip4/1.2.3.5" + tcp, pub6 + tcp, "/ip4/172.18.0.1" + tcp, ula + tcp,
				pub + quic, "/ip4/1.2.3.5" + quic, pub6 + quic, "/ip4/172.18.0.1" + quic, ula + quic,
				pub + wt, "/ip4/1.2.3.5" + wt, pub6 + wt, "/ip4/172.18.0.1" + wt, ula + wt,
				pub + rtc, "/ip4/1.2.3.5" + rtc, pub6 + rtc, "/ip4/172.18.0.1" + rtc, ula + rtc,
			},
		},
	} {
		var in []ma.Multiaddr
		for _, s := range c.in {
			in = append(in, ma.StringCast(s))
		}
		got := []string{}
		for _, a := range pickDelegates(in) {
			got = append(got, a.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// Every kind of network has its kinds of transports, if they do not have room together.
func TestDelegatesAreFull(t *testing.T) {
	var in []ma.Multiaddr
	for _, ip := range []string{"/ip6/fd00::5", "/ip4/192.168.1.5", "/ip6/2606:4700::1111", "/ip4/1.2.3.4"} {
		for _, s := range append(listenedOn(ip), ip+"/tcp/4040/ws", ip+"/tcp/4040/tls/ws") {
			in = append(in, ma.StringCast(s))
		}
	}
	got := pickDelegates(in)
	if len(got) != maxDelegates {
		t.Fatalf("%d of %d", len(got), len(in))
	}
	for i, a := range got {
		if has(a, ma.P_IP6) && fromOf(a) == fromNetwork && transportOf(a) > byQUIC {
			t.Errorf("%s, at %d, in place of a likelier one", a, i)
		}
	}
}

// At default settings a server with both versions of IP offers addresses that browsers dial.
func TestDefaultDelegatesOfBrowsers(t *testing.T) {
	var in []ma.Multiaddr
	for _, s := range DefaultListen() {
		s = strings.Replace(strings.Replace(s, "/ip4/0.0.0.0", "/ip4/1.2.3.4", 1), "/ip6/::", "/ip6/2606:4700::1111", 1)
		in = append(in, ma.StringCast(s))
	}
	for _, version := range []int{ma.P_IP4, ma.P_IP6} {
		for _, transport := range []int{ma.P_TCP, ma.P_QUIC_V1, ma.P_WEBTRANSPORT, ma.P_WEBRTC_DIRECT} {
			if !slices.ContainsFunc(pickDelegates(in), func(a ma.Multiaddr) bool { return has(a, version) && has(a, transport) }) {
				t.Errorf("no delegate has %s over %s", ma.ProtocolWithCode(transport).Name, ma.ProtocolWithCode(version).Name)
			}
		}
	}
}
