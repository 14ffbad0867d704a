package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// nobody owns what root must not use as root. Any id but 0 will do.
const nobody = 65534

// holdfastCmd runs the real main with an environment of its own.
func holdfastCmd(t *testing.T, data string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "holdfast", args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOLDFAST_DATA=" + data,
		"HOLDFAST_HTTP_LISTEN=127.0.0.1:0",
		"HOLDFAST_NODE_LISTEN=/ip4/127.0.0.1/tcp/0",
		"HOLDFAST_NODE_ROUTING=none",
		"HOLDFAST_NODE_BOOTSTRAP=",
		"HOLDFAST_STORE_MIN_FREE_SPACE=64MiB",
		"HOLDFAST_METRICS_LISTEN=127.0.0.1:0",
		"GORACE=" + os.Getenv("GORACE"),
	}
	return cmd
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user: run this as root to test it")
	}
}

// As systemd keeps the data of a dynamic user: below a directory that only root
// may enter, reached by a symlink.
func dynamicUserDir(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	private := filepath.Join(base, "private")
	data := filepath.Join(private, "holdfast")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "holdfast")
	if err := os.Symlink(filepath.Join("private", "holdfast"), link); err != nil {
		t.Fatal(err)
	}
	return link
}

// Root's commands leave nothing that the service could not use, with and
// without a server.
func TestRootBecomesTheOwner(t *testing.T) {
	needRoot(t)
	link := dynamicUserDir(t)
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := holdfastCmd(t, link, args...)
		cmd.Stdin = strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("holdfast %s: %v\n%s", strings.Join(args, " "), err, &stderr)
		}
		return string(out)
	}
	run("correct horse battery\n", "user", "add", "a@example.org", "--password-stdin")
	if out := run("", "user", "ls"); !strings.Contains(out, "a@example.org") {
		t.Errorf("user ls prints %q", out)
	}
	checkOwners(t, link)

	server := holdfastCmd(t, link, "serve")
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Signal(syscall.SIGTERM)
		if err := server.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, &log)
		}
	}()
	awaitReady(t, link, server.Process.Pid)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nobody),
		fmt.Sprintf("Gid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nobody),
		fmt.Sprintf("Groups:\t%d \n", nobody),
		"CapEff:\t0000000000000000\n",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the server's status lacks %q:\n%s", want, status)
		}
	}
	if out := run("", "user", "ls"); !strings.Contains(out, "a@example.org") {
		t.Errorf("user ls prints %q while the server runs", out)
	}
	// It reads and writes files as the owner, which is said where that fails.
	closed := t.TempDir()
	file := filepath.Join(closed, "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	cid := strings.TrimSpace(run("hello", "add", "-"))
	if car := run("", "export", cid); !strings.Contains(car, "hello") {
		t.Errorf("export prints %q", car)
	}
	for _, args := range [][]string{{"add", file}, {"export", cid, "-o", file + ".car"}, {"export", "--all", closed + "/all"}, {"get", cid, file + ".got"}} {
		out, err := holdfastCmd(t, link, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "hint: a command that is run as root reads and writes files as the owner of the data directory") {
			t.Errorf("holdfast %s: %v, %s", args[0], err, out)
		}
	}
	checkOwners(t, link)
}

func checkOwners(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir+"/", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		n++
		if st := info.Sys().(*syscall.Stat_t); st.Uid != nobody || st.Gid != nobody {
			t.Errorf("%s is owned by %d:%d", path, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 4 {
		t.Errorf("there are only %d files", n)
	}
}

func awaitReady(t *testing.T, dir string, pid int) {
	t.Helper()
	for deadline := time.Now().Add(logtest.Patience); ; time.Sleep(5 * time.Millisecond) {
		if r, ok := datadir.ReadRunFile(filepath.Join(dir, datadir.RunFileName)); ok && r.PID == pid {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server is not ready")
		}
	}
}

// Root restores into the directory of the service's user, and makes backups of it, with a key file
// that only root may read.
// If that user cannot read the backups, the error says so.
func TestRootRestores(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil { // the way to PLACE is open to all
		t.Fatal(err)
	}
	place, key, configured := filepath.Join(base, "place"), filepath.Join(base, "key"), filepath.Join(base, "config.toml")
	const secret = "AGE-SECRET-KEY-1KTYK6RVLN5TAPE7VF6FQQSKZ9HWWCDSKUGXXNUQDWZ7XXT5YK5LSF3UTKQ"
	for path, text := range map[string]string{key: secret, configured: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made := filepath.Join(base, "made")
	for _, args := range [][]string{{"user", "add", "a@example.org", "--password-stdin"}, {"backup", place, "--key-file", key}} {
		if out, err := holdfastStdin(t, made, "correct horse battery\n", args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	link := dynamicUserDir(t)
	restore := func() (string, error) {
		return holdfastStdin(t, link, "", "restore", place, "--key-file", key, "--config", configured)
	}
	if out, err := restore(); err == nil || !strings.Contains(out, fmt.Sprintf("hint: let user %d, who owns %s, read the backups", nobody, link)) {
		t.Errorf("of what only root may read: %v\n%s", err, out)
	}
	if err := filepath.WalkDir(place, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	}); err != nil {
		t.Fatal(err)
	}
	if out, err := restore(); err != nil || !strings.Contains(out, "restored backup") {
		t.Errorf("%v\n%s", err, out)
	}
	checkOwners(t, link)

	// So does a backup without a server, with a key that is named here or in the configuration.
	if err := os.WriteFile(configured, []byte(fmt.Sprintf("[backup]\nto = %q\nkey_file = %q\n", place, key)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"backup", place, "--key-file", key}, {"backup", "--config", configured}} {
		if out, err := holdfastStdin(t, link, "", args...); err != nil || !strings.HasPrefix(out, "backup ") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	checkOwners(t, link)
	// A server reads it itself, as that user.
	server := holdfastCmd(t, link, "serve")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
	}()
	awaitReady(t, link, server.Process.Pid)
	out, err := holdfastStdin(t, link, "", "backup", place, "--key-file", key)
	if want := fmt.Sprintf("permission denied: user %d must be able to read it", nobody); err == nil || !strings.Contains(out, want) {
		t.Errorf("a backup with root's key by a server: %v\n%s", err, out)
	}
}

// Errors have the path that people know.
func TestErrorsNameTheKnownPath(t *testing.T) {
	needRoot(t)
	link := dynamicUserDir(t)
	if err := os.WriteFile(filepath.Join(link, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := holdfastCmd(t, link, "user", "ls")
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil {
		t.Error("a foreign directory was taken")
	}
	if s := stderr.String(); !strings.Contains(s, link+": not a holdfast data directory") || strings.Contains(s, "/proc/") {
		t.Errorf("stderr is %q", s)
	}
}

// A directory that the user cannot write to is an error that says so, and is
// left as it is.
func TestReadOnlyDataDir(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	cmd := holdfastCmd(t, dir, "user", "ls")
	if os.Geteuid() == 0 { // whom no mode stops
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Errorf("exit is %v", err)
	}
	if s := stderr.String(); !strings.HasPrefix(s, "holdfast: error: ") || !strings.Contains(s, "permission denied") || !strings.Contains(s, "\nhint: run it as root, or as the owner") {
		t.Errorf("stderr is %q", s)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the directory holds %v (%v)", entries, err)
	}
}

// An account made in one directory is not known to a server on another.
func TestUserAddWarnsOfAnotherServer(t *testing.T) {
	base := t.TempDir()
	dirs := map[string]string{}
	for _, name := range []string{"ours", "service", "home/holdfast"} {
		dirs[name] = filepath.Join(base, name)
		if err := os.MkdirAll(dirs[name], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{config.EnvData: dirs["ours"], "XDG_DATA_HOME": filepath.Join(base, "home")}
	var stderr bytes.Buffer
	c := &cli{
		stderr: &stderr,
		getenv: func(k string) string { return env[k] },
		unit:   datadir.ServiceUnit{StateDir: dirs["service"], Cgroup: filepath.Join(base, "cgroup")},
	}
	warned := func() string {
		stderr.Reset()
		c.warnOfOtherServer(env[config.EnvData])
		return stderr.String()
	}
	if s := warned(); s != "" {
		t.Errorf("warned %q, and no server runs", s)
	}
	running := datadir.RunFile{PID: os.Getpid()}
	for _, name := range []string{"service", "home/holdfast"} {
		path := filepath.Join(dirs[name], datadir.RunFileName)
		if err := datadir.WriteRunFile(path, running); err != nil {
			t.Fatal(err)
		}
		if s := warned(); !strings.Contains(s, "a server runs on "+dirs[name]) || !strings.Contains(s, "made in "+dirs["ours"]) || strings.Count(s, "\n") != 1 {
			t.Errorf("with a server on %s it warned %q", dirs[name], s)
		}
		env[config.EnvData] = dirs[name]
		if s := warned(); s != "" {
			t.Errorf("warned %q of the server that is meant", s)
		}
		env[config.EnvData] = dirs["ours"]
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	// The data of a dynamic user cannot be looked at, but its cgroup can.
	if err := os.Mkdir(c.unit.Cgroup, 0o700); err != nil {
		t.Fatal(err)
	}
	if s := warned(); !strings.Contains(s, "a server runs on "+dirs["service"]) {
		t.Errorf("with a service it warned %q", s)
	}
	if s := c.whereData("/nowhere"); !strings.Contains(s, "use --data "+dirs["service"]) {
		t.Errorf("the hint for a directory that is missing is %q", s)
	}
}
