package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/logtest"
)

var updateScripts = flag.Bool("update", false, "write what the scripts compare anew")

// With tracedEnv in its environment a server lets strace attach to it.
const tracedEnv = "HOLDFAST_TEST_TRACED"

// TestMain makes the real main a command of the scripts, in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": func() {
		if os.Getenv(tracedEnv) != "" {
			letTrace()
		}
		main()
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *updateScripts,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars,
				"HOME="+filepath.Join(e.WorkDir, "home"),
				"NASTY=a\nb\x1b[31m",
				"DATA="+filepath.Join(e.WorkDir, "data"),
				"HOLDFAST_DATA="+filepath.Join(e.WorkDir, "data"),
				"HOLDFAST_HTTP_LISTEN=127.0.0.1:0",
				"HOLDFAST_NODE_LISTEN=/ip4/127.0.0.1/tcp/0",
				"HOLDFAST_NODE_ROUTING=none",
				"HOLDFAST_NODE_BOOTSTRAP=",
				"HOLDFAST_STORE_MIN_FREE_SPACE=64MiB",
				"HOLDFAST_METRICS_LISTEN=127.0.0.1:0",
				"GORACE="+os.Getenv("GORACE"),
			)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": readyCommand,
			"http":  httpCommand,
			"save":  saveCommand,
			"await": awaitCommand,
			"exits": exitsCommand,
			"calls": callsCommand,
		},
	})
}

// readyCommand waits until a live server says that it is ready: `ready [DIR]`.
func readyCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: ready [DIR]")
	}
	dir := ts.Getenv("DATA")
	if len(args) > 0 {
		dir = ts.MkAbs(args[0])
	}
	poll(ts, func() bool {
		_, ok := datadir.ReadRunFile(filepath.Join(dir, datadir.RunFileName))
		return ok
	}, "no server is ready on "+dir)
}

// httpCommand asks the server on $DATA, and prints the status and the body:
// `http METHOD PATH [TOKEN [BODY]]`.
func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 4 {
		ts.Fatalf("usage: http METHOD PATH [TOKEN [BODY]]")
	}
	run, ok := datadir.ReadRunFile(filepath.Join(ts.Getenv("DATA"), datadir.RunFileName))
	if !ok {
		ts.Fatalf("no server runs")
	}
	var body io.Reader
	if len(args) > 3 {
		body = strings.NewReader(args[3])
	}
	r, err := http.NewRequest(args[0], run.HTTP+args[1], body)
	ts.Check(err)
	r.Header.Set("Content-Type", "application/json")
	if len(args) > 2 {
		r.Header.Set("Authorization", "Bearer "+args[2])
	}
	client := http.Client{Timeout: logtest.Patience}
	answer, err := client.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s\n", answer.Status, text)
}

// saveCommand puts the last standard output, without spaces around it, in a
// variable: `save NAME`.
func saveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: save NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// awaitCommand waits until a file is there, or with ! until it is gone, or
// until it holds a text: `[!] await FILE [TEXT]`.
func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: [!] await FILE [TEXT]")
	}
	path := ts.MkAbs(args[0])
	poll(ts, func() bool {
		text, err := os.ReadFile(path)
		found := err == nil && (len(args) == 1 || strings.Contains(string(text), args[1]))
		return found != neg
	}, "waited in vain for "+strings.Join(args, " "))
}

func poll(ts *testscript.TestScript, done func() bool, failure string) {
	for deadline := time.Now().Add(logtest.Patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s", failure)
		}
	}
}
