package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
)

// certificate makes a self-signed one, as PEM.
func certificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func replaceFile(t *testing.T, path string, content []byte, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// nameShown is the name in the certificate that a server shows, and what was
// negotiated.
func nameShown(t *testing.T, base string) (name string, state tls.ConnectionState) {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{
		InsecureSkipVerify: true, // it is looked at below
		NextProtos:         []string{"h2", "http/1.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state = conn.ConnectionState()
	return state.PeerCertificates[0].Subject.CommonName, state
}

func TestTLSFromFiles(t *testing.T) {
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := certificate(t, "first.example.com")
	replaceFile(t, certPath, cert, time.Hour)
	replaceFile(t, keyPath, key, time.Hour)

	p, lines := testProgram(t, testDataDir(t))
	p.Config.HTTP.TLS, p.Config.HTTP.TLSCert, p.Config.HTTP.TLSKey = config.TLSFiles, certPath, keyPath
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	base := p.URL()
	if !strings.HasPrefix(base, "https://127.0.0.1:") || p.endpoint() != base+"/api/psa/" {
		t.Errorf("the server is at %s, its endpoint at %s", base, p.endpoint())
	}
	name, state := nameShown(t, base)
	if name != "first.example.com" || state.NegotiatedProtocol != "h2" || state.Version < tls.VersionTLS12 {
		t.Errorf("it shows %s, speaks %q over %x", name, state.NegotiatedProtocol, state.Version)
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	ask := func() *http.Response {
		t.Helper()
		answer, err := client.Get(base + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if answer := ask(); answer.StatusCode != http.StatusOK || answer.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("healthz answers %s %v", answer.Status, answer.Header)
	}

	// One file is replaced a moment before the other: nothing breaks meanwhile.
	cert2, key2 := certificate(t, "second.example.com")
	replaceFile(t, certPath, cert2, time.Minute)
	for range 3 {
		if name, _ := nameShown(t, base); name != "first.example.com" {
			t.Errorf("with half of a new certificate it shows %s", name)
		}
	}
	if n := strings.Count(lines.String(), "cannot be read"); n != 1 {
		t.Errorf("that was logged %d times:\n%s", n, lines)
	}
	replaceFile(t, keyPath, key2, time.Minute)
	if name, _ := nameShown(t, base); name != "second.example.com" {
		t.Errorf("after the files changed it shows %s", name)
	}
	// A connection from before goes on.
	ask()
	if strings.Contains(lines.String(), string(key2)) {
		t.Error("the key was logged")
	}
	if err := os.Remove(keyPath); err != nil {
		t.Fatal(err)
	}
	if name, _ := nameShown(t, base); name != "second.example.com" {
		t.Errorf("without its files it shows %s", name)
	}
}

func TestTLSFilesThatAreNone(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	p.Config.HTTP.TLS, p.Config.HTTP.TLSCert, p.Config.HTTP.TLSKey = config.TLSFiles, "/nonexistent/cert", "/nonexistent/key"
	err := p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/cert") {
		t.Errorf("error is %v, want the path in it", err)
	}
}

func TestSecurityHeaders(t *testing.T) {
	p, _ := runProgram(t)
	for _, path := range []string{"/nothing", "/healthz", "/api/psa/pins", "/api/auth/me", "/api/nothing"} {
		answer, err := http.Get(p.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range httpd.SecurityHeaders {
			if got := answer.Header.Get(kv[0]); got != kv[1] {
				t.Errorf("%s: %s is %q, want %q", path, kv[0], got, kv[1])
			}
		}
		if s := answer.Header.Get("Strict-Transport-Security"); s != "" {
			t.Errorf("%s: HSTS over plain HTTP: %q", path, s)
		}
		// No header names the program or its version.
		for name, values := range answer.Header {
			if name == "Server" || name == "X-Powered-By" || strings.Contains(strings.ToLower(strings.Join(values, " ")), "go1.") {
				t.Errorf("%s: the header %s says %q", path, name, values)
			}
		}
		if v := p.Version; strings.Contains(string(body), v) || strings.Contains(string(body), "go1.") {
			t.Errorf("%s: the body tells the version: %s", path, body)
		}
	}
}

func TestPublicURL(t *testing.T) {
	for _, tt := range []struct {
		name string
		http config.HTTP
		want string
	}{
		{"plain", config.HTTP{Listen: "127.0.0.1:5050", TLS: config.TLSOff}, "http://127.0.0.1:5050"},
		{"every address", config.HTTP{Listen: ":5050", TLS: config.TLSOff}, "http://127.0.0.1:5050"},
		{"files", config.HTTP{Listen: "127.0.0.1:5050", TLS: config.TLSFiles}, "https://127.0.0.1:5050"},
		{"acme", config.HTTP{Listen: ":8443", TLS: config.TLSACME, ACMEDomains: []string{"pins.example.com"}}, "https://pins.example.com"},
		{"set", config.HTTP{Listen: ":8443", TLS: config.TLSACME, ACMEDomains: []string{"a.example.com"}, PublicURL: "https://b.example.com"}, "https://b.example.com"},
	} {
		if got := config.ConfiguredURL(tt.http); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestTLSConfigValues(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*config.HTTP)
		want string
	}{
		{"another mode", func(h *config.HTTP) { h.TLS = "on" }, "want one of off, files, acme"},
		{"no certificate", func(h *config.HTTP) { h.TLS, h.TLSKey = config.TLSFiles, "key" }, "needs the file of a certificate"},
		{"no key", func(h *config.HTTP) { h.TLS, h.TLSCert = config.TLSFiles, "cert" }, "needs the file of the certificate's key"},
		{"no names", func(h *config.HTTP) { h.TLS = config.TLSACME }, "needs the names"},
		{"an address for a name", func(h *config.HTTP) { h.TLS, h.ACMEDomains = config.TLSACME, []string{"192.0.2.1"} }, "want a host name"},
		{"a URL for a name", func(h *config.HTTP) { h.TLS, h.ACMEDomains = config.TLSACME, []string{"https://x.example.com"} }, "want a host name"},
		{"a CA over plain HTTP", func(h *config.HTTP) { h.ACMECA = "http://ca.example.com/directory" }, "want the URL of an ACME directory"},
		{"no connections", func(h *config.HTTP) { h.MaxConnections = 0 }, "http.max_connections"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config.Default()
			tt.edit(&c.HTTP)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q in it", err, tt.want)
			}
		})
	}
}

// ACME asks only the configured CA.
func TestACMEAsksOneCA(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	c := config.Default().HTTP
	c.TLS, c.ACMEDomains, c.ACMECA, c.ACMEEmail = config.TLSACME, []string{"pins.example.com"}, "https://ca.example.com/dir", "me@example.com"
	a, err := httpd.OpenACME(c, p.Data.File(datadir.ACMEDirName), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8443}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if n := len(a.Magic.Issuers); n != 1 {
		t.Fatalf("there are %d issuers, want one", n)
	}
	key := a.Magic.Issuers[0].IssuerKey()
	if u, err := url.Parse(c.ACMECA); err != nil || !strings.HasPrefix(key, u.Host) {
		t.Errorf("the issuer is %s", key)
	}
	issuer := fmt.Sprintf("%+v", a.Magic.Issuers[0])
	for _, other := range []string{"letsencrypt", "zerossl", "goog"} {
		if strings.Contains(issuer, other) {
			t.Errorf("the issuer knows of %s: %s", other, issuer)
		}
	}
	if !a.Magic.OCSP.DisableStapling {
		t.Error("certificates are looked up at their OCSP responder")
	}
	if protos := a.Config().NextProtos; !slices.Contains(protos, "acme-tls/1") || protos[0] != "h2" {
		t.Errorf("it negotiates %q", protos)
	}
}

// WebSockets of the node show the certificate of the API, by the name in http.public_url,
// and the new one after it changed.
func TestWebSocketsHaveTheCertificate(t *testing.T) {
	dir := t.TempDir()
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	p, _ := testProgram(t, testDataDir(t))
	p.Config.HTTP.TLS, p.Config.HTTP.TLSCert, p.Config.HTTP.TLSKey = config.TLSFiles, certPath, keyPath
	p.Config.HTTP.PublicURL = "https://pins.example.com:8443"
	p.Config.Node.Listen = []string{"/ip4/127.0.0.1/tcp/0/tls/ws"}
	var server peer.AddrInfo
	for i := range 2 {
		cert, key := certificate(t, "pins.example.com")
		replaceFile(t, certPath, cert, time.Hour/time.Duration(i+1))
		replaceFile(t, keyPath, key, time.Hour/time.Duration(i+1))
		if i == 0 {
			if err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			id, err := peer.Decode(p.node.PeerID())
			if err != nil {
				t.Fatal(err)
			}
			delegates := p.node.Delegates()
			if len(delegates) != 1 || !strings.HasPrefix(delegates[0], "/dns/pins.example.com/tcp/") {
				t.Fatalf("the delegates are %v", delegates)
			}
			port := strings.Split(delegates[0], "/")[4]
			at := multiaddr.StringCast("/ip4/127.0.0.1/tcp/" + port + "/tls/sni/pins.example.com/ws")
			server = peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{at}}
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(cert)
		client, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(),
			libp2p.Transport(websocket.New, websocket.WithTLSClientConfig(&tls.Config{RootCAs: roots})))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.Connect(t.Context(), server); err != nil {
			t.Errorf("with certificate %d: %v", i+1, err)
		}
	}
}
