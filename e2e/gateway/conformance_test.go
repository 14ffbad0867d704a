//go:build gateway

package gateway

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAnswersAreKubos asks both gateways for everything in the DAGs that boxo's own tests of the
// gateway have, which are those of https://github.com/ipfs/gateway-conformance: by path and by
// subdomain, in every format, with ranges and conditions. Kubo 0.43 passes that suite.
func TestAnswersAreKubos(t *testing.T) {
	ask := 0
	for _, root := range fixtures(t) {
		paths := append(everyPath(t, root), "/none", "/none/below")
		t.Run(root, func(t *testing.T) {
			for _, p := range paths {
				for _, v := range variants {
					for _, host := range []string{"127.0.0.1", root + ".ipfs.localhost", "localhost"} {
						url := p
						if host == "127.0.0.1" || host == "localhost" {
							url = "/ipfs/" + root + p
						}
						compare(t, host, url, v)
						ask++
					}
				}
			}
		})
	}
	t.Logf("%d requests", ask)
}

// variant is one way to ask for a path.
type variant struct {
	method, query string
	header        []string
}

var variants = []variant{
	{"GET", "", nil},
	{"HEAD", "", nil},
	{"GET", "?filename=x.txt", nil},
	{"GET", "?download=true&filename=x%20y.bin", nil},
	{"GET", "", []string{"Range", "bytes=0-3"}},
	{"GET", "", []string{"Range", "bytes=2-"}},
	{"GET", "", []string{"Range", "bytes=-4"}},
	{"GET", "", []string{"Range", "bytes=999999999-"}},
	{"GET", "", []string{"Range", "bytes=nonsense"}},
	{"GET", "", []string{"Range", "bytes=1-2, 4-5"}},
	{"GET", "", []string{"If-None-Match", "*"}},
	{"GET", "", []string{"If-None-Match", `"nonsense"`}},
	{"GET", "", []string{"Cache-Control", "only-if-cached"}},
	{"GET", "?format=raw", nil},
	{"GET", "?format=car", nil},
	{"GET", "?format=car&dag-scope=entity", nil},
	{"GET", "?format=car&dag-scope=block", nil},
	{"GET", "?format=car&dag-scope=entity&entity-bytes=1:3", nil},
	{"GET", "?format=car&dag-scope=nonsense", nil},
	{"GET", "?format=tar", nil},
	{"GET", "?format=json", nil},
	{"GET", "?format=dag-json", nil},
	{"GET", "?format=dag-cbor", nil},
	{"GET", "?format=nonsense", nil},
	{"GET", "", []string{"Accept", "application/vnd.ipld.raw"}},
	{"HEAD", "?format=raw", nil},
	{"GET", "", []string{"Accept", "application/vnd.ipld.car; version=1; order=dfs; dups=y"}},
	{"GET", "", []string{"Accept", "application/vnd.ipld.car; version=2"}},
	{"GET", "", []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}},
	{"OPTIONS", "", []string{"Origin", "https://example.org", "Access-Control-Request-Method", "GET"}},
	{"POST", "", nil},
}

// alike are the headers that clients go by.
var alike = []string{
	"Accept-Ranges", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
	"Access-Control-Expose-Headers", "Cache-Control", "Content-Disposition", "Content-Length", "Content-Location",
	"Content-Range", "Content-Type", "Etag", "Last-Modified", "Location", "X-Ipfs-Roots",
}

func compare(t *testing.T, host, path string, v variant) {
	t.Helper()
	want, wantBody := request(t, suite.kubo.Gateway, host, path, v)
	got, gotBody := request(t, suite.server.Gateway, host, path, v)
	what := fmt.Sprintf("%s %s %s%s %q", v.method, host, path, v.query, v.header)
	if got.StatusCode != want.StatusCode {
		t.Errorf("%s: %s, and from Kubo %s (%.200s)", what, got.Status, want.Status, gotBody)
		return
	}
	if want.StatusCode >= http.StatusBadRequest { // the texts are of each
		return
	}
	for _, name := range alike {
		if g, w := got.Header.Get(name), want.Header.Get(name); g != w {
			t.Errorf("%s: %s is %q, and from Kubo %q", what, name, g, w)
		}
	}
	if kind := want.Header.Get("Content-Type"); kind == "application/x-tar" || strings.HasPrefix(want.Header.Get("Etag"), `"DirIndex-`) {
		gotBody, wantBody = inOrder(t, kind, gotBody), inOrder(t, kind, wantBody)
	}
	if !bytes.Equal(gotBody, wantBody) {
		t.Errorf("%s: %d bytes, and from Kubo %d: %.200q, %.200q", what, len(gotBody), len(wantBody), gotBody, wantBody)
	}
}

// inOrder gives what an archive has without its times, or the lines of a page in order: large
// directories are listed in any order.
func inOrder(t *testing.T, kind string, body []byte) []byte {
	t.Helper()
	if kind != "application/x-tar" {
		lines := strings.Split(string(body), "\n")
		slices.Sort(lines)
		return []byte(strings.Join(lines, "\n"))
	}
	var all []string
	for r := tar.NewReader(bytes.NewReader(body)); ; {
		h, err := r.Next()
		if err != nil {
			if err != io.EOF {
				all = append(all, err.Error())
			}
			slices.Sort(all)
			return []byte(strings.Join(all, "\n"))
		}
		data, err := io.ReadAll(r)
		all = append(all, fmt.Sprintf("%s %c %o %s %q %v", h.Name, h.Typeflag, h.Mode, h.Linkname, data, err))
	}
}

var port = regexp.MustCompile(`(localhost|127\.0\.0\.1):\d+`)

// request asks a gateway. Ports are taken out of what comes.
func request(t *testing.T, base, host, path string, v variant) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), v.method, base+path+v.query, nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host + ":" + u.Port()
	for i := 0; i < len(v.header); i += 2 {
		r.Header.Set(v.header[i], v.header[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s%s: %v", v.method, base, path, err)
	}
	if len(body) > 0 && v.method != http.MethodHead {
		clean := port.ReplaceAll(body, []byte("$1"))
		if len(clean) != len(body) {
			answer.Header.Del("Content-Length")
		}
		body = clean
	}
	for _, values := range answer.Header {
		for i := range values {
			values[i] = port.ReplaceAllString(values[i], "$1")
		}
	}
	return answer, body
}

// fixtures imports the CARs of boxo's tests, and pins those of their roots that are whole.
func fixtures(t *testing.T) (roots []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/ipfs/boxo").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "gateway", "testdata")
	err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".car" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		out, err := suite.kubo.Run(t.Context(), f, "dag", "import")
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			fields := strings.Fields(line) // Pinned root CID success
			if len(fields) != 4 || fields[3] != "success" {
				return fmt.Errorf("%s is imported with %q", path, line)
			}
			if !slices.Contains(roots, fields[2]) {
				roots = append(roots, fields[2])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(roots) < 8 {
		t.Fatalf("%s has the roots %v, want more", dir, roots)
	}
	for i, root := range roots { // subdomains have CIDv1
		out, err := suite.kubo.Run(t.Context(), nil, "cid", "base32", root)
		if err != nil {
			t.Fatal(err)
		}
		roots[i] = strings.TrimSpace(out)
		pin(t, roots[i])
	}
	return roots
}

// everyPath lists the paths below a root, the root itself first. Of many entries it has some.
func everyPath(t *testing.T, root string) (paths []string) {
	t.Helper()
	var visit func(cid, at string)
	visit = func(cid, at string) {
		paths = append(paths, at)
		var list struct {
			Objects []struct {
				Links []struct {
					Name, Hash string
					Type       int
				}
			}
		}
		err := suite.kubo.RPC(t.Context(), "ls", url.Values{"arg": {cid}, "resolve-type": {"true"}}, &list)
		if err != nil || len(list.Objects) != 1 {
			return // it is no directory
		}
		if len(list.Objects[0].Links) > 0 && list.Objects[0].Links[0].Name != "" {
			paths = append(paths, at+"/")
		}
		for i, l := range list.Objects[0].Links {
			if l.Name != "" && i < 6 {
				visit(l.Hash, at+"/"+url.PathEscape(l.Name))
			}
		}
	}
	visit(root, "")
	return paths
}
