package logtest

import (
	"strings"
	"testing"
	"time"
)

// Patience is how long a test waits for a process: machines that run tests are busy.
const Patience = time.Minute

// Lines is a log that a test may wait for.
type Lines struct{ Buffer }

// Await waits until a text was logged.
func (l *Lines) Await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !strings.Contains(l.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q was not logged:\n%s", text, l)
		}
	}
}
