package main

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
)

// With log.format = "json" everything that a server prints is JSON, also the error that
// ends it.
func TestJSONToTheEnd(t *testing.T) {
	parent := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	for name, tt := range map[string]struct {
		env       []string
		msg, hint string
	}{
		"cannot listen": {[]string{"HOLDFAST_HTTP_LISTEN=" + address, "HOLDFAST_DATA=" + parent + "/new"},
			"serve HTTP on " + address + ": ", "http.listen sets the address; port 0 takes a free port"},
		"bad configuration": {[]string{"HOLDFAST_PIN_WORKERS=0"}, "pin.workers", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := holdfastCmd(t, parent, "serve")
			cmd.Env = append(cmd.Env, "HOLDFAST_LOG_FORMAT=json")
			cmd.Env = append(cmd.Env, tt.env...)
			var out bytes.Buffer
			cmd.Stderr = &out
			if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("it ended with %v", err)
			}
			said := out.String()
			var last struct{ Level, Msg, Err, Hint string }
			for line := range strings.Lines(said) {
				last.Hint = ""
				if err := json.Unmarshal([]byte(line), &last); err != nil {
					t.Errorf("%v in %q", err, line)
				}
			}
			if last.Level != "ERROR" || !strings.Contains(last.Err, tt.msg) || last.Hint != tt.hint {
				t.Errorf("the last line is %+v", last)
			}
			if n := strings.Count(said, tt.msg); n != 1 {
				t.Errorf("it is said %d times:\n%s", n, said)
			}
		})
	}
}
