package main

import (
	"strings"
	"testing"
	"testing/synctest"
)

// slowToClose is a server that stops only when the test allows it.
type slowToClose struct{ let chan struct{} }

func (s slowToClose) Close() error  { <-s.let; return nil }
func (slowToClose) Closing() string { return "close the node" }

// The error of a server that does not stop in time says what it was doing.
func TestStopSaysWhatItWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowToClose{make(chan struct{})}
		defer close(s.let)
		if err := closeInTime(s); err == nil || !strings.Contains(err.Error(), "did not stop within 10s: it still had to close the node") {
			t.Errorf("it says %v", err)
		}
	})
}
