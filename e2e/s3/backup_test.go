package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/backup"
)

const access, secret = "an-access-key", "a-secret-key-of-a-test"

// gateway starts an S3 server on loopback with one bucket, and returns its address.
func gateway(t *testing.T) (host string) {
	t.Helper()
	program := build(t, "versitygw", "github.com/versity/versitygw/cmd/versitygw", ".")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	host = l.Addr().String()
	must(t, l.Close())
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "backups"), 0o700))
	cmd := exec.Command(program, "--port", host, "--access", access, "--secret", secret, "--quiet", "posix", root)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", host)
		if err == nil {
			conn.Close()
			return host
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func build(t *testing.T, name, pkg, dir string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A bucket keeps files as a directory does.
func TestBucket(t *testing.T) {
	host := gateway(t)
	t.Setenv("AWS_ACCESS_KEY_ID", access)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	dir, err := backup.OpenPlace(t.TempDir())
	must(t, err)
	inBucket, err := backup.OpenPlace("s3:http://" + host + "/backups/of/one")
	must(t, err)
	beside, err := backup.OpenPlace("s3:http://" + host + "/backups/of")
	must(t, err)
	must(t, put(t.Context(), beside, "other", []byte("x")))
	large := make([]byte, 40<<20) // as much as some packs
	_, _ = rand.NewChaCha8([32]byte{1}).Read(large)
	for name, p := range map[string]backup.Place{"directory": dir, "bucket": inBucket} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if names, err := p.List(ctx, ""); err != nil || len(names) > 0 {
				t.Errorf("an empty one lists %v: %v", names, err)
			}
			if _, err := p.Get(ctx, "none"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a file that is not there: %v", err)
			}
			must(t, p.Remove(ctx, "none"))
			files := map[string][]byte{"b": []byte("short"), "a/large": large, "a/empty": {}}
			for name, data := range files {
				must(t, put(ctx, p, name, data))
			}
			if names, err := p.List(ctx, ""); err != nil || !slices.Equal(names, []string{"a/empty", "a/large", "b"}) {
				t.Errorf("it lists %v: %v", names, err)
			}
			if names, err := p.List(ctx, "a/"); err != nil || !slices.Equal(names, []string{"a/empty", "a/large"}) {
				t.Errorf("below a it lists %v: %v", names, err)
			}
			for name, want := range files {
				r, err := p.Get(ctx, name)
				must(t, err)
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s has %d bytes, want %d: %v", name, len(got), len(want), err)
				}
				must(t, r.Close())
			}
			must(t, put(ctx, p, "b", []byte("another")))
			must(t, p.Remove(ctx, "a/large"))
			if names, err := p.List(ctx, ""); err != nil || !slices.Equal(names, []string{"a/empty", "b"}) {
				t.Errorf("after one was removed it lists %v: %v", names, err)
			}
			// What ends early is not there.
			if err := p.Put(ctx, "cut", 1000, strings.NewReader("short")); err == nil {
				t.Error("a file that ended early was put")
			}
			if _, err := p.Get(ctx, "cut"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a file that ended early: %v", err)
			}
		})
	}
	none, err := backup.OpenPlace("s3:http://" + host + "/no-such-bucket/x")
	must(t, err)
	if _, err := none.List(t.Context(), ""); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a bucket that is not there: %v", err)
	}
}

func put(ctx context.Context, p backup.Place, name string, data []byte) error {
	return p.Put(ctx, name, int64(len(data)), bytes.NewReader(data))
}

// The commands make, list, check, prune and restore backups in a bucket.
func TestCommands(t *testing.T) {
	place := "s3:http://" + gateway(t) + "/backups/server"
	holdfast := build(t, "holdfast", "./cmd/holdfast", "../..")
	home := t.TempDir()
	run := func(data string, args ...string) string {
		t.Helper()
		cmd := exec.Command(holdfast, args...)
		cmd.Env = []string{
			"HOME=" + home, "HOLDFAST_DATA=" + filepath.Join(home, data),
			"AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret,
		}
		cmd.Stdin = strings.NewReader("correct horse battery\n")
		cmd.Stderr = t.Output()
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("holdfast %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("data", "user", "add", "alice@example.org", "--password-stdin")
	run("data", "pin", "add", "bafkqabtimvwgy3yk", "--name", "first")
	run("data", "backup", place)
	run("data", "backup", place)
	if got := run("data", "backup", "check", place); !strings.Contains(got, "checked 2 backups") || !strings.Contains(got, ": 0 damaged") {
		t.Error(got)
	}
	if got := run("data", "backup", "prune", place, "--keep-last", "1"); !strings.Contains(got, "removed 1 backup") {
		t.Error(got)
	}
	run("back", "restore", place)
	if got := run("back", "pin", "ls"); !strings.Contains(got, "first") {
		t.Error(got)
	}
}
