package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Who waits for an answer is told so after a while, once.
func TestSlowAnswersAreToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delay := tellWait - time.Millisecond
		c := pipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(delay)
			json.NewEncoder(w).Encode(serverInfo{Running: true})
		}))
		c.waits = &tellingTransport{Transport: c.http.Transport.(*http.Transport), who: func() string { return "the server" }}
		c.http.Transport = c.waits
		var told []string
		start := time.Now()
		c.tellWaiting(func(text string) { told = append(told, fmt.Sprint(text, " ", time.Since(start))) })
		ask := func() {
			t.Helper()
			start = time.Now()
			var info serverInfo
			if err := c.do(t.Context(), http.MethodGet, "/server", nil, nil, nil, &info); err != nil || !info.Running {
				t.Fatalf("%+v, %v", info, err)
			}
		}
		ask()
		if len(told) > 0 {
			t.Errorf("told of a quick answer: %q", told)
		}
		delay = time.Minute
		ask()
		ask()
		if want := []string{fmt.Sprint("waiting for the server to answer ", tellWait)}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// A command whose server is stopped says what it waits for, and goes on when
// the server does.
func TestStoppedServerIsToldOf(t *testing.T) {
	s := startServer(t)
	s.signal(t, syscall.SIGSTOP)
	var errs, out logLines
	cmd := holdfastCmd(t, s.data, "user", "ls")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	errs.await(t, "\n")
	if want := fmt.Sprintf("holdfast: waiting for the server on %s, process %d, to answer\n", s.data, s.Process.Pid); errs.String() != want {
		t.Errorf("it says %q, want %q", &errs, want)
	}
	s.signal(t, syscall.SIGCONT)
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(out.String(), "EMAIL ") {
		t.Errorf("then it ends with %v and %q", err, &out)
	}
}

// A terminal that says it has no room is not drawn on.
func TestCanDraw(t *testing.T) {
	if canDraw(new(logLines)) {
		t.Error("a buffer can be drawn on")
	}
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if canDraw(f) {
		t.Error("a file can be drawn on")
	}
}
