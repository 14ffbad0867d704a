package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-ipfs/holdfast/auth/authhttp"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/daemon"
)

// readBundle gives the files of a support file.
func readBundle(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		name, ok := strings.CutPrefix(h.Name, "holdfast-support/")
		if !ok {
			t.Errorf("%s is not in the folder", h.Name)
		}
		files[name] = string(b)
	}
}

// No secret, no address of a user or of another node, no CID and no name is in a support file, of a
// server that logs everything. What helps is in it.
func TestSupportGivesNothingAway(t *testing.T) {
	const (
		user   = "canary.user@example.org"
		client = "203.0.113.77"
		origin = "198.51.100.9"
		peer   = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
		cid    = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
		router = "router.canary.example"
		bucket = "canary-bucket"
	)
	password := "Xq7 canary horse battery"
	s := startServer(t, "HOLDFAST_LOG_LEVEL=debug", "HOLDFAST_HTTP_TRUSTED_PROXIES=127.0.0.1",
		"HOLDFAST_AUTH_REGISTRATION=invite", "HOLDFAST_HTTP_ACME_EMAIL=operator@canary.example",
		"HOLDFAST_HTTP_PUBLIC_URL=https://pins.canary.example", "HOLDFAST_HTTP_ACME_DOMAINS=acme.canary.example",
		"HOLDFAST_GATEWAY_HOSTS=hosts.canary.example", "HOLDFAST_GATEWAY_PATH_HOSTS=paths.canary.example",
		"HOLDFAST_GATEWAY_DNSLINK_HOSTS=dnslink.canary.example", "HOLDFAST_BACKUP_TO=s3:https://s3.canary.example/"+bucket+"/x",
		"HOLDFAST_BACKUP_EVERY=0",
		"HOLDFAST_NODE_DELEGATED_ROUTERS=https://"+router, "HOLDFAST_NODE_PEERING=/ip4/192.0.2.250/tcp/1/p2p/"+peer)
	w := &watched{t: t, data: s.data, base: s.base(t), said: map[string]string{}, secrets: map[string]string{}}
	w.keys()
	w.secret("the password", password)
	w.run(false, password+"\n", "user", "add", user, "--password-stdin")
	device := w.secret("a token", w.run(true, "", "token", "create", user, "--name", "canary-laptop"))
	w.secret("an invitation", w.run(true, "", "user", "invite"))
	for what, private := range map[string]string{
		"a user": user, "a client": client, "an origin": origin, "a peer": peer, "a CID": cid, "a router": router,
		"the public URL": "pins.canary.example", "a domain": "acme.canary.example", "a host": "hosts.canary.example",
		"a host of paths": "paths.canary.example", "a host of DNSLinks": "dnslink.canary.example", "the bucket": bucket,
		"the host of the bucket": "s3.canary.example",
		"a pin's name":           "canary-holiday", "a token's name": "canary-laptop", "the operator": "operator@canary.example",
		"a stranger": "canary.stranger@example.net", "a peering address": "192.0.2.250",
	} {
		w.secrets[what] = private
	}
	ask := func(method, path, token, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, w.base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", client)
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	if name, err := os.Hostname(); err == nil && len(name) > 6 { // a short one may be a part of a word
		w.secrets["this host"] = name
	}
	for range 20 { // until it is refused, which is logged
		ask("POST", authhttp.LoginPath, "", fmt.Sprintf(`{"email":"canary.stranger@example.net","password":%q}`, password))
	}
	ask("POST", daemon.PSAPath+"/pins", device, fmt.Sprintf(`{"cid":%q,"name":"canary-holiday","origins":["/ip4/%s/tcp/1/p2p/%s"]}`, cid, origin, peer))
	ask("GET", daemon.PSAPath+"/pins?name=canary-holiday&cid="+cid, device, "")
	s.log.Await(t, "msg=request")

	logFile := filepath.Join(t.TempDir(), "server.log")
	if err := os.WriteFile(logFile, []byte(s.log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	support := func(name string) map[string]string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		cmd := holdfastCmd(t, s.data, "support", path, "--log", logFile)
		// A journal of the same lines.
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "journalctl"), []byte("#!/bin/sh\nexec cat '"+logFile+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("support: %v\n%s", err, out)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file is %v, %v", info, err)
		}
		files := readBundle(t, path)
		for what, private := range w.secrets {
			for _, spelled := range spellings(private) {
				for name, text := range files {
					if at := strings.Index(text, spelled); at >= 0 {
						t.Errorf("%s is in %s: ...%s", what, name, text[max(0, at-200):min(len(text), at+200)])
					}
				}
			}
		}
		return files
	}

	files := support("running.tar.gz")
	for name, want := range map[string]string{
		"README.txt": "look through", "version.txt": "github.com/libp2p/go-libp2p v", "doctor.txt": "server: it runs, as process",
		"settings.json": `"key": "pin.workers"`, "running.json": `"pin.workers"`, "condition.json": `"open_files"`,
		"stats.json": `"disk_bytes"`, "metrics.txt": "holdfast_", "log.txt": "msg=ready", "journal.txt": "msg=ready",
		"logfile.txt": "msg=ready", "goroutines.txt": "net/http.(*Server).Serve", "files.txt": "db/MANIFEST",
	} {
		if !strings.Contains(strings.ToLower(files[name]), strings.ToLower(want)) {
			t.Errorf("no %q in %s: %.500s", want, name, files[name])
		}
		if name != "README.txt" && !strings.Contains(files["README.txt"], "    "+name+" ") {
			t.Errorf("README.txt does not say what %s is", name)
		}
	}
	if len(files) != 13 {
		t.Errorf("there are %q", slices.Sorted(maps.Keys(files)))
	}

	s.signal(t, syscall.SIGTERM)
	if err := s.Wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
	files = support("stopped.tar.gz")
	if !strings.Contains(files["missing.txt"], "log.txt: no server runs") || !strings.Contains(files["doctor.txt"], "server: none runs") {
		t.Errorf("without a server: %s\n%s", files["missing.txt"], files["doctor.txt"])
	}
}

// A file that is there is not replaced, and one that fails is not left.
func TestSupportFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.tar.gz")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := holdfastCmd(t, t.TempDir(), "support", path).CombinedOutput(); err == nil || !strings.Contains(string(out), "file exists") {
		t.Errorf("over a file: %v, %s", err, out)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("it has %q, %v", b, err)
	}
	other := filepath.Join(t.TempDir(), "other.tar.gz")
	if out, err := holdfastCmd(t, t.TempDir(), "support", other, "--log", path+".gone").CombinedOutput(); err == nil {
		t.Errorf("without its log: %s", out)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a file is left: %v", err)
	}
	// Interrupted while it gathers.
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "journalctl"), []byte("#!/bin/sh\nkill -INT $PPID\nexec sleep 60\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := holdfastCmd(t, t.TempDir(), "support", other)
	cmd.Env = append(cmd.Env, "PATH="+bin+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("interrupted: %v, %s", err, out)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file is left of what was interrupted: %v", err)
	}
}
