package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompliance runs the compliance suite of the pinning API, which checks tokens, pins, their
// replacement and removal, filters by name, and pages. Every check passes. With HOLDFAST_CLUSTER_PEERS set the
// server is a front of that cluster.
func TestCompliance(t *testing.T) {
	dir := t.TempDir()
	npm(t, "compliance", dir)
	// The client for Go has the description with the same schemas as the suite's.
	module := run(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/ipfs/go-pinning-service-http-client")
	spec, err := os.ReadFile(filepath.Join(strings.TrimSpace(module), "openapi", "api", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	specFile := filepath.Join(dir, "spec.yaml")
	if err := os.WriteFile(specFile, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	base := serve(t, build(t))
	t.Log(run(t, dir, "node", "compliance.mjs", base, login(t, base), specFile, kubo(t)))
}
