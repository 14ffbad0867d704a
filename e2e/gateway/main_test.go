//go:build gateway

package gateway

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// suite is what the tests share: a Kubo with a gateway, and a Holdfast that pins from it.
var suite struct {
	*rig.Rig
	kubo   *rig.Kubo
	server *rig.Server
	client *rig.Client
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if suite.Rig, err = rig.New(ctx, rig.Options{}); err != nil {
		return 0, err
	}
	defer suite.Close()
	// By default Kubo has subdomains at localhost, and paths at 127.0.0.1.
	suite.kubo, err = suite.StartKubo(ctx, "kubo", rig.KuboOptions{Config: map[string]any{
		"Addresses.Gateway": "/ip4/127.0.0.1/tcp/0", "Gateway.NoFetch": true, "Gateway.NoDNSLink": true,
	}})
	if err != nil {
		return 0, err
	}
	defer suite.kubo.Kill()
	d, err := suite.NewData()
	if err != nil {
		return 0, err
	}
	maps.Copy(d.Env, map[string]string{
		"HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES": "true",
		"HOLDFAST_GATEWAY_LISTEN":               "127.0.0.1:0",
		"HOLDFAST_GATEWAY_DESERIALIZED":         "true",
		"HOLDFAST_GATEWAY_HOSTS":                "localhost",
		"HOLDFAST_GATEWAY_PATH_HOSTS":           "127.0.0.1",
	})
	const email, password = "gateway@example.org", "correct horse battery staple"
	if err := d.AddUser(ctx, email, password); err != nil {
		return 0, err
	}
	if suite.server, err = d.Serve(ctx); err != nil {
		return 0, err
	}
	defer suite.server.Kill()
	token, err := rig.Login(ctx, suite.server.HTTP, email, password)
	if err != nil {
		return 0, err
	}
	suite.client = rig.NewClient(suite.server.HTTP, token)
	return m.Run(), nil
}

// pin has the server pin what Kubo has.
func pin(t *testing.T, cid string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, err := suite.client.Add(ctx, rig.Pin{CID: cid, Origins: suite.kubo.Addrs})
	if err == nil {
		_, err = suite.client.WaitStatus(ctx, s.RequestID, "pinned", 20*time.Millisecond)
	}
	if err != nil {
		t.Fatalf("pin %s: %v\n%s", cid, err, suite.server.Tail())
	}
}

// addTree adds a directory to Kubo, and pins it.
func addTree(t *testing.T, files map[string][]byte) (cid string) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cid, err := suite.kubo.AddTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	pin(t, cid)
	return cid
}
