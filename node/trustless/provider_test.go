package trustless

import (
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestParseMultiaddr(t *testing.T) {
	const id = "/p2p/12D3KooWE6tLamXucfdoAuZgWX4D4DYNs1JCm1n1Lct7Xmmptxz4"
	for addr, want := range map[string]string{
		"/dns/example.com/tcp/443/tls/http":                             "https://example.com",
		"/dns4/example.com/tcp/443/https":                               "https://example.com",
		"/dns6/example.com/tcp/8443/tls/http" + id:                      "https://example.com:8443",
		"/dns/example.com/https":                                        "https://example.com",
		"/dns/example.com/tcp/443/tls/http/http-path/a%2Fgateway":       "https://example.com/a/gateway",
		"/dns/example.com/tcp/443/tls/http/http-path/a%2Fgateway" + id:  "https://example.com/a/gateway",
		"/dns/example.com/tcp/443/tls/http/http-path/odd%3Fpath%23here": "https://example.com/odd%3Fpath%23here",
		"/dns/example.com/tcp/443/tls/http/http-path/slash%2F":          "https://example.com/slash",
		"/ip4/1.2.3.4/tcp/443/tls/http":                                 "https://1.2.3.4",
		"/ip4/1.2.3.4/tcp/443/tls/sni/example.com/http":                 "https://example.com",
		"/ip6/2606:4700::1111/tcp/8443/tls/sni/example.com/http":        "https://example.com:8443",
		"/ip6/2606:4700::1111/tcp/443/tls/sni/example.com/http":         "https://example.com",
		"/ip6/2606:4700::1111/tcp/443/tls/http":                         "https://[2606:4700::1111]",
		"/ip6/2606:4700::1111/tcp/8443/https":                           "https://[2606:4700::1111]:8443",
		"/ip4/127.0.0.1/tcp/8080/http":                                  "http://127.0.0.1:8080",
		"/ip4/192.168.1.1/tcp/80/http":                                  "http://192.168.1.1",

		"/ip4/1.2.3.4/tcp/80/http":                        "", // nobody should see what is fetched
		"/dns/example.com/tcp/80/http":                    "",
		"/ip4/1.2.3.4/tcp/4001":                           "",
		"/ip4/1.2.3.4/udp/4001/quic-v1":                   "",
		"/ip4/1.2.3.4/udp/443/quic-v1/http":               "",
		"/dns/example.com/tcp/443/wss":                    "",
		"/dns/example.com/tcp/443/tls/ws":                 "",
		"/dnsaddr/example.com/tcp/443/tls/http":           "",
		"/dns/example.com/tcp/443/tls/http/p2p-circuit":   "",
		"/unix/var%2Frun%2Fx":                             "",
		"/tcp/443/tls/http":                               "",
		id:                                                "",
		"/dns/user@example.com/tcp/443/tls/http":          "",
		"/dns/example.com:1/tcp/443/tls/http":             "",
		"/dns/example.com%2Fx/tcp/443/tls/http":           "",
		"/dns/example.com?x/tcp/443/tls/http":             "",
		"/ip4/1.2.3.4/tcp/443/tls/sni/a@example.com/http": "",
	} {
		a, err := ma.NewMultiaddr(addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		p, err := ParseMultiaddr(a)
		if p.String() != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, want %q", addr, p, err, want)
		}
	}
}

func TestParseURL(t *testing.T) {
	for s, want := range map[string]string{
		"https://example.com":                  "https://example.com",
		"https://example.com/":                 "https://example.com",
		"http://example.com:8080/a/b/":         "http://example.com:8080/a/b",
		"http://[::1]:8080":                    "http://[::1]:8080",
		"https://example.com/a%2Fb/":           "https://example.com/a%2Fb",
		"":                                     "",
		"example.com":                          "",
		"ftp://example.com":                    "",
		"https://":                             "",
		"https://u:p@example.com":              "",
		"https://example.com?x=y":              "",
		"https://example.com/#x":               "",
		"https://exa mple.com":                 "",
		"https://example.com:99999999/%zz":     "",
		"javascript:alert(1)":                  "",
		"https://example.com/ipfs/\r\nHost: x": "",
	} {
		p, err := ParseURL(s)
		if p.String() != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", s, p, err)
		}
	}
}

func TestProviders(t *testing.T) {
	got := Providers([]ma.Multiaddr{
		ma.StringCast("/ip4/1.2.3.4/tcp/4001"),
		ma.StringCast("/dns/example.com/tcp/443/tls/http"),
		ma.StringCast("/dns4/example.com/tcp/443/https"),
		ma.StringCast("/dns/example.org/https"),
	})
	if len(got) != 2 || got[0].String() != "https://example.com" || got[1].String() != "https://example.org" {
		t.Errorf("got %v", got)
	}
}
