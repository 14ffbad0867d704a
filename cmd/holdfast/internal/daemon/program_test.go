package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/internal/hint"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/store"
)

// testConfig listens on loopback only, on free ports, and has no peers.
func testConfig() config.Config {
	c := config.Default()
	c.HTTP.Listen = "127.0.0.1:0"
	c.Node.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	c.Node.Routing = "none"
	c.Node.Bootstrap = []string{}
	c.Metrics.Listen = "127.0.0.1:0"
	c.Store.MinFreeSpace = 64 << 20
	c.Denylist.Dirs = []string{} // the machine may have some
	return c
}

// testMachine is large enough that nothing is limited.
func testMachine() config.Machine { return config.Machine{Memory: 4 << 30, Files: 20_000} }

func testDataDir(t testing.TB) *datadir.Dir {
	t.Helper()
	d, err := datadir.Open(t.TempDir(), false, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func testProgram(t *testing.T, d *datadir.Dir) (*Program, *logtest.Lines) {
	t.Helper()
	var lines logtest.Lines
	p := &Program{Config: testConfig(), Data: d, Log: slog.New(slog.NewTextHandler(&lines, nil)), Version: "v1.2.3-test", Machine: testMachine()}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if s := lines.String(); strings.Contains(s, "level=ERROR") {
			t.Errorf("errors were logged:\n%s", s)
		}
	})
	return p, &lines
}

func runProgram(t *testing.T) (*Program, *logtest.Lines) {
	t.Helper()
	p, lines := testProgram(t, testDataDir(t))
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, lines
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	status, body, err := getAll(t, url)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

// getAll reads an answer that may be cut off, and gives the error at its end.
func getAll(t *testing.T, url string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(b), err
}

func TestProgramRunsAndCloses(t *testing.T) {
	p, _ := runProgram(t)
	run, ok := datadir.ReadRunFile(p.Data.File(datadir.RunFileName))
	if !ok || run.PID != os.Getpid() || run.HTTP != p.URL() || len(run.Addrs) == 0 {
		t.Fatalf("run.json has %+v (%v)", run, ok)
	}
	if status, _ := get(t, run.HTTP+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz answers %d", status)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(p.Data.File("*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		switch name := filepath.Base(path); name {
		case "db", "holdfast.layout", datadir.NodeKeyFile, datadir.TokenKeysFile, datadir.TempDirName:
		default:
			t.Errorf("%s is left after Close", name)
		}
	}
	// Everything is closed: another one starts on the same directory.
	again, _ := testProgram(t, p.Data)
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again.node.PeerID() != run.PeerID {
		t.Error("the node has another identity after a restart")
	}
}

// Temporary files of fetches are on the disk of the data, and those of an earlier run are
// removed.
func TestProgramClearsItsTempDir(t *testing.T) {
	d := testDataDir(t)
	outside := filepath.Join(t.TempDir(), "precious")
	tmp := filepath.Join(d.Shown, "tmp")
	for _, leave := range []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(filepath.Join(tmp, "seen-1"), []byte("left"), 0o600) },
		func() error {
			return errors.Join(os.WriteFile(outside, []byte("kept"), 0o600), os.Remove(tmp), os.Symlink(filepath.Dir(outside), tmp))
		},
	} {
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		p, _ := testProgram(t, d)
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(tmp)
		if err != nil || info.Mode() != os.ModeDir|0o700 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("left are %v, %v", left, err)
		}
		if cfg, err := nodeConfig(p.Config, d, p.Log); err != nil || cfg.TempDir != tmp {
			t.Errorf("the node's is %q, %v", cfg.TempDir, err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

// A start that fails half-way leaves nothing behind.
func TestProgramCannotListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d := testDataDir(t)
	p, _ := testProgram(t, d)
	p.Config.HTTP.Listen = taken.Addr().String()
	err = p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Fatalf("error is %v, want one that names the address", err)
	}
	if h, ok := errors.AsType[*hint.Error](err); !ok || !strings.Contains(h.Hint, "http.listen") {
		t.Errorf("the hint of %v does not name the key", err)
	}
	lock, err := store.Lock(d.Open)
	if err != nil {
		t.Fatalf("the lock was not given back: %v", err)
	}
	lock.Close()
}

func TestSecondProgramIsRefused(t *testing.T) {
	p, _ := runProgram(t)
	second, _ := testProgram(t, p.Data)
	err := second.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("a server runs on %s already, as process %d", p.Data.Shown, os.Getpid())) {
		t.Errorf("error is %v", err)
	}
	if status, _ := get(t, p.URL()+"/healthz"); status != http.StatusOK {
		t.Errorf("the first one answers %d", status)
	}
	if _, ok := datadir.ReadRunFile(p.Data.File(datadir.RunFileName)); !ok {
		t.Error("the second one took run.json away")
	}
}

func TestDrainingRefusesNewPins(t *testing.T) {
	p, _ := runProgram(t)
	a, err := p.core.auth.AddAccount(t.Context(), auth.NewAccount{Email: "a@example.org", Password: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := p.core.auth.CreateDeviceToken(t.Context(), a.ID, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, p.URL()+PSAPath+"/pins", strings.NewReader(`{"cid":"bafkqabtimvwgy3yk"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "https://app.example.com")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	if s := ask(http.MethodPost).StatusCode; s != http.StatusAccepted {
		t.Fatalf("POST answers %d before", s)
	}
	p.draining.Store(true)
	if answer := ask(http.MethodPost); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("POST answers %s with Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
	}
	if got := ask(http.MethodPost).Header.Get("Access-Control-Allow-Origin"); got != "https://app.example.com" {
		t.Errorf("the refusal allows the origin %q", got)
	}
	if s := ask(http.MethodGet).StatusCode; s != http.StatusOK {
		t.Errorf("GET answers %d", s)
	}
}

func TestHealthFollowsTheStore(t *testing.T) {
	p, _ := runProgram(t)
	if err := p.core.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.core.store.Close()
	if err := p.core.healthy(t.Context()); err == nil {
		t.Error("healthy with a closed store")
	}
	if status, body := get(t, p.URL()+"/healthz"); status != http.StatusServiceUnavailable || strings.Contains(body, "closed") {
		t.Errorf("healthz answers %d %q", status, body)
	}
}

func TestFirstRunOnATerminal(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	var screen bytes.Buffer
	p.Terminal = &screen
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`address +(\S+)\n +password +(\S+)\n(?s:.*)ipfs pin remote service add holdfast (\S+) (\S+)\n`).FindStringSubmatch(screen.String())
	if m == nil {
		t.Fatalf("the terminal shows %q", &screen)
	}
	if _, err := p.core.auth.Login(t.Context(), m[1], m[2]); err != nil {
		t.Errorf("log in with what was printed: %v", err)
	}
	who, err := p.core.auth.Verify(t.Context(), m[4])
	if err != nil || !who.Admin {
		t.Errorf("the token is of %+v (%v), want an admin", who, err)
	}
	if want := p.URL() + "/api/psa/"; m[3] != want {
		t.Errorf("the service is at %s, want %s", m[3], want)
	}
}

func TestNotify(t *testing.T) {
	p, _ := testProgram(t, testDataDir(t))
	states := make(chan string, 10)
	p.Notify = func(s string) { states <- s }
	p.WatchdogInterval = time.Hour
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{notifyReady, notifyWatchdog} {
		if got := <-states; got != want {
			t.Fatalf("the service manager is told %q, want %q", got, want)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-states; got != notifyStopping {
		t.Errorf("the service manager is told %q, want %q", got, notifyStopping)
	}
}

func TestBaseURL(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:5050": "http://127.0.0.1:5050",
		"0.0.0.0:80":     "http://127.0.0.1:80",
		"[::]:80":        "http://localhost:80",
		"[::1]:80":       "http://[::1]:80",
	} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := httpd.BaseURL("http", a); got != want {
			t.Errorf("%s is at %s, want %s", addr, got, want)
		}
	}
}

func TestBootstrapPeers(t *testing.T) {
	if p := bootstrapPeers([]string{}); p == nil || len(p) > 0 {
		t.Errorf("nobody is %#v, and nil would be the public peers", p)
	}
	mine := "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWQmJC7C6yPaG5fCwRRctv7fK1doGrSMGpWqdx9rnRsUzi"
	p := bootstrapPeers([]string{mine, config.AutoBootstrap})
	if len(p) < 3 || p[0] != mine {
		t.Errorf("the peers are %q", p)
	}
}
