package main

import (
	"archive/tar"
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

// kuboFake answers as Kubo's RPC does, with CIDs that are words, and notes what it was asked.
type kuboFake struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string // command and parameters
	tokens  []string
	names   []string         // of the files that came in the last call
	answer  http.HandlerFunc // of downloads; nil is 404
	hanging chan struct{}    // gets something when a download hangs
}

func newKuboFake(t *testing.T) *kuboFake {
	t.Helper()
	k := &kuboFake{hanging: make(chan struct{}, 1)}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

func (k *kuboFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	command := strings.TrimPrefix(r.URL.Path, "/api/v0/")
	query, _ := url.QueryUnescape(r.URL.RawQuery)
	var names []string
	if form, err := r.MultipartReader(); err == nil {
		for {
			part, err := form.NextPart()
			if err != nil {
				break
			}
			_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
			names = append(names, params["filename"])
			if _, err := io.Copy(io.Discard, part); err != nil {
				return
			}
		}
	}
	k.mu.Lock()
	k.asked = append(k.asked, command+"?"+query)
	k.tokens = append(k.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	k.names = names
	answer := k.answer
	k.mu.Unlock()
	switch {
	case command == "add":
		io.WriteString(w, `{"Name":"x","Hash":"Qmx"}`+"\n"+`{"Name":"","Hash":"Qmroot"}`+"\n")
	case command == "dag/import":
		io.WriteString(w, `{"Root":{"Cid":{"/":"bafyone"}}}`+"\n"+`{"Root":{"Cid":{"/":"bafytwo"}}}`+"\n")
	case command == "pin/add":
		io.WriteString(w, `{"Pins":["x"]}`)
	case answer != nil:
		answer(w, r)
	default:
		http.NotFound(w, r)
	}
}

// take gives what was asked since the last time, and the tokens that came.
func (k *kuboFake) take() (asked, tokens, names string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	asked, tokens, names = strings.Join(k.asked, " "), strings.Join(k.tokens, " "), strings.Join(k.names, " ")
	k.asked, k.tokens, k.names = nil, nil, nil
	return asked, tokens, names
}

func (k *kuboFake) answers(h http.HandlerFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = h
}

// transfer runs a command in a directory, with more environment.
func transfer(t *testing.T, dir, stdin string, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := holdfastCmd(t, filepath.Join(dir, "no data"), args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, append(cmd.Env, env...), strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// filled makes a directory with files in it.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"one": "1", "tree/a": "a", "tree/.hidden": "h", "tree/sub/b": "b", "other/one": "2", "token": " from-a-file \n", "two.car": "car"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Of an upload standard output has the CIDs alone, and what is asked is what the flags say.
func TestAddCommand(t *testing.T) {
	k, dir := newKuboFake(t), filled(t)
	for _, one := range []struct{ args, stdout, asked, names string }{
		{"one", "Qmroot\n", "add?progress=false", "one"},
		{"tree", "Qmroot\n", "add?progress=false", "tree tree%2Fa tree%2Fsub tree%2Fsub%2Fb"},
		{"--hidden tree", "Qmroot\n", "add?progress=false", "tree tree%2F.hidden tree%2Fa tree%2Fsub tree%2Fsub%2Fb"},
		{"one other/one", "Qmroot\nQmroot\n", "add?progress=false add?progress=false", "one"},
		{"-w one tree/a", "Qmroot\n", "add?progress=false&wrap-with-directory=true", "one a"},
		{"--name my&name -", "Qmroot\n", "add?pin-name=my&name&progress=false", ""},
		{
			"--cid-version=1 --raw-leaves=false --chunker=size-1000 --hash=blake3 --trickle --inline --inline-limit=20 --preserve-mode --preserve-mtime --max-file-links=10 --max-directory-links=11 --max-hamt-fanout=16 --empty-dirs=false one", "Qmroot\n",
			"add?chunker=size-1000&cid-version=1&empty-dirs=false&hash=blake3&inline=true&inline-limit=20&max-directory-links=11&max-file-links=10&max-hamt-fanout=16&preserve-mode=true&preserve-mtime=true&progress=false&raw-leaves=false&trickle=true", "one",
		},
		{"--car two.car", "bafyone\nbafytwo\n", "dag/import?pin-roots=true", "two.car"},
		{"--car --name n -", "bafyone\nbafytwo\n", "dag/import?pin-roots=true pin/add?arg=bafyone&name=n pin/add?arg=bafytwo&name=n", ""},
	} {
		stdout, stderr, err := transfer(t, dir, "standard input", nil, append([]string{"add", "--api", k.URL}, strings.Fields(one.args)...)...)
		asked, _, names := k.take()
		if err != nil || stdout != one.stdout || stderr != "" || asked != one.asked || names != one.names {
			t.Errorf("add %s prints %q and %q, %v, asks %q, and sends %q;\nwant %q, %q, %q", one.args, stdout, stderr, err, asked, names, one.stdout, one.asked, one.names)
		}
	}
	for args, part := range map[string]string{
		"":                             "PATH is missing",
		"nowhere":                      "nowhere: no such file or directory",
		"one nowhere":                  "nowhere: no such file or directory",
		"-w one other/one":             "would have the same name",
		"-w -":                         "standard input has no name",
		"- -":                          "standard input can be read once",
		"--car --chunker=size-1 one":   "--chunker is about files",
		"--car -w one":                 "--wrap is about files",
		"--car tree":                   "a directory is no CAR",
		"--token x --token-file one a": "token",
		"--user x one":                 "user",
		"--token-file nowhere one":     "read the token: open nowhere",
		"--token-file two.car --token-file tree/.hidden --api nonsense one": "the address of the RPC",
	} {
		_, stderr, err := transfer(t, dir, "", nil, append([]string{"add", "--api", k.URL}, strings.Fields(args)...)...)
		if asked, _, _ := k.take(); err == nil || !strings.Contains(stderr, part) || asked != "" {
			t.Errorf("add %s prints %q, %v, and asks %q; want %q", args, stderr, err, asked, part)
		}
	}
}

// A token comes from a flag, a file or the environment, and is shown nowhere.
func TestTransferTokens(t *testing.T) {
	k, dir := newKuboFake(t), filled(t)
	env := []string{"HOLDFAST_API=" + k.URL, "HOLDFAST_TOKEN=from-the-environment"}
	for args, want := range map[string]string{
		"":                       "from-the-environment",
		"--token-file token":     "from-a-file",
		"--token from-a-flag":    "from-a-flag",
		"--api " + k.URL + "/":   "from-the-environment",
		"--token-file=token -w ": "from-a-file",
	} {
		stdout, stderr, err := transfer(t, dir, "", env, append([]string{"add", "one"}, strings.Fields(args)...)...)
		if _, tokens, _ := k.take(); err != nil || tokens != want || strings.Contains(stdout+stderr, want) {
			t.Errorf("with %s the token is %q, %v, and printed is %q, %q", args, tokens, err, stdout, stderr)
		}
	}
	k.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"Message":"the token has expired","Code":4,"Type":"error"}`)
	})
	_, stderr, err := transfer(t, dir, "", env, "export", "bafyone", "-o", "out.car")
	if err == nil || !strings.Contains(stderr, "error: the token has expired\nhint: give a token by HOLDFAST_TOKEN") || strings.Contains(stderr, "from-the") {
		t.Errorf("a token that has expired: %v, %s", err, stderr)
	}
	if _, stderr, err := transfer(t, dir, "", nil, "add", "--token=x", "one"); err == nil || !strings.Contains(stderr, "a token is for --api") {
		t.Errorf("a token without a server: %v, %s", err, stderr)
	}
}

// An export is there when it is whole; one that fails changes nothing.
func TestExportCommand(t *testing.T) {
	k, dir := newKuboFake(t), filled(t)
	run := func(args ...string) (string, string, error) {
		t.Helper()
		return transfer(t, dir, "", nil, append([]string{"export", "--api", k.URL, "bafyone"}, args...)...)
	}
	whole := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a whole CAR") }
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Stream-Error")
		io.WriteString(w, "a broken CAR")
		w.Header().Set("X-Stream-Error", "block was not found")
	}
	k.answers(whole)
	if stdout, stderr, err := run(); err != nil || stdout != "a whole CAR" || stderr != "" {
		t.Errorf("it prints %q, %q, %v", stdout, stderr, err)
	}
	if asked, _, _ := k.take(); asked != "dag/export?arg=bafyone&progress=false" {
		t.Errorf("it asks %q", asked)
	}
	k.answers(broken)
	if _, stderr, err := run("-o", "out.car"); err == nil || !strings.Contains(stderr, "block was not found") {
		t.Errorf("a broken one: %v, %s", err, stderr)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*out.car*")); err != nil || len(left) != 0 {
		t.Errorf("left is %v, %v", left, err)
	}
	k.answers(whole)
	if _, stderr, err := run("-o", "out.car"); err != nil {
		t.Errorf("%v: %s", err, stderr)
	}
	k.answers(broken)
	if _, _, err := run("-o", "out.car"); err == nil {
		t.Error("a broken one is no error")
	}
	if text, err := os.ReadFile(filepath.Join(dir, "out.car")); err != nil || string(text) != "a whole CAR" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if _, stderr, err := run("-o", "tree"); err == nil || !strings.Contains(stderr, "tree is a directory") {
		t.Errorf("to a directory: %v, %s", err, stderr)
	}
	if _, stderr, err := run("-o", "nowhere/out.car"); err == nil || !strings.Contains(stderr, "no such file or directory") {
		t.Errorf("to nowhere: %v, %s", err, stderr)
	}
}

// A get that is interrupted leaves nothing; one that ends has written what came.
func TestGetCommand(t *testing.T) {
	k, dir := newKuboFake(t), filled(t)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "bafyone", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: "bafyone/file", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("text")[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	k.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Write(b.Bytes()[:1024+512])
		w.(http.Flusher).Flush()
		k.hanging <- struct{}{}
		<-r.Context().Done()
	})
	cmd := holdfastCmd(t, filepath.Join(dir, "no data"), "get", "--api", k.URL, "bafyone/x", "got")
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-k.hanging:
	case <-time.After(logtest.Patience):
		t.Error("it asks for nothing")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 130 || !strings.Contains(errs.String(), "error: interrupted") {
		t.Errorf("interrupted, it ends with %v: %s", err, &errs)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*got*")); err != nil || len(left) != 0 {
		t.Errorf("left is %v, %v", left, err)
	}
	if hidden, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(hidden) != 0 {
		t.Errorf("left is %v, %v", hidden, err)
	}
	if asked, _, _ := k.take(); asked != "get?arg=bafyone/x&progress=false" {
		t.Errorf("it asks %q", asked)
	}
	k.answers(func(w http.ResponseWriter, _ *http.Request) { w.Write(b.Bytes()) })
	if stdout, stderr, err := transfer(t, dir, "", nil, "get", "--api", k.URL, "bafyone", "got"); err != nil || stdout+stderr != "" {
		t.Errorf("it prints %q, %q, %v", stdout, stderr, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "got", "file")); err != nil || string(text) != "text" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if _, stderr, err := transfer(t, dir, "", nil, "get", "--api", k.URL, "bafyone", "one"); err == nil || !strings.Contains(stderr, "one exists already") {
		t.Errorf("onto a file: %v, %s", err, stderr)
	}
}

func TestTransferLine(t *testing.T) {
	for _, one := range []struct {
		done, total int64
		took        time.Duration
		want        string
	}{
		{0, 0, 0, "0 B, 0 B/s"},
		{3 << 20, 0, 2 * time.Second, "3.0 MiB, 1.5 MiB/s"},
		{1 << 20, 11 << 20, time.Second, "1.0 MiB of 11 MiB, 1.0 MiB/s, 10s left"},
		{0, 1 << 20, time.Second, "0 B of 1.0 MiB, 0 B/s"},
		{1 << 20, 1 << 20, time.Second, "1.0 MiB of 1.0 MiB, 1.0 MiB/s, waiting for the server"},
	} {
		if got := transferLine(one.done, one.total, one.took); got != one.want {
			t.Errorf("%d of %d in %v is %q, want %q", one.done, one.total, one.took, got, one.want)
		}
	}
}
