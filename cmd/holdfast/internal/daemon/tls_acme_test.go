package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// freePort is a port of this host that nobody has now, for TCP and for UDP.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			udp.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no port is free for TCP and UDP")
	return 0
}

// testCA is a CA with ACME on this host, which finds every name here.
func testCA(t *testing.T, tlsPort int) (front *httptest.Server, root *x509.Certificate) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1") // it plays a slow CA otherwise
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	names := net.JoinHostPort("127.0.0.1", portText(freePort(t)))
	quiet := log.New(io.Discard, "", 0)
	dns, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{names}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	dns.SetDefaultDNSIPv4("127.0.0.1")
	dns.SetDefaultDNSIPv6("")
	go dns.Run()
	t.Cleanup(dns.Shutdown)
	// The CA asks over TCP, and a refusal costs the server a minute of waiting.
	for deadline := time.Now().Add(logtest.Patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", names)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}

	store := db.NewMemoryStore()
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	validator := va.New(quiet, 1, tlsPort, true, names, store)
	handlers := wfe.New(quiet, store, validator, issuer, []string{"ca.example.com"}, true, false, 1, 1)
	front = httptest.NewTLSServer(handlers.Handler())
	t.Cleanup(front.Close)
	block, _ := pem.Decode(issuer.GetRootCert(0).PEM())
	if root, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return front, root
}

func portText(port int) string {
	_, text, _ := net.SplitHostPort((&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String())
	return text
}

// A server gets its certificate from a CA by itself, and keeps it.
func TestTLSFromACME(t *testing.T) {
	const name = "pins.example.com"
	port := freePort(t)
	authority, root := testCA(t, port)
	d := testDataDir(t)
	caRoots := filepath.Join(t.TempDir(), "ca.pem")
	replaceFile(t, caRoots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}), 0)
	start := func() (*Program, *logtest.Lines) {
		p, lines := testProgram(t, d)
		p.Config.HTTP.Listen = net.JoinHostPort("127.0.0.1", portText(port))
		p.Config.HTTP.TLS, p.Config.HTTP.ACMEDomains, p.Config.HTTP.ACMECA = config.TLSACME, []string{name}, authority.URL+wfe.DirectoryPath
		p.Config.HTTP.ACMECARoots = caRoots
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return p, lines
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: name},
	}}
	// await waits until the server shows what the CA gave.
	await := func(p *Program) error {
		for deadline := time.Now().Add(logtest.Patience); ; time.Sleep(10 * time.Millisecond) {
			answer, err := client.Get(p.URL() + "/healthz")
			if err == nil {
				return answer.Body.Close()
			}
			if time.Now().After(deadline) {
				return err
			}
		}
	}

	p, lines := start()
	lines.Await(t, "got a TLS certificate")
	if err := await(p); err != nil {
		t.Fatalf("the server does not show the CA's certificate: %v\n%s", err, lines)
	}
	if p.endpoint() != "https://"+name+"/api/psa/" {
		t.Errorf("the endpoint is %s", p.endpoint())
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	// Only the owner can read the files of the CA.
	err := filepath.WalkDir(d.File(datadir.ACMEDirName), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}

	// The next start needs no CA.
	authority.Close()
	p, lines = start()
	if err := await(p); err != nil {
		t.Errorf("the certificate was not kept: %v\n%s", err, lines)
	}
}
