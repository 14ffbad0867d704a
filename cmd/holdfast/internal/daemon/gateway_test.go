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
