package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browserPatience is how long a page may take. A pin takes seconds, and the machine is busy.
const browserPatience = 2 * time.Minute

// TestBrowser has a page with a Helia in it pin what is nowhere else, in a headless
// Chromium, by each transport alone that a page can dial a server by, and by those that
// Firefox has.
func TestBrowser(t *testing.T) {
	page := bundle(t)
	base := serveOn(t, build(t), "HOLDFAST_NODE_LISTEN="+strings.Join([]string{
		"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1",
		"/ip4/127.0.0.1/udp/0/quic-v1/webtransport", "/ip4/127.0.0.1/udp/0/webrtc-direct",
	}, ","))
	token := login(t, base)
	for name, c := range map[string]struct {
		transports []string
		by         []string // parts of the address that may be connected to
		size       int
	}{
		"webtransport":     {[]string{"webtransport"}, []string{"/webtransport"}, 5 << 20},
		"websocket":        {[]string{"websocket"}, []string{"/ws"}, 5 << 20},
		"webrtc-direct":    {[]string{"webrtc-direct"}, []string{"/webrtc-direct"}, 5 << 20},
		"those of Firefox": {[]string{"websocket", "webrtc-direct"}, []string{"/ws", "/webrtc-direct"}, 300_000},
		"one block":        {[]string{"webtransport", "websocket", "webrtc-direct"}, []string{"/ws", "/webrtc-direct", "/webtransport"}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			got := browse(t, page, map[string]any{
				"endpoint": base + "/api/psa/", "token": token, "transports": c.transports, "size": c.size,
			})
			if got.Error != "" || got.Status != "pinned" {
				t.Fatalf("%s, %v: %s", got.Status, got.Info, got.Error)
			}
			ok := false
			for _, part := range c.by {
				ok = ok || strings.Contains(got.By, part)
			}
			if !ok {
				t.Errorf("it was connected by %s, and the delegates are %v", got.By, got.Delegates)
			}
			t.Logf("%d bytes by %s: pinned %.1f s after the request", c.size, got.By, got.Took/1000)
		})
	}
}

// pageResult is what the page tells.
type pageResult struct {
	Error, CID, Status, By string
	Delegates              []string
	Info                   map[string]string
	Took                   float64 // milliseconds
}

// bundle makes one script of the page and of what it imports, as package-lock.json pins it.
func bundle(t *testing.T) (script []byte) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/helia")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	run(t, dir, "npx", "esbuild", "page.js", "--bundle", "--format=esm", "--outfile=bundle.js", "--log-level=warning")
	script, err := os.ReadFile(filepath.Join(dir, "bundle.js"))
	if err != nil {
		t.Fatal(err)
	}
	return script
}

// browse opens the page in a browser of its own, gives it a task, and waits for what
// comes of it.
func browse(t *testing.T, script []byte, task map[string]any) (got pageResult) {
	t.Helper()
	results := make(chan pageResult, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><title>pin</title><script type="module" src="page.js"></script>`)
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(script) // the browser may be gone
	})
	mux.HandleFunc("GET /task", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(task); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
		var result pageResult
		if err := json.NewDecoder(r.Body).Decode(&result); err != nil {
			result.Error = err.Error()
		}
		results <- result
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	var log bytes.Buffer
	browser := exec.CommandContext(t.Context(), chromium(t),
		"--headless=new", "--no-sandbox", // root has no sandbox
		"--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", // it is to reach nobody else
		"--enable-logging=stderr", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"),
		server.URL)
	browser.Stdout, browser.Stderr = &log, &log
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- browser.Wait() }()
	select {
	case got = <-results:
	case err := <-ended:
		t.Fatalf("the browser ended: %v\n%s", err, &log)
	case <-time.After(browserPatience):
		got.Error = "the page tells nothing"
	}
	if err := browser.Process.Kill(); err != nil {
		t.Error(err)
	}
	<-ended
	if got.Error != "" {
		t.Logf("%s", &log)
	}
	return got
}

// chromium is where the browser is: Debian has it as chromium.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium: Debian has it as chromium")
	return ""
}
