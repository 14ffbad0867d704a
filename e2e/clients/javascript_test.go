package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestJavaScriptClients has clients for JavaScript make every request that they can.
func TestJavaScriptClients(t *testing.T) {
	dir := t.TempDir()
	npm(t, "psa", dir)
	binary := build(t)
	for name, command := range map[string][]string{
		"pinning-service-client 1": {"pinning-service-client.mjs", "pinning-service-client-1"},
		"pinning-service-client 2": {"pinning-service-client.mjs", "pinning-service-client-2"},
		"pinning-service-client 3": {"pinning-service-client.mjs", "pinning-service-client-3"},
		"Helia":                    {"helia.mjs"},
		"Filebase":                 {"filebase.mjs"},
		"omnipin":                  {"omnipin.mjs"},
		"kubo-rpc-client, its RPC": {"rpc.mjs"},
	} {
		t.Run(name, func(t *testing.T) {
			base := serve(t, binary)
			run(t, dir, append([]string{"node", command[0], base, login(t, base)}, command[1:]...)...)
		})
	}
	t.Run("kubo-rpc-client", func(t *testing.T) {
		base := serve(t, binary)
		run(t, dir, "node", "kubo-rpc-client.mjs", base, login(t, base), kubo(t))
	})
}

// kubo starts a Kubo that connects to nobody by itself, and returns the URL of its API. It
// ends with the test. Its binary is that of the end-to-end tests, in the user's cache.
func kubo(t *testing.T) (api string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(cache, "holdfast-e2e", "ipfs")
	run(t, "..", "go", "build", "-o", binary, "github.com/ipfs/kubo/cmd/ipfs")
	repo := t.TempDir()
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + repo, "IPFS_PATH=" + repo, "IPFS_TELEMETRY=off"}
	ipfs := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("ipfs %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	ipfs("init", "--profile=test")
	for key, value := range map[string]any{
		"Bootstrap":                  []string{},
		"Discovery.MDNS.Enabled":     false,
		"Routing.Type":               "none",
		"AutoConf.Enabled":           false,
		"AutoTLS.Enabled":            false,
		"AutoNAT.ServiceMode":        "disabled",
		"HTTPRetrieval.Enabled":      false,
		"Provide.Enabled":            false,
		"Swarm.EnableHolePunching":   false,
		"Swarm.RelayClient.Enabled":  false,
		"Swarm.RelayService.Enabled": false,
		"Version.SwarmCheckEnabled":  false,
		"Addresses.Swarm":            []string{"/ip4/127.0.0.1/tcp/0"},
		"Addresses.API":              "/ip4/127.0.0.1/tcp/0",
		"Addresses.Gateway":          []string{},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		ipfs("config", "--json", key, string(text))
	}
	var log bytes.Buffer
	daemon := exec.Command(binary, "daemon")
	daemon.Env, daemon.Stdout, daemon.Stderr = env, &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait() // the error is that it was killed
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		// /ip4/127.0.0.1/tcp/PORT; Kubo writes it when it listens.
		addr, err := os.ReadFile(filepath.Join(repo, "api"))
		if err == nil && len(addr) > 0 {
			parts := strings.Split(strings.TrimSpace(string(addr)), "/")
			return "http://127.0.0.1:" + parts[len(parts)-1]
		}
	}
	t.Fatal("Kubo is not ready")
	return ""
}
