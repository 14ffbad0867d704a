package main

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

// patience is how long a test waits for a process: machines under test are busy.
const patience = time.Minute

// logLines is a log that a test may wait for.
type logLines struct{ logtest.Buffer }

// await waits until a text was logged.
func (l *logLines) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(l.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q was not logged:\n%s", text, l)
		}
	}
}
