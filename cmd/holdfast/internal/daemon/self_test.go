package daemon

import (
	"testing"
	"time"
)

// The times that a server says of itself are UTC, as all others of the API: some clients take no others.
func TestSelfSpeaksUTC(t *testing.T) {
	p, _ := runProgram(t)
	is, err := self{p}.Condition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]time.Time{"started": is.Started, "now": is.Now, "a sample": p.sample(t.Context()).Time} {
		if at.Location() != time.UTC {
			t.Errorf("%s is %v", name, at)
		}
	}
}
