//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics/metricstest"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

func letTrace() {
	_ = unix.Prctl(unix.PR_SET_PTRACER, unix.PR_SET_PTRACER_ANY, 0, 0, 0) // only some systems ask for that
}

// failSyncs makes every sync of a process fail until heal is called.
func failSyncs(t *testing.T, pid int) (heal func()) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test needs strace (apt-get install strace): %v", err)
	}
	tracer := exec.CommandContext(t.Context(), strace, "-f", "-p", fmt.Sprint(pid),
		"-e", "trace=msync,fsync,fdatasync", "-e", "inject=msync,fsync,fdatasync:error=EIO", "-o", os.DevNull)
	notes, err := tracer.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(notes)
	for lines.Scan() && !strings.Contains(lines.Text(), "attached") {
	}
	return func() {
		if err := tracer.Process.Signal(syscall.SIGINT); err != nil { // it lets go
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, notes)
		_ = tracer.Wait() // it ends by the signal
	}
}

// On a failing disk nothing is half done, and no answer is wrong. Requests are answered 500,
// the server is not ready, and the log is not flooded. All of that ends with the fault.
func TestFailingDiskIsTold(t *testing.T) {
	s := startServer(t, tracedEnv+"=1")
	run, _ := datadir.ReadRunFile(filepath.Join(s.data, datadir.RunFileName))
	add := holdfastCmd(t, s.data, "user", "add", "ann@example.org", "--password-stdin")
	add.Stdin = strings.NewReader("correct horse battery\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	token := ""
	ask := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, run.HTTP+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(b)
	}
	post := func(path, body string) (int, string) { t.Helper(); return ask(http.MethodPost, path, body) }
	const login = `{"email":"ann@example.org","password":"correct horse battery"}`
	status, body := post("/api/auth/login", login)
	var in struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil || status != http.StatusOK {
		t.Fatalf("login answers %d %s, %v", status, body, err)
	}
	token = in.Token
	const pin = `{"cid":"bafkqabtimvwgy3yk"}`
	status, body = post("/api/psa/pins", pin)
	var first struct{ RequestID string }
	if err := json.Unmarshal([]byte(body), &first); err != nil || status != http.StatusAccepted {
		t.Fatalf("a pin is answered %d %s, %v", status, body, err)
	}
	from := len(s.log.String())

	heal := failSyncs(t, s.Process.Pid)
	// The first write that fails is in doubt, and is read as made. Usually it is this one. If
	// the server has just found out that it cannot write, nothing is changed.
	status, body = post("/api/psa/pins/"+first.RequestID, pin)
	doubt, unchanged := strings.Contains(body, "not known whether this was done"), strings.Contains(body, "nothing was changed")
	if status != http.StatusInternalServerError || doubt == unchanged {
		t.Errorf("a replacement is answered %d %s", status, body)
	}
	if status, _ := ask(http.MethodGet, "/api/psa/pins/"+first.RequestID, ""); unchanged != (status == http.StatusOK) {
		t.Errorf("after %s the old request is answered %d", body, status)
	}
	for range 200 {
		if status, body := post("/api/psa/pins", pin); status != http.StatusInternalServerError || !strings.Contains(body, "nothing was changed") {
			t.Fatalf("a pin is answered %d %s", status, body)
		}
		if status, body := post("/api/auth/tokens", `{"name":"kubo","scope":"pin"}`); status != http.StatusInternalServerError && status != http.StatusTooManyRequests {
			t.Fatalf("a token is answered %d %s", status, body)
		}
	}
	if status, body := post("/api/auth/login", login); status != http.StatusInternalServerError || !strings.Contains(body, "cannot write to its disk") {
		t.Errorf("a login is answered %d %s", status, body)
	}
	for _, base := range []string{run.HTTP, run.Metrics} {
		if status, body := get(t, base+"/readyz"); status != http.StatusServiceUnavailable || body != "not ready: the disk cannot be written\n" {
			t.Errorf("readyz answers %d %q", status, body)
		}
	}
	_, text := get(t, run.Metrics+"/metrics")
	m := metricstest.Parse(t, text)
	m.Want(t, 0, "holdfast_ready")
	m.Want(t, 0, "holdfast_store_writable")
	m.Want(t, 200, "holdfast_http_requests_total", "route=/api/psa/pins", "method=POST", "code=500")
	if n, there := m.Value("holdfast_http_requests_total", "code=499"); there {
		t.Errorf("%v requests are counted as hung up", n)
	}
	warnings := 0
	for l := range strings.Lines(s.log.String()[from:]) {
		if strings.Contains(l, "level=WARN") || strings.Contains(l, "level=ERROR") {
			warnings++
		}
	}
	if warnings == 0 || warnings > 12 { // one of each kind
		t.Errorf("the log has %d warnings and errors:\n%s", warnings, s.log.String()[from:])
	}

	heal()
	for deadline := time.Now().Add(logtest.Patience); ; time.Sleep(10 * time.Millisecond) {
		status, body := get(t, run.HTTP+"/readyz")
		if status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("readyz still answers %d %q:\n%s", status, body, s.log.String()[from:])
		}
	}
	if status, body := post("/api/psa/pins", pin); status != http.StatusAccepted {
		t.Errorf("a pin is answered %d %s", status, body)
	}
	s.log.Await(t, "the disk takes writes again")
}
