package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-ipfs/holdfast"

// ourImports says which of our packages each may import. Tests may import what
// else they need of ours, as long as nothing goes in a circle.
var ourImports = map[string][]string{
	"cmd/holdfast": {
		"admin", "auth", "pin", "psa",
		"cmd/holdfast/internal/config", "cmd/holdfast/internal/daemon", "cmd/holdfast/internal/datadir",
	},
	"cmd/holdfast/internal/config":  {"auth", "node", "node/find", "node/provide"},
	"cmd/holdfast/internal/datadir": {"cmd/holdfast/internal/config", "store"},
	"cmd/holdfast/internal/httpd":   {"cmd/holdfast/internal/config"},
	"cmd/holdfast/internal/metrics": {"auth", "node", "node/provide", "pin", "store"},
	// What joins them all.
	"cmd/holdfast/internal/daemon": {
		"admin", "auth", "auth/authhttp", "node", "node/denylist", "node/gateway", "node/provide", "pin", "psa", "store",
		"cmd/holdfast/internal/config", "cmd/holdfast/internal/datadir", "cmd/holdfast/internal/httpd", "cmd/holdfast/internal/metrics",
	},
	"admin": {"auth", "auth/authhttp", "pin", "psa"},
	"psa":   {"pin", "auth"},
	"store": {"pin", "pin/graph", "auth"},
	"node":  {"pin", "node/exchange", "node/find", "node/guard", "node/provide", "node/trustless", "node/walk"},
	// The parts of the node that know nothing of libp2p's host.
	"node/denylist":  {"pin", "pin/graph"},
	"node/exchange":  {},
	"node/find":      {"pin"},
	"node/gateway":   {"pin"},
	"node/guard":     {},
	"node/provide":   {"pin"},
	"node/seen":      {},
	"node/trustless": {"node/guard"},
	"node/walk":      {"pin", "pin/graph", "node/exchange", "node/seen"},
	"pin":            {"pin/turns"},
	"pin/graph":      {"pin"},
	"pin/turns":      {},
	"auth":           {},
	"auth/authhttp":  {"auth"},
	// Suites and fakes for the tests of those who implement the interfaces, and what
	// tests share.
	"logtest":     {},
	"pin/pintest": {"pin"},
	"cmd/holdfast/internal/metrics/metricstest": {},
	"auth/authtest":        {"auth"},
	"node/dagtest":         {},
	"node/guard/guardtest": {},
	"node/walk/walktest":   {"pin", "pin/graph", "node/exchange"},
}

// notForPin is what the package of pins knows nothing of, also through others.
var notForPin = []string{
	"net/http",
	"github.com/labstack/",
	"github.com/dgraph-io/",
	"github.com/libp2p/",
	"github.com/ipfs/boxo/",
	"github.com/ipfs/go-datastore",
	"github.com/ipfs/go-ds-badger4",
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var seen []string
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		seen = append(seen, name)
		allowed, ok := ourImports[name]
		// What is internal is for all of ours, and so stands on none.
		if !ok && !strings.HasPrefix(name, "internal/") {
			t.Errorf("%s is not in the table of who may import what", name)
			continue
		}
		for _, i := range p.Imports {
			ours, ok := strings.CutPrefix(i, module+"/")
			if ok && !slices.Contains(allowed, ours) && (!strings.HasPrefix(ours, "internal/") || strings.HasPrefix(name, "internal/")) {
				t.Errorf("%s imports %s, and may import %v of ours", name, ours, allowed)
			}
		}
		if name == "pin" {
			for _, d := range p.Deps {
				if slices.ContainsFunc(notForPin, func(prefix string) bool { return strings.HasPrefix(d, prefix) }) {
					t.Errorf("pin depends on %s", d)
				}
			}
		}
	}
	for name := range ourImports {
		if !slices.Contains(seen, name) {
			t.Errorf("%s is in the table, and there is no such package", name)
		}
	}
}
