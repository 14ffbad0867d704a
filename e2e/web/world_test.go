//go:build browser

package web

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

const (
	email    = "kelp@example.org"
	password = "correct horse battery staple"
	// buildTime is how long a test may take to have its binaries: the first run builds a Kubo.
	buildTime = 10 * time.Minute
)

// world is a server, a browser, and a Kubo that has what is to be pinned, if the test needs one.
type world struct {
	*tab
	server *rig.Server
	kubo   *rig.Kubo
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newServer starts a server with settings from the environment, and a browser.
func newServer(ctx context.Context, t *testing.T, env map[string]string) (*world, *rig.Rig) {
	t.Helper()
	r, err := rig.New(ctx, rig.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	data, err := r.NewData()
	check(t, err)
	maps.Copy(data.Env, env)
	server, err := data.Serve(ctx)
	check(t, err)
	t.Cleanup(server.Kill)
	return &world{tab: newTab(t, server.HTTP), server: server}, r
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	t.Cleanup(cancel)
	w, r := newServer(ctx, t, map[string]string{"HOLDFAST_NODE_ALLOW_PRIVATE_ADDRESSES": "true"})
	var err error
	w.kubo, err = r.StartKubo(ctx, "source", rig.KuboOptions{})
	check(t, err)
	t.Cleanup(w.kubo.Kill)
	return w
}

// site is a directory with pages, images and text, as somebody would publish it.
func (w *world) site() string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "site")
	icon, err := os.ReadFile("testdata/kelp.png")
	check(w.t, err)
	for name, content := range map[string][]byte{
		"index.html":              []byte("<script>top.document.title = 'taken'; document.title = 'taken'</script><h1>Hello</h1>"),
		"images/kelp.png":         icon,
		"notes/2026/november.txt": []byte(strings.Repeat("A holdfast is the organ by which kelp grips rock.\n", 40)),
		"data/measurements.bin":   rig.RandomBytes(7, 3<<20),
	} {
		path := filepath.Join(dir, name)
		check(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(w.t, os.WriteFile(path, content, 0o644))
	}
	c, err := w.kubo.AddTree(w.t.Context(), dir)
	check(w.t, err)
	return c
}

// setUp makes the first account by the link in the log.
func (w *world) setUp() {
	w.t.Helper()
	link := regexp.MustCompile(`link="?http://[^/]+(/ui/setup\?code=[A-Z0-9]+)`).FindStringSubmatch(w.server.Tail())
	if link == nil {
		w.t.Fatalf("the log has no link:\n%s", w.server.Tail())
	}
	w.open(link[1])
	w.inAllLooks("set up")
	w.fill("email", email)
	w.fill("password", password)
	w.fill("again", password)
	w.click("button", "Make the account")
	w.see("Nothing is pinned yet")
}

// session is the cookie of the browser, for requests of the test.
func (w *world) session() *http.Cookie {
	w.t.Helper()
	var found *http.Cookie
	w.run(chromedp.ActionFunc(func(ctx context.Context) error {
		all, err := network.GetCookies().WithURLs([]string{w.base + "/ui"}).Do(ctx)
		for _, c := range all {
			if c.Name == "holdfast-session" {
				if !c.HTTPOnly {
					w.t.Error("a script can read the session")
				}
				found = &http.Cookie{Name: c.Name, Value: c.Value}
			}
		}
		return err
	}))
	return found
}

// get fetches with the session of the browser, as a download does.
func (w *world) get(path string) (*http.Response, []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.base+path, nil)
	check(w.t, err)
	req.AddCookie(w.session())
	res, err := http.DefaultClient.Do(req)
	check(w.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	check(w.t, err)
	return res, b
}
