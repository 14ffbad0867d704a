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
	"cmd/holdfast": {"pin", "node", "node/denylist", "node/find", "node/gateway", "node/provide", "store", "auth", "psa"},
	"psa":          {"pin", "auth"},
	"store":        {"pin", "pin/graph", "auth", "internal/fault", "store/internal/accounts", "store/internal/graph", "store/internal/kv", "store/internal/requests", "store/internal/space", "store/internal/space/reading"},
	// The rooms of the store.
	"store/internal/accounts":      {"auth", "internal/fault", "store/internal/kv"},
	"store/internal/graph":         {"internal/fault", "pin", "pin/graph", "store/internal/kv", "store/internal/space", "store/internal/space/reading"},
	"store/internal/kv":            {"internal/fault", "store/internal/space/reading"},
	"store/internal/requests":      {"internal/fault", "pin", "pin/graph", "store/internal/graph", "store/internal/kv", "store/internal/space"},
	"store/internal/space":         {"internal/fault", "store/internal/kv", "store/internal/space/reading"},
	"store/internal/space/reading": {"internal/fault"},
	"node":                         {"internal/awake", "pin", "node/exchange", "node/find", "node/guard", "node/provide", "node/trustless", "node/walk"},
	// The parts of the node that know nothing of libp2p's host.
	"node/denylist":  {"pin"},
	"node/exchange":  {"internal/awake"},
	"node/find":      {"pin"},
	"node/gateway":   {"pin"},
	"node/guard":     {},
	"node/provide":   {"pin"},
	"node/seen":      {},
	"node/trustless": {"node/guard"},
	"node/walk":      {"pin", "pin/graph", "node/exchange", "node/seen"},
	"pin":            {"internal/awake", "internal/fault", "pin/turns"},
	"pin/graph":      {"pin"},
	"pin/turns":      {},
	"internal/awake": {},
	"internal/fault": {},
	"auth":           {},
	// Suites and fakes for the tests of those who implement the interfaces, and what
	// tests share.
	"logtest":              {},
	"pin/pintest":          {"pin"},
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

// onlyIn says who alone may import some packages that are not ours: whoever else needs
// them asks there. A name that ends with a slash stands for all below it.
var onlyIn = map[string][]string{
	"github.com/dgraph-io/badger/":  {"store", "store/internal/"},
	"github.com/ipfs/go-ds-badger4": {"store", "store/internal/"},
	"reflect":                       {"cmd/holdfast", "auth/authtest", "store/internal/space", "store/internal/space/"},
	"unsafe":                        {"store/internal/space/"},
}

// isAmong reports whether a package is one of those, or below one that ends with a slash.
func isAmong(name string, all []string) bool {
	return slices.ContainsFunc(all, func(a string) bool {
		return name == a || strings.HasSuffix(a, "/") && strings.HasPrefix(name, a)
	})
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
			for what, who := range onlyIn {
				if isAmong(i, []string{what}) && !isAmong(name, who) {
					t.Errorf("%s imports %s, which only %v may", name, i, who)
				}
			}
			if ours, ok := strings.CutPrefix(i, module+"/"); ok && !slices.Contains(allowed, ours) {
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
