//go:build linux

package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

const (
	failingChild = "HOLDFAST_TEST_FAILING_CHILD"
	// straceWait is longer than strace takes to attach, and a store to mend, on a slow
	// machine.
	straceWait = time.Minute
)

// TestDiskThatFails has every sync of a process fail for a while: what is changed then
// is in doubt and read as made, later changes change nothing, and once the disk takes
// writes again all of it is there, crash or not.
func TestDiskThatFails(t *testing.T) {
	if dir := os.Getenv(failingChild); dir != "" {
		failWhile(t, dir)
		return
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("this test needs strace (apt-get install strace): %v", err)
	}
	dir, copied := t.TempDir(), t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskThatFails$", "-test.count=1")
	child.Env = append(os.Environ(), failingChild+"="+dir)
	child.Stderr = os.Stderr
	say, err := child.StdinPipe()
	must(t, err)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	var said []string
	await := func(mark string) string {
		t.Helper()
		for lines.Scan() {
			said = append(said, lines.Text())
			if rest, ok := strings.CutPrefix(lines.Text(), mark); ok {
				return strings.TrimSpace(rest)
			}
		}
		t.Fatalf("the child did not say %q:\n%s", mark, strings.Join(said, "\n"))
		return ""
	}

	await("well")
	tracer := exec.CommandContext(t.Context(), strace, "-f", "-p", fmt.Sprint(child.Process.Pid),
		"-e", "trace=msync,fsync,fdatasync", "-e", "inject=msync,fsync,fdatasync:error=EIO", "-o", os.DevNull)
	attached, err := tracer.StderrPipe()
	must(t, err)
	must(t, tracer.Start())
	notes := bufio.NewScanner(attached)
	for notes.Scan() && !strings.Contains(notes.Text(), "attached") {
	}
	io.WriteString(say, "go\n")
	await("failed")
	must(t, tracer.Process.Signal(unix.SIGINT)) // it lets go
	_, _ = io.Copy(io.Discard, attached)
	_ = tracer.Wait() // it ends by the signal
	io.WriteString(say, "go\n")
	made := await("mended")
	must(t, os.CopyFS(copied, os.DirFS(dir))) // as after a crash
	io.WriteString(say, "go\n")
	if err := child.Wait(); err != nil {
		t.Fatalf("the child failed: %v\n%s", err, strings.Join(said, "\n"))
	}

	s := openTest(t, copied, Config{})
	page, err := s.requestRecords.List(t.Context(), roomtest.Account, pin.Query{Statuses: pin.Statuses(), Limit: 10})
	must(t, err)
	var ids []string
	for _, r := range page.Requests {
		ids = append(ids, r.ID)
	}
	if got := strings.Join(ids, " "); got != made {
		t.Errorf("after a crash there are %s, want %s", got, made)
	}
}

// failWhile is the child. It says how far it is, and waits for a line of its parent.
func failWhile(t *testing.T, dir string) {
	_ = unix.Prctl(unix.PR_SET_PTRACER, unix.PR_SET_PTRACER_ANY, 0, 0, 0) // only some systems ask for that
	in := bufio.NewScanner(os.Stdin)
	step := func(say string) {
		fmt.Println(say)
		in.Scan()
	}
	lock, err := Lock(dir)
	must(t, err)
	var log logtest.Buffer
	s, err := Open(t.Context(), lock, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	s.kv.MendEvery = 10 * time.Millisecond
	ctx := t.Context()
	first, err := s.requestRecords.Add(ctx, roomtest.Account, pintest.DAGSpec(1))
	must(t, err)
	account := auth.Account{ID: uuid.NewString(), Email: "ann@example.com", Created: time.Unix(1e9, 0).UTC()}
	must(t, s.CreateAccount(ctx, account))
	must(t, s.kv.Writable(ctx))
	step("well")

	now, old, released, err := s.requestRecords.Replace(ctx, roomtest.Account, first.ID, pintest.DAGSpec(2))
	if !errors.Is(err, pin.ErrInDoubt) || now.ID == "" || old.ID != first.ID || len(released) != 0 {
		t.Errorf("a replacement gives %v for %v, %v: %v", now.ID, old.ID, released, err)
	}
	if _, err := s.requestRecords.Get(ctx, roomtest.Account, now.ID); err != nil {
		t.Errorf("what is in doubt is not read: %v", err)
	}
	if _, err := s.requestRecords.Get(ctx, roomtest.Account, first.ID); !errors.Is(err, pin.ErrNotFound) {
		t.Errorf("what it replaced is read: %v", err)
	}
	for range 100 {
		if _, err := s.requestRecords.Add(ctx, roomtest.Account, pintest.DAGSpec(3)); !errors.Is(err, pin.ErrUnwritable) || strings.Contains(err.Error(), pin.ErrInDoubt.Error()) {
			t.Errorf("another request: %v", err)
		}
	}
	if _, _, err := s.requestRecords.Remove(ctx, roomtest.Account, now.ID); !errors.Is(err, pin.ErrUnwritable) {
		t.Errorf("a removal: %v", err)
	}
	if err := s.held.Write(ctx, graph.Batch{Whole: []graph.Holder{1}}); !errors.Is(err, pin.ErrUnwritable) {
		t.Errorf("blocks: %v", err)
	}
	token := auth.Token{ID: uuid.NewString(), Account: account.ID, Kind: auth.Device, Name: "kubo", Created: time.Unix(1e9, 0).UTC()}
	if err := s.accountRecords.CreateToken(ctx, token); !errors.Is(err, auth.ErrUnwritable) {
		t.Errorf("a token: %v", err)
	}
	if err := s.kv.Writable(ctx); !errors.Is(err, pin.ErrUnwritable) {
		t.Errorf("it is writable: %v", err)
	}
	if page, err := s.requestRecords.List(ctx, roomtest.Account, pin.Query{Statuses: pin.Statuses(), Limit: 10}); err != nil || len(page.Requests) != 1 {
		t.Errorf("what failed is there: %v, %v", page, err)
	}
	step("failed")

	for deadline := time.Now().Add(straceWait); s.kv.Writable(ctx) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it was not mended: %v", s.kv.Writable(ctx))
		}
	}
	last, err := s.requestRecords.Add(ctx, roomtest.Account, pintest.DAGSpec(4))
	must(t, err)
	step("mended " + last.ID + " " + now.ID)
	for text, want := range map[string]int{"level=ERROR": 1, "takes writes again": 1} {
		if n := strings.Count(log.String(), text); n != want {
			t.Errorf("the log has %q %d times, want %d:\n%s", text, n, want, &log)
		}
	}
	must(t, s.Close())
	must(t, lock.Close())
}
