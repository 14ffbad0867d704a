package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long the server may take to start: machines that run tests are busy.
const patience = time.Minute

const (
	description = "../../cmd/holdfast/internal/daemon/openapi.yaml"
	email       = "admin@example.com"
	password    = "correct horse battery"
)

// TestGeneratedClients makes a client with each generator. A program calls every operation
// with it, and reads each answer as the description says.
func TestGeneratedClients(t *testing.T) {
	binary := build(t)
	for name, generate := range map[string]func(t *testing.T, dir string) (command []string){
		"oapi-codegen": func(t *testing.T, dir string) []string {
			run(t, ".", "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "main",
				"-o", filepath.Join(dir, "client.go"), description)
			return goProgram(t, dir, "oapi")
		},
		"ogen": func(t *testing.T, dir string) []string {
			run(t, ".", "go", "tool", "ogen", "--target", dir, "--package", "main", "--clean", description)
			return goProgram(t, dir, "ogen")
		},
		"hey-api": func(t *testing.T, dir string) []string {
			npm(t, "js", dir)
			run(t, dir, "npx", "openapi-ts", "-f", "openapi-ts.config.ts")
			run(t, dir, "npx", "tsc", "--noEmit", "-p", "hey.json")
			return []string{"npx", "tsx", "hey.ts"}
		},
		"openapi-typescript": func(t *testing.T, dir string) []string {
			npm(t, "js", dir)
			run(t, dir, "npx", "openapi-typescript", "openapi.yaml", "-o", "schema.d.ts")
			run(t, dir, "npx", "tsc", "--noEmit", "-p", "fetch.json")
			return []string{"npx", "tsx", "fetch.ts"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			// In the module, so that Go finds what the code imports. ./... skips names that
			// begin like this one.
			dir, err := os.MkdirTemp(".", "_generated-")
			if err != nil {
				t.Fatal(err)
			}
			if dir, err = filepath.Abs(dir); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			command := generate(t, dir)
			called := strings.Fields(run(t, dir, append(command, serve(t, binary), email, password)...))
			text, err := os.ReadFile(description)
			if err != nil {
				t.Fatal(err)
			}
			operations := regexp.MustCompile(`(?m)^ +operationId: (\w+)$`).FindAllStringSubmatch(string(text), -1)
			if len(operations) < 25 {
				t.Fatalf("only %d operations are described", len(operations))
			}
			for _, o := range operations {
				if !slices.Contains(called, o[1]) {
					t.Errorf("%s was not called", o[1])
				}
			}
		})
	}
}

// build makes the server's binary.
func build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "holdfast")
	run(t, "../..", "go", "build", "-o", binary, "./cmd/holdfast")
	return binary
}

// login returns an access token of the admin.
func login(t *testing.T, base string) (token string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"email": email, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(base+"/api/auth/login", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var session struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&session); err != nil || session.Token == "" {
		t.Fatalf("log in: status %d, %v", res.StatusCode, err)
	}
	return session.Token
}

// goProgram builds the program that goes with the client in the directory.
func goProgram(t *testing.T, dir, name string) (command []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), name)
	run(t, dir, "go", "build", "-o", program, ".")
	return []string{program}
}

// npm puts what is in a directory of testdata into another, with the description and the
// packages that package-lock.json pins.
func npm(t *testing.T, from, dir string) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", from))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
}

// serve starts a server on a data directory of its own, with one admin, and returns its base
// URL. The server ends with the test.
func serve(t *testing.T, binary string) (base string) {
	t.Helper()
	return serveOn(t, binary, "HOLDFAST_NODE_LISTEN=/ip4/127.0.0.1/tcp/0")
}

// serveOn is serve with more environment.
func serveOn(t *testing.T, binary string, more ...string) (base string) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	env := append(os.Environ(),
		"HOLDFAST_DATA="+data, "HOLDFAST_HTTP_LISTEN=127.0.0.1:0", "HOLDFAST_METRICS_LISTEN=",
		"HOLDFAST_NODE_ROUTING=none", "HOLDFAST_NODE_BOOTSTRAP=",
		"HOLDFAST_STORE_MIN_FREE_SPACE=64MiB", "HOLDFAST_AUTH_REGISTRATION=invite",
		"TZ=Asia/Kathmandu", // some clients take no time that is not UTC
	)
	env = append(env, more...)
	add := exec.Command(binary, "user", "add", email, "--admin", "--password-stdin")
	add.Env, add.Stdin = env, strings.NewReader(password)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("add the admin: %v\n%s", err, out)
	}
	var log bytes.Buffer
	server := exec.Command(binary, "serve")
	server.Env, server.Stderr = env, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("the server: %v\n%s", err, &log)
		}
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(data, "run.json"))
		if err != nil {
			continue
		}
		var run struct{ HTTP string }
		if err := json.Unmarshal(text, &run); err != nil {
			t.Fatal(err)
		}
		return run.HTTP
	}
	t.Fatal("the server is not ready")
	return ""
}

// run runs a command in a directory and returns its standard output.
func run(t *testing.T, dir string, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s%s", strings.Join(command, " "), err, &out, &errs))
	}
	return out.String()
}
