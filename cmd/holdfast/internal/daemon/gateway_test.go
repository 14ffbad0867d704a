package daemon

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// withGateway is a program that serves a gateway on loopback.
func withGateway(t *testing.T, change ...func(*config.Config)) (*Program, *logtest.Lines) {
	t.Helper()
	p, lines := testProgram(t, testDataDir(t))
	p.Config.Gateway.Listen = "127.0.0.1:0"
	for _, c := range change {
		c(&p.Config)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, lines
}

func TestGateway(t *testing.T) {
	p, _ := withGateway(t)
	root, leaf := twoBlocks(t)
	raw := p.gateway.url() + "/ipfs/" + leaf.Cid().String() + "?format=raw"
	if err := p.core.store.Blockstore().Put(t.Context(), leaf); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, raw); status != http.StatusNotFound {
		t.Errorf("a block that no pin holds: %d %q", status, body)
	}
	hold(t, p, root, leaf)
	if status, body := get(t, raw); status != http.StatusOK || body != string(leaf.RawData()) {
		t.Errorf("a block that is pinned: %d %q", status, body)
	}
	if status, body := get(t, p.gateway.url()+"/ipfs/"+root.Cid().String()+"?format=car"); status != http.StatusOK || !strings.Contains(body, string(leaf.RawData())) {
		t.Errorf("a DAG that is pinned: %d, %d bytes", status, len(body))
	}
	// Each of the two serves what is its own.
	for _, url := range []string{
		p.gateway.url() + "/healthz", p.gateway.url() + "/api/psa/pins", p.gateway.url() + "/api/auth/login",
		p.gateway.url() + openAPIPath, p.URL() + "/ipfs/" + leaf.Cid().String() + "?format=raw",
	} {
		if status, _ := get(t, url); status != http.StatusNotFound {
			t.Errorf("%s answers %d", url, status)
		}
	}
	if run, ok := datadir.ReadRunFile(p.Data.File(datadir.RunFileName)); !ok || run.Gateway != p.gateway.url() {
		t.Errorf("run.json has %+v", run)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(raw); err == nil {
		t.Error("the gateway answers after Close")
	}
}

func TestNoGatewayByDefault(t *testing.T) {
	p, _ := runProgram(t)
	run, ok := datadir.ReadRunFile(p.Data.File(datadir.RunFileName))
	if !ok || run.Gateway != "" || p.gateway != nil || config.Default().Gateway.Listen != "" {
		t.Errorf("there is a gateway at %q", run.Gateway)
	}
}

func TestGatewayCannotListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p, _ := testProgram(t, testDataDir(t))
	p.Config.Gateway.Listen = taken.Addr().String()
	err = p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("error is %v, want one that names the address", err)
	}
	if h, ok := errors.AsType[*hint.Error](err); !ok || !strings.Contains(h.Hint, "gateway.listen") {
		t.Errorf("the hint of %v does not name the key", err)
	}
}

// What only the proxy may say, of the host and of TLS, is believed of a trusted proxy alone.
func TestGatewayForPeople(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		p, _ := withGateway(t, func(c *config.Config) {
			c.Gateway.Deserialized = true
			c.Gateway.Hosts, c.Gateway.PathHosts = []string{"dweb.example.org"}, []string{"127.0.0.1"}
			if trusted {
				c.HTTP.TrustedProxies = []string{"127.0.0.1"}
			}
		})
		root, leaf := twoBlocks(t)
		hold(t, p, root, leaf)
		ask := func(host string, header ...string) (int, string, http.Header) {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.gateway.url()+"/ipfs/"+leaf.Cid().String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			return answer.StatusCode, answer.Header.Get("Location"), answer.Header
		}
		status, location, _ := ask("dweb.example.org", "X-Forwarded-Proto", "https")
		if status != http.StatusMovedPermanently || strings.HasPrefix(location, "https://") != trusted {
			t.Errorf("trusted %v: TLS by a header: %d, %s", trusted, status, location)
		}
		status, location, _ = ask("other.example.org", "X-Forwarded-Host", "dweb.example.org")
		if (status == http.StatusMovedPermanently) != trusted {
			t.Errorf("trusted %v: a host by a header: %d, %s", trusted, status, location)
		}
		// Nothing says that all of this DAG is here.
		if status, _, h := ask("127.0.0.1"); status != http.StatusNotFound || !strings.HasPrefix(h.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("what is not complete: %d, %v", status, h)
		}
	}
}
