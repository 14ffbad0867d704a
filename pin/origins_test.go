package pin_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
)

var originPeers = []string{
	"/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn",
	"/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
	"/p2p/12D3KooWQmJC7C6yPaG5fCwRRcPYBfr7bPLsnnfMSTDYSxJdtGD5",
}

func kept(t *testing.T, given []string) []string {
	t.Helper()
	got := pin.BestOrigins(given, netip.Addr{})
	if len(got) > pin.MaxOrigins {
		t.Fatalf("%d are kept", len(got))
	}
	place := -1
	for _, o := range got {
		i := slices.Index(given, o)
		if i <= place {
			t.Fatalf("%s is none of those given, or not in their order", o)
		}
		place = i
	}
	return got
}

func count(list []string, part string) (n int) {
	for _, s := range list {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

// A Kubo names each of its transports on each of its interfaces.
func TestOriginsOfEveryTransport(t *testing.T) {
	const hash = "/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"
	var given []string
	for i := range 6 {
		ip := fmt.Sprintf("/ip4/127.0.0.%d", i+1)
		given = append(given,
			ip+"/tcp/4001"+originPeers[0], ip+"/udp/4001/quic-v1"+originPeers[0],
			ip+"/udp/4001/quic-v1/webtransport"+hash+originPeers[0], ip+"/udp/4001/webrtc-direct"+hash+originPeers[0])
	}
	got := kept(t, given)
	if len(got) != pin.MaxOrigins {
		t.Errorf("%d are kept", len(got))
	}
	for _, part := range []string{"/tcp/", "/quic-v1/p2p", "/webtransport/", "/webrtc-direct/"} {
		if n := count(got, part); n != 5 {
			t.Errorf("%d of %s", n, part)
		}
	}
}

func TestOriginsThatAreKept(t *testing.T) {
	var private, public []string
	for i := range 30 {
		private = append(private, fmt.Sprintf("/ip4/192.168.1.%d/tcp/4001%s", i+1, originPeers[0]))
		public = append(public, fmt.Sprintf("/ip4/1.2.3.%d/tcp/4001%s", i+1, originPeers[0]))
	}
	if got := kept(t, private); !slices.Equal(got, private[:20]) {
		t.Errorf("of one kind it kept %q", got)
	}
	if got := kept(t, slices.Concat(private, public[:12])); count(got, "/1.2.3.") != 12 || len(got) != 20 {
		t.Errorf("of public and private ones it kept %q", got)
	}

	// One peer leaves room for the others, also for one without an address.
	late := "/ip4/10.0.0.1/udp/4001/quic-v1" + originPeers[2]
	got := kept(t, slices.Concat(public, []string{originPeers[1], late}))
	if len(got) != 20 || !slices.Contains(got, originPeers[1]) || !slices.Contains(got, late) {
		t.Errorf("of three peers it kept %q", got)
	}

	// Repetitions do not count, however they are written.
	var again []string
	for range 30 {
		again = append(again, public[0], strings.Replace(public[0], "/p2p/", "/ipfs/", 1), public[0]+"/")
	}
	if got := kept(t, append(again, private[0])); !slices.Equal(got, []string{public[0], private[0]}) {
		t.Errorf("of repetitions it kept %q", got)
	}
	if got := kept(t, public[:20]); !slices.Equal(got, public[:20]) {
		t.Errorf("of twenty it kept %q", got)
	}
	if got := pin.BestOrigins(nil, netip.Addr{}); got != nil {
		t.Errorf("of none it kept %q", got)
	}
}

// An origin that is of no use here is left out, and info says why.
func TestOriginsThatAreIgnored(t *testing.T) {
	good := "/ip4/203.0.113.1/tcp/4001" + originPeers[0]
	for _, tt := range []struct {
		name, origin, why string
		address           bool // it is a multiaddr, and given back
	}{
		{"unknown protocol", "/ip4/127.0.0.1/udp/1/quic-v9" + originPeers[0], "unknown protocol quic-v9", false},
		{"unknown network", "/newnet/abc" + originPeers[0], "unknown protocol newnet", false},
		{"nonsense", "127.0.0.1:4001", "127.0.0.1:4001: it is not a multiaddr that is known here: must begin with /", false},
		{"control characters", "/\x1b[31m/x", `"/\x1b[31m/x": it is not a multiaddr that is known here: unknown protocol ` + "\ufffd[31m", false},
		{"empty", "", `"": it is empty`, false},
		{"bad peer", "/ip4/203.0.113.1/tcp/4001/p2p/nobody", "it is not a multiaddr that is known here: invalid value", false},
		{"a sentence", "not, so; good", `"not, so; good": it is not a multiaddr`, false},
		{"long", "/dns/" + strings.Repeat("x", 100_000) + "/tcp/1", "it is longer than 1024 bytes", false},
		{"long, of wide characters", strings.Repeat("😀", 1000), "it is longer than 1024 bytes", false},
		{"no peer", "/ip4/203.0.113.1/tcp/4002", "/ip4/203.0.113.1/tcp/4002: it does not end in /p2p/ and a peer ID", true},
		{"peer not last", good + "/p2p-circuit", "does not end in /p2p/", true},
		{"name", "/dns4/nodes.example.com/tcp/4001", "/dns4/nodes.example.com/tcp/4001: it does not end in /p2p/", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := pin.Request{Spec: pin.Spec{Origins: pin.BestOrigins([]string{tt.origin, good, tt.origin}, netip.Addr{})}}
			want := []string{good}
			if tt.address {
				want = append(want, tt.origin)
			}
			if got := r.Addresses(); !slices.Equal(got, want) {
				t.Errorf("the pin has %q", got)
			}
			info := pin.InfoOf(r)[pin.InfoOriginsIgnored]
			if !strings.Contains(info, tt.why) || strings.Count(info, ": it ") != 1 || len(info) > 1000 {
				t.Errorf("info says %.2000q", info)
			}
			if alone := (pin.Spec{Origins: pin.BestOrigins([]string{tt.origin}, netip.Addr{})}).Addresses(); tt.address == (alone == nil) {
				t.Errorf("alone it leaves %q", alone)
			}
		})
	}
	if info := pin.InfoOf(pin.Request{Spec: pin.Spec{Origins: []string{good}}}); len(info) != 0 {
		t.Errorf("info of a good one: %q", info)
	}

	// Those that cannot be used take no place from those that can.
	var given, bad, nameless []string
	for i := range 40 {
		bad = append(bad, fmt.Sprint("x", i))
		nameless = append(nameless, fmt.Sprintf("/ip4/203.0.113.1/tcp/%d", i+1))
		given = append(given, bad[i], nameless[i], fmt.Sprintf("/ip4/203.0.113.1/tcp/%d%s", i+1, originPeers[0]))
	}
	s := pin.Spec{Origins: pin.BestOrigins(given, netip.Addr{})}
	if got := s.Addresses(); len(got) != 20 || count(got, originPeers[0]) != 20 || len(s.Origins) != 40 {
		t.Errorf("of many it keeps %q", s.Origins)
	}
	s = pin.Spec{Origins: pin.BestOrigins(slices.Concat(bad, nameless, []string{good}), netip.Addr{})}
	if got := s.Addresses(); !slices.Equal(got, append([]string{good}, nameless[:19]...)) {
		t.Errorf("of one that is good it keeps %q", got)
	}
}

// Some addresses say who is there without a peer ID, and the request's own address is as
// good as a public one.
func TestOriginsThatNeedNoPeerID(t *testing.T) {
	given := []string{"/dnsaddr/nodes.example.com", "/dns4/gateway.example.com/tcp/443/tls/http", "/dns/gateway.example.com/https"}
	r := pin.Request{Spec: pin.Spec{Origins: pin.BestOrigins(given, netip.Addr{})}}
	if !slices.Equal(r.Origins, given) || len(pin.InfoOf(r)) != 0 {
		t.Errorf("it keeps %q, and info says %v", r.Origins, pin.InfoOf(r))
	}

	from := netip.MustParseAddr("192.168.1.7")
	own := "/ip4/192.168.1.7/tcp/4001" + originPeers[0]
	given = nil
	for i := range 30 {
		given = append(given, fmt.Sprintf("/ip4/203.0.113.%d/tcp/4001%s", i, originPeers[0]))
	}
	given = append(given, own)
	if kept := pin.BestOrigins(given, netip.Addr{}); slices.Contains(kept, own) || pin.RequesterOf(kept, from).IsValid() {
		t.Errorf("of private ones it keeps %q", kept)
	}
	if kept := pin.BestOrigins(given, from); !slices.Contains(kept, own) || pin.RequesterOf(kept, from) != from {
		t.Errorf("of its own it keeps %q", kept)
	}
	for _, elsewhere := range []string{"127.0.0.1", "192.168.1.8"} {
		if at := pin.RequesterOf([]string{own, "nonsense", ""}, netip.MustParseAddr(elsewhere)); at.IsValid() {
			t.Errorf("of a request from %s it keeps %s", elsewhere, at)
		}
	}
}
