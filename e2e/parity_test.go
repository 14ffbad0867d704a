package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

var fullParity = flag.Bool("full-parity", false, "import all trees in all ways, also by clients from npm; some 20 minutes")

// importer is a server that takes uploads.
type importer struct {
	url, api, token string // api is url as a multiaddr
}

// importerAt is the server at a URL.
func importerAt(t *testing.T, base, token string) importer {
	t.Helper()
	at := must(url.Parse(base))(t)
	return importer{base, "/ip4/" + at.Hostname() + "/tcp/" + at.Port(), token}
}

// imports are flags by which trees are imported, as `ipfs add` has them.
var imports = [][]string{
	{},
	{"--cid-version=1"},
	{"--raw-leaves", "--chunker=size-1000"},
	{"--cid-version=1", "--max-file-links=4", "--chunker=size-1000", "--max-directory-links=10", "--max-hamt-fanout=16"},
	{"--cid-version=1", "--preserve-mode", "--preserve-mtime"},
	{"--inline", "--cid-version=1", "--hidden"},
	{"--preserve-mode", "--preserve-mtime"},
	{"--cid-version=1", "--raw-leaves=false"},
	{"--trickle", "--chunker=size-1000", "--max-file-links=16"},
	{"--trickle", "--cid-version=1"},
	{"--chunker=buzhash", "--cid-version=1"},
	{"--chunker=rabin-512-1024-2048"},
	{"--inline", "--inline-limit=128", "--raw-leaves"},
	{"--hash=blake3", "--hidden"},
	{"--hash=sha2-512", "--cid-version=1"},
	{"--empty-dirs=false"},
}

const (
	// shortImports is how many of them are for the short form.
	shortImports = 5
	// largeImports is how many of them import what takes long. The others are not about that.
	largeImports = 5
)

// parityTrees makes the trees, and gives those that the form of the test is for.
func parityTrees(t *testing.T) (root string, trees []rig.Tree) {
	t.Helper()
	root = t.TempDir()
	all := must(rig.MakeTrees(root, 940, 200))(t)
	t.Cleanup(func() { // some may not be read or written
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return nil
		})
	})
	if *fullParity {
		return root, all
	}
	for i, tree := range all {
		if i%10 == 0 && !tree.Large || strings.Contains(tree.Kind, "1024 empty") || strings.Contains(tree.Kind, "1025 empty") {
			trees = append(trees, tree)
		}
	}
	return root, trees
}

// way imports trees with flags, and gives the CID of each.
type way func(flags []string, trees []rig.Tree) (cids []string, err error)

// TestParity: made trees get the same CIDs from Holdfast as from a Kubo, with each way of
// importing, by each client.
func TestParity(t *testing.T) {
	t.Parallel()
	root, trees := parityTrees(t)
	d := newData(t)
	s := serve(t, d)
	to := importerAt(t, s.HTTP, login(t, s).Token)
	source := sharedSource(t)
	ways := map[string]way{
		"Kubo":         byKubo(t, source, root, "--api", to.api, "--api-auth", "bearer:"+to.token),
		"holdfast add": byHoldfast(t, d, root),
		"curl":         byCurl(t.Context(), to, root),
	}
	if *fullParity {
		ways["kubo-rpc-client"] = byNode(t, to, root)
	}
	for i, flags := range imports[:importsOf()] {
		if !*fullParity && i == 1 {
			delete(ways, "curl") // a process for each tree; one kind of import shows that it works
		}
		some := trees
		if i >= largeImports {
			some = slices.DeleteFunc(slices.Clone(trees), func(tree rig.Tree) bool { return tree.Large })
		}
		compareWays(t, flags, some, byKubo(t, source, root, "--offline"), ways)
		t.Logf("%q: %d trees, by a Kubo and %d others", flags, len(some), len(ways))
	}
}

// profiles are those of Kubo's that are about imports. The short form has the first.
var profiles = []string{"unixfs-v1-2025", "unixfs-v0-2015", "legacy-cid-v0"}

// TestParityOfProfiles: with pin.import_profile made trees get the CIDs that a Kubo with that profile
// gives them, with and without flags.
func TestParityOfProfiles(t *testing.T) {
	t.Parallel()
	root, trees := parityTrees(t)
	for i, profile := range profiles {
		if i > 0 && !*fullParity {
			break
		}
		source := must(suite.StartKubo(t.Context(), profile, rig.KuboOptions{Profile: profile}))(t)
		ends(t, source.Process)
		d := newData(t)
		d.Env["HOLDFAST_PIN_IMPORT_PROFILE"] = profile
		s := serve(t, d)
		to := importerAt(t, s.HTTP, login(t, s).Token)
		ways := map[string]way{"Kubo": byKubo(t, source, root, "--api", to.api, "--api-auth", "bearer:"+to.token)}
		if *fullParity {
			ways["holdfast add"] = byHoldfast(t, d, root)
		}
		for i, flags := range [][]string{{}, {"--cid-version=1", "--chunker=size-1000"}, {"--cid-version=0", "--raw-leaves"}} {
			some := trees
			if i > 0 {
				some = slices.DeleteFunc(slices.Clone(trees), func(tree rig.Tree) bool { return tree.Large })
			}
			compareWays(t, flags, some, byKubo(t, source, root, "--offline"), ways)
			t.Logf("%s, %q: %d trees", profile, flags, len(some))
		}
	}
}

// pathsOf are where trees are.
func pathsOf(root string, trees []rig.Tree) (list []string) {
	for _, tree := range trees {
		list = append(list, filepath.Join(root, tree.Name))
	}
	return list
}

// byKubo imports trees with the command line of a Kubo, and these arguments before the command.
func byKubo(t *testing.T, k *rig.Kubo, root string, args ...string) way {
	return func(flags []string, trees []rig.Tree) ([]string, error) {
		out, err := k.Run(t.Context(), nil, slices.Concat(args, []string{"add", "-r", "--progress=false"}, flags, pathsOf(root, trees))...)
		if err != nil {
			return nil, err
		}
		return addedRoots(out, trees)
	}
}

// byHoldfast imports trees with the command line of Holdfast.
func byHoldfast(t *testing.T, d *rig.Data, root string) way {
	return func(flags []string, trees []rig.Tree) ([]string, error) {
		out, err := d.Run(t.Context(), nil, slices.Concat([]string{"add", "--user", email}, flags, pathsOf(root, trees))...)
		return lines(out), err
	}
}

func importsOf() int {
	if *fullParity {
		return len(imports)
	}
	return shortImports
}

// compareWays has each way import each tree that it can, and compares the CIDs.
func compareWays(t *testing.T, flags []string, trees []rig.Tree, by way, ways map[string]way) {
	t.Helper()
	expected, err := by(flags, trees)
	if err != nil || len(expected) != len(trees) {
		t.Fatalf("Kubo imports %d of %d trees with %q: %v", len(expected), len(trees), flags, err)
	}
	want := map[string]string{}
	for i, tree := range trees {
		want[tree.Name] = expected[i]
	}
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		some := slices.DeleteFunc(slices.Clone(trees), func(tree rig.Tree) bool { return !canImport(name, tree, flags) })
		if len(some) == 0 {
			continue
		}
		got, err := ways[name](flags, some)
		if err != nil || len(got) != len(some) {
			t.Errorf("%s imports %d of %d trees with %q: %v", name, len(got), len(some), flags, err)
			continue
		}
		for i, tree := range some {
			if got[i] != want[tree.Name] {
				t.Errorf("%s, %q: %s (%s) is %s, and by Kubo %s", name, flags, tree.Name, tree.Kind, got[i], want[tree.Name])
			}
		}
	}
}

// canImport reports whether a client sends such trees, and has such flags. Modes, times and
// hidden files are what a client reads itself, and the two below are made to read all of a tree.
func canImport(client string, tree rig.Tree, flags []string) bool {
	if client != "curl" && client != "kubo-rpc-client" {
		return true
	}
	for _, flag := range flags {
		if strings.HasPrefix(flag, "--preserve") {
			return false
		}
	}
	return tree.Plain && !(client == "curl" && tree.Large) &&
		(slices.Contains(flags, "--hidden") || !strings.Contains(tree.Kind, `name: ".`))
}

// addedRoots finds the CIDs of trees in what `ipfs add` prints.
func addedRoots(out string, trees []rig.Tree) (cids []string, err error) {
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3); len(parts) == 3 && parts[0] == "added" {
			found[parts[2]] = parts[1]
		}
	}
	for _, tree := range trees {
		cid, ok := found[tree.Name]
		if !ok {
			return nil, fmt.Errorf("%s is not added", tree.Name)
		}
		cids = append(cids, cid)
	}
	return cids, nil
}

// parameters are flags of the command line, as a query of the RPC.
func parameters(flags []string) url.Values {
	q := url.Values{}
	for _, flag := range flags {
		name, value, ok := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		if !ok {
			value = "true"
		}
		q.Set(name, value)
	}
	q.Del("hidden")
	return q
}

// plainPath is what a file of curl's options can name without escapes.
var plainPath = regexp.MustCompile(`^[\w./ ~&;,:<>*$-]+$`)

// byCurl imports trees with curl: a call each, whose form has a part for each file and
// directory.
func byCurl(ctx context.Context, to importer, root string) way {
	return func(flags []string, trees []rig.Tree) (cids []string, err error) {
		for _, tree := range trees {
			var form strings.Builder
			err := filepath.WalkDir(filepath.Join(root, tree.Name), func(path string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				name := url.QueryEscape(must1(filepath.Rel(root, path)))
				switch {
				case d.IsDir():
					fmt.Fprintf(&form, "form = \"file=;filename=%s;type=application/x-directory\"\n", name)
				case plainPath.MatchString(path):
					fmt.Fprintf(&form, "form = \"file=@\\\"%s\\\";filename=%s;type=application/octet-stream\"\n", path, name)
				default: // curl cannot name it, but it can have its content
					content, err := os.ReadFile(path)
					if err != nil {
						return err
					}
					copied := filepath.Join(root, "..", fmt.Sprintf("curl-%s-%x", tree.Name, form.Len()))
					if err := os.WriteFile(copied, content, 0o600); err != nil {
						return err
					}
					fmt.Fprintf(&form, "form = \"file=@\\\"%s\\\";filename=%s;type=application/octet-stream\"\n", copied, name)
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			cmd := exec.CommandContext(ctx, "curl", "-sS", "-X", "POST", "-K", "-", "-H", "Authorization: Bearer "+to.token,
				to.url+"/api/v0/add?"+parameters(flags).Encode())
			cmd.Stdin = strings.NewReader(form.String())
			out, err := cmd.Output()
			if err != nil {
				return nil, fmt.Errorf("curl %s: %w", tree.Name, err)
			}
			cid, err := lastHash(out)
			if err != nil {
				return nil, fmt.Errorf("curl %s: %w in %.300q", tree.Name, err, out)
			}
			cids = append(cids, cid)
		}
		return cids, nil
	}
}

// must1 is for what cannot fail.
func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// lastHash is the root of what was added: it comes last.
func lastHash(out []byte) (cid string, err error) {
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var added struct{ Hash string }
		if err := dec.Decode(&added); err != nil {
			return "", err
		}
		if added.Hash != "" {
			cid = added.Hash
		}
	}
	if cid == "" {
		return "", errors.New("no CID")
	}
	return cid, nil
}

// npmParity puts the scripts, and the packages that they use, into a directory.
func npmParity(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	check(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "parity"))))
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return dir
}

// node runs a script, and gives the lines that it prints.
func node(ctx context.Context, dir string, stdin any, script string, args ...string) ([]string, error) {
	in, err := json.Marshal(stdin)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", script, err, &errs)
	}
	return lines(string(out)), nil
}

// byNode imports trees with kubo-rpc-client.
func byNode(t *testing.T, to importer, root string) way {
	t.Helper()
	dir := npmParity(t)
	return func(flags []string, trees []rig.Tree) ([]string, error) {
		query := map[string]string{}
		for name, values := range parameters(flags) {
			query[name] = values[0]
		}
		var names []string
		for _, tree := range trees {
			names = append(names, tree.Name)
		}
		return node(t.Context(), dir, map[string]any{"root": root, "names": names, "parameters": query}, "add.mjs", to.url, to.token)
	}
}
