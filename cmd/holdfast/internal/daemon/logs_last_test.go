package daemon

import (
	"fmt"
	"strings"
	"testing"
)

// The last lines are the end of what was written, whole lines of it, and take no more memory than they
// may.
func TestLastLines(t *testing.T) {
	var l LastLines
	if l.String() != "" {
		t.Errorf("of nothing there is %q", &l)
	}
	const n = 100_000
	for i := range n {
		fmt.Fprintf(&l, "line %06d of the log\n", i)
		if i == 2 {
			if got, want := l.String(), "line 000000 of the log\nline 000001 of the log\nline 000002 of the log\n"; got != want {
				t.Errorf("of three lines there is %q", got)
			}
		}
	}
	got := l.String()
	if !strings.HasPrefix(got, "line ") || !strings.HasSuffix(got, fmt.Sprintf("line %06d of the log\n", n-1)) {
		t.Errorf("it is %.30q ... %q", got, got[len(got)-30:])
	}
	if len(got) > maxLastLines || len(got) < maxLastLines/2-100 {
		t.Errorf("it has %d bytes", len(got))
	}
	var lines int
	for line := range strings.Lines(got) {
		if want := fmt.Sprintf("line %06d of the log\n", n-strings.Count(got, "\n")+lines); line != want {
			t.Fatalf("a line is %q, want %q", line, want)
		}
		lines++
	}
	huge := strings.Repeat("x", 2*maxLastLines)
	if n, err := l.Write([]byte(huge)); n != len(huge) || err != nil {
		t.Errorf("a huge line: %d, %v", n, err)
	}
	if got := l.String(); len(got) > maxLastLines || !strings.HasSuffix(got, "xxx") {
		t.Errorf("after a huge line it has %d bytes", len(got))
	}
}
