package httpd

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestRequester(t *testing.T) {
	type header = map[string]string
	for name, c := range map[string]struct {
		proxies []string
		public  string
		conn    string
		header  header
		change  func(*http.Request)
		want    string // "" is that it is not certain
	}{
		"a host of the LAN":         {conn: "192.168.1.7:1234", want: "192.168.1.7"},
		"this machine":              {conn: "127.0.0.1:1234", want: "127.0.0.1"},
		"this machine, by IPv6":     {conn: "[::1]:1234", want: "::1"},
		"an IPv4 address in IPv6":   {conn: "[::ffff:192.168.1.7]:1234", want: "192.168.1.7"},
		"a Unix socket":             {conn: "@"},
		"X-Forwarded-For":           {conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "127.0.0.1"}},
		"an empty header":           {conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": ""}},
		"X-Forwarded-Proto":         {conn: "127.0.0.1:1234", header: header{"X-Forwarded-Proto": "https"}},
		"X-Real-IP":                 {conn: "127.0.0.1:1234", header: header{"X-Real-IP": "127.0.0.1"}},
		"Forwarded":                 {conn: "192.168.1.7:1234", header: header{"Forwarded": "for=127.0.0.1"}},
		"Via":                       {conn: "192.168.1.7:1234", header: header{"Via": "1.1 proxy"}},
		"a CDN":                     {conn: "192.168.1.7:1234", header: header{"CF-Connecting-IP": "1.1.1.1"}},
		"HTTP/1.0":                  {conn: "127.0.0.1:1234", change: func(r *http.Request) { r.ProtoMinor = 0 }},
		"Connection: close":         {conn: "127.0.0.1:1234", change: func(r *http.Request) { r.Close = true }},
		"a name for the public":     {public: "https://pins.example.com", conn: "127.0.0.1:1234"},
		"and a host of the LAN":     {public: "https://pins.example.com", conn: "192.168.1.7:1234", want: "192.168.1.7"},
		"a name for this machine":   {public: "http://localhost:5050", conn: "127.0.0.1:1234", want: "127.0.0.1"},
		"an address of loopback":    {public: "http://[::1]:5050", conn: "127.0.0.1:1234", want: "127.0.0.1"},
		"a trusted proxy":           {proxies: []string{"127.0.0.1"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7"}, want: "192.168.1.7"},
		"and its other headers":     {proxies: []string{"127.0.0.1"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7", "Via": "1.1 Caddy", "X-Forwarded-Proto": "https"}, want: "192.168.1.7"},
		"and HTTP/1.0":              {proxies: []string{"127.0.0.1"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7"}, change: func(r *http.Request) { r.ProtoMinor = 0 }, want: "192.168.1.7"},
		"one that says nothing":     {proxies: []string{"127.0.0.1"}, conn: "127.0.0.1:1234"},
		"two of them":               {proxies: []string{"127.0.0.1", "10.0.0.0/8"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7, 10.0.0.2"}, want: "192.168.1.7"},
		"behind one that is not":    {proxies: []string{"127.0.0.1"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "1.1.1.1, 192.168.1.7"}},
		"a client that forges":      {proxies: []string{"127.0.0.1"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "127.0.0.1, 1.1.1.1"}},
		"a trusted client forges":   {proxies: []string{"10.0.0.0/8"}, conn: "10.0.0.1:1234", header: header{"X-Forwarded-For": "10.0.0.9, 10.0.0.8"}},
		"the proxy's own loopback":  {proxies: []string{"10.0.0.1"}, conn: "10.0.0.1:1234", header: header{"X-Forwarded-For": "127.0.0.1"}},
		"the proxy's own link":      {proxies: []string{"10.0.0.1"}, conn: "10.0.0.1:1234", header: header{"X-Forwarded-For": "169.254.0.7"}},
		"both headers":              {proxies: []string{"10.0.0.1"}, conn: "10.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7", "Forwarded": "for=192.168.1.7"}},
		"no address":                {proxies: []string{"10.0.0.1"}, conn: "10.0.0.1:1234", header: header{"X-Forwarded-For": "unknown"}},
		"not from a trusted proxy":  {proxies: []string{"10.0.0.1"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7"}},
		"past the trusted proxy":    {proxies: []string{"10.0.0.1"}, conn: "192.168.1.7:1234", want: "192.168.1.7"},
		"a client of the internet":  {conn: "1.1.1.1:1234", want: "1.1.1.1"},
		"in brackets, with a port":  {proxies: []string{"10.0.0.1"}, conn: "10.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7:1234"}},
		"an address with its zone":  {proxies: []string{"10.0.0.1"}, conn: "10.0.0.1:1234", header: header{"X-Forwarded-For": "fe80::1%eth0"}},
		"a public URL and a header": {public: "https://pins.example.com", proxies: []string{"127.0.0.1"}, conn: "127.0.0.1:1234", header: header{"X-Forwarded-For": "192.168.1.7"}, want: "192.168.1.7"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/api/psa/pins", nil)
			r.RemoteAddr = c.conn
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			if c.change != nil {
				c.change(r)
			}
			var want netip.Addr
			if c.want != "" {
				want = netip.MustParseAddr(c.want)
			}
			if got := Requester(c.proxies, c.public)(r); got != want {
				t.Errorf("it is %v, want %v", got, want)
			}
		})
	}
}
