package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/internal/awake"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

// The time for which a server is stopped is not counted as time that a pin took.
func TestStoppedServer(t *testing.T) {
	s := startServer(t)
	run := func(stdin string, args ...string) string {
		t.Helper()
		cmd := holdfastCmd(t, s.data, args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, s.log)
		}
		return string(out)
	}
	run("correct horse battery\n", "user", "add", "a@example.org", "--password-stdin")
	began := time.Now()
	const nobodyHas = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
	run("", "pin", "add", nobodyHas, "--user", "a@example.org", "--background")
	elapsed := func() (e time.Duration) {
		t.Helper()
		var all []admin.Pin
		if err := json.Unmarshal([]byte(run("", "pin", "ls", "--json", "--user", "a@example.org")), &all); err != nil || len(all) != 1 {
			t.Fatalf("%d pins, %v", len(all), err)
		}
		e, _ = time.ParseDuration(all[0].Info["elapsed"]) // there is none before it is begun
		return e
	}
	for deadline := began.Add(logtest.Patience); elapsed() < time.Second; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the pin does not begin\n%s", s.log)
		}
	}
	// However slow the machine is, at least this time passes between the two signals.
	const stopped = 2 * awake.Gap
	s.signal(t, syscall.SIGSTOP)
	time.Sleep(stopped)
	s.signal(t, syscall.SIGCONT)
	e := elapsed()
	if ran := time.Since(began) - stopped; e > ran+time.Second { // which it is rounded to
		t.Errorf("the pin took %v, and the server ran for %v at the most", e, ran)
	}
	if e < time.Second {
		t.Errorf("the pin took %v, less than before the stop", e)
	}
}
