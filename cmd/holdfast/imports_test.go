package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfast-ipfs/holdfast"

// ourImports says which of our packages each may import. Tests may import what
// else they need of ours, as long as nothing goes in a circle.
var ourImports = map[string][]string{
	"cmd/holdfast": {
		"admin", "auth", "backup", "moving", "pin", "psa",
		"cmd/holdfast/internal/config", "cmd/holdfast/internal/daemon", "cmd/holdfast/internal/datadir", "cmd/holdfast/internal/kuborpc",
		"cmd/holdfast/internal/doctor", "cmd/holdfast/internal/support",
	},
	"cmd/holdfast/internal/kuborpc": {},
	"cmd/holdfast/internal/config":  {"auth", "backup", "cluster", "node", "node/find", "node/provide", "pin", "upload"},
	"cmd/holdfast/internal/datadir": {"cmd/holdfast/internal/config", "store"},
	"cmd/holdfast/internal/doctor": {
		"admin", "node", "store", "cmd/holdfast/internal/config", "cmd/holdfast/internal/datadir",
	},
	"cmd/holdfast/internal/support": {},
	"cmd/holdfast/internal/httpd":   {"cmd/holdfast/internal/config"},
	"cmd/holdfast/internal/metrics": {"auth", "cluster", "node", "node/provide", "pin", "store"},
	// This package joins them all.
	"cmd/holdfast/internal/daemon": {
		"admin", "auth", "auth/authhttp", "backup", "cluster", "node", "node/denylist", "node/gateway", "node/guard", "node/intake", "node/links", "node/provide", "node/seen", "pin", "pin/graph", "psa", "rpc", "store", "upload", "web",
		"cmd/holdfast/internal/config", "cmd/holdfast/internal/datadir", "cmd/holdfast/internal/doctor", "cmd/holdfast/internal/httpd", "cmd/holdfast/internal/metrics",
	},
	"admin": {"auth", "auth/authhttp", "pin", "psa"},
	"psa":   {"pin", "auth"},
	"rpc":   {"pin", "auth", "upload"},
	"web":   {"admin", "auth", "auth/authhttp", "pin", "psa"},
	"store": {
		"auth", "pin", "pin/graph", "store/internal/accounts", "store/internal/graph", "store/internal/kv",
		"store/internal/requests", "store/internal/space", "store/internal/space/reading",
	},
	// The rooms of the store.
	"store/internal/accounts":      {"auth", "store/internal/kv"},
	"store/internal/graph":         {"pin", "pin/graph", "store/internal/kv", "store/internal/space", "store/internal/space/reading"},
	"store/internal/kv":            {"store/internal/space/reading"},
	"store/internal/requests":      {"pin", "pin/graph", "store/internal/graph", "store/internal/kv", "store/internal/space"},
	"store/internal/space":         {"store/internal/kv", "store/internal/space/reading"},
	"store/internal/space/reading": {},
	// What the tests of the rooms and of the store share.
	"store/internal/roomtest": {
		"node/dagtest", "node/walk", "node/walk/walktest", "pin", "pin/graph", "pin/pintest",
		"store/internal/accounts", "store/internal/graph", "store/internal/kv", "store/internal/requests",
		"store/internal/space", "store/internal/space/reading",
	},
	"node": {"pin", "node/exchange", "node/find", "node/guard", "node/intake", "node/links", "node/provide", "node/trustless", "node/walk"},
	// The parts of the node that know nothing of libp2p's host.
	"node/denylist":  {"pin", "pin/graph"},
	"node/exchange":  {},
	"node/find":      {"pin"},
	"node/gateway":   {"pin"},
	"node/guard":     {},
	"node/intake":    {"pin", "pin/graph", "node/links", "node/seen", "node/walk"},
	"node/links":     {"pin"},
	"node/provide":   {"pin", "node/links"},
	"node/seen":      {},
	"node/trustless": {"node/guard"},
	"node/walk":      {"pin", "pin/graph", "node/exchange", "node/links", "node/seen"},
	"pin":            {"pin/turns"},
	"pin/graph":      {"pin"},
	"pin/turns":      {},
	"auth":           {},
	"backup":         {"node/seen"},
	"cluster":        {"pin"},
	"upload":         {},
	"moving":         {"pin"},
	"auth/authhttp":  {"auth"},
	// Suites and fakes for the tests of those who implement the interfaces, and what
	// tests share.
	"logtest":             {},
	"pin/pintest":         {"pin"},
	"cluster/clustertest": {},
	"cmd/holdfast/internal/metrics/metricstest": {},
	"auth/authtest":        {"auth"},
	"node/dagtest":         {},
	"node/guard/guardtest": {},
	"node/walk/walktest":   {"pin", "pin/graph", "node/exchange"},
}

// notFor lists what a package may not import, not even through others.
var notFor = map[string][]string{
	"pin": {
		"net/http",
		"github.com/labstack/",
		"github.com/dgraph-io/",
		"github.com/libp2p/",
		"github.com/ipfs/boxo/",
		"github.com/ipfs/go-datastore",
	},
	// What HTTP is to accounts is package authhttp's.
	"auth": {"net/http", "github.com/labstack/", "github.com/dgraph-io/"},
	// Kubo's RPC reads blocks of whoever has them.
	"upload": {"github.com/labstack/", "github.com/dgraph-io/"},
	"rpc":    {module + "/cmd/", module + "/node", module + "/store", module + "/psa", "github.com/dgraph-io/"},
	// Pins are moved between places that are known by their APIs alone.
	"moving": {module + "/cmd/", module + "/node", module + "/store", module + "/admin", module + "/psa", "github.com/spf13/", "github.com/libp2p/"},
	// The dashboard stands on the same services as the APIs.
	"web": {module + "/cmd/", module + "/node", module + "/store", "github.com/dgraph-io/", "github.com/libp2p/"},
	// A cluster is known by its API alone.
	"cluster": {module + "/cmd/", module + "/node", module + "/store", "github.com/ipfs-cluster/", "github.com/dgraph-io/", "github.com/libp2p/", "github.com/labstack/"},
	// The operator's API knows neither the server nor what it is made of.
	"admin": {module + "/cmd/", module + "/node", module + "/store", "github.com/dgraph-io/", "github.com/libp2p/"},
}

// onlyIn says who alone may import some packages that are not ours. A name that ends with
// a slash stands for all below it.
var onlyIn = map[string][]string{
	"github.com/dgraph-io/badger/":  {"store", "store/internal/"},
	"github.com/ipfs/go-ds-badger4": {},
}

// isAmong reports whether a package is one of those, or below one that ends with a slash.
func isAmong(name string, all ...string) bool {
	return slices.ContainsFunc(all, func(a string) bool {
		return name == a || strings.HasSuffix(a, "/") && strings.HasPrefix(name, a)
	})
}

// inside lists the files that look into what Go hides: by reflection, or with unsafe.
var inside = []string{
	"cmd/holdfast/internal/config/settings.go", // the fields of the configuration are its keys
	// What Badger does not tell of its files, and what it keeps in them.
	"store/internal/space/discards.go", "store/internal/space/insides.go", "store/internal/space/reading/read.go",
}

// maxFiles is how many files a directory may have if it has no limit of its own: more cannot
// be taken in with one look.
const maxFiles = 25

type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...")
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
		// All of our packages may import what is internal, so it imports none of them.
		if !ok && !strings.HasPrefix(name, "internal/") {
			t.Errorf("%s is not in the table of who may import what", name)
			continue
		}
		for _, i := range p.Imports {
			for what, who := range onlyIn {
				if isAmong(i, what) && !isAmong(name, who...) {
					t.Errorf("%s imports %s, which only %v may", name, i, who)
				}
			}
			ours, ok := strings.CutPrefix(i, module+"/")
			if ok && !slices.Contains(allowed, ours) && (!strings.HasPrefix(ours, "internal/") || strings.HasPrefix(name, "internal/")) {
				t.Errorf("%s imports %s, and may import %v of ours", name, ours, allowed)
			}
		}
		for _, d := range p.Deps {
			if slices.ContainsFunc(notFor[name], func(prefix string) bool { return strings.HasPrefix(d, prefix) }) {
				t.Errorf("%s depends on %s", name, d)
			}
		}
		checkFiles(t, name, p)
	}
	for name := range ourImports {
		if !slices.Contains(seen, name) {
			t.Errorf("%s is in the table, and there is no such package", name)
		}
	}
}

// checkFiles looks at how many files a package has, and at what each imports.
func checkFiles(t *testing.T, name string, p goPackage) {
	t.Helper()
	if len(p.GoFiles) > maxFiles {
		doc, err := os.ReadFile(filepath.Join(p.Dir, "doc.go"))
		if err != nil || !bytes.Contains(doc, []byte("\n// # Files\n")) {
			t.Errorf("%s has %d files, and no section # Files of its doc.go says why (%v)", name, len(p.GoFiles), err)
		}
	}
	if strings.HasSuffix(name, "test") { // a suite compares what it does not know
		return
	}
	for _, file := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if i.Path.Value == `"reflect"` || i.Path.Value == `"unsafe"` {
				if at := name + "/" + file; !slices.Contains(inside, at) {
					t.Errorf("%s imports %s", at, i.Path.Value)
				}
			}
		}
	}
}
