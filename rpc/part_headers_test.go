package rpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// The header of a part has a limit, however its bytes come. What only looks like a header has none.
func TestPartHeaders(t *testing.T) {
	long := strings.Repeat("x", maxPartHeader)
	for _, test := range []struct {
		name, body string
		refused    bool
	}{
		{"the first", "--b\r\nA: " + long + "\r\n\r\n", true},
		{"behind others", "--b\r\nA: 1\r\n\r\nx\r\n--b\r\nA: " + long, true},
		{"behind an empty one", "--b\r\n\r\n--b\nA: " + long, true},
		{"with newlines alone", "--b\nA: 1\n\n" + long + "\n--b \nA: " + long, true},
		{"of many lines", "--b\r\n" + strings.Repeat("A: 1\r\n", maxPartHeader/6+1), true},
		{"a long part", "--b\r\nA: 1\r\n\r\n" + long + long + "\r\n--b--\r\n", false},
		{"behind the end", "--b\r\nA: 1\r\n\r\nx\r\n--b--\r\n" + long, false},
		{"another delimiter", "--b\r\nA: 1\r\n\r\nx\r\n--bc\r\n" + long, false},
		{"within a line", "--b\r\nA: 1\r\n\r\nx--b\r\n" + long, false},
		{"as long as may be", "--b\r\nA: " + long[:maxPartHeader-10] + "\r\n\r\n" + long, false},
	} {
		for how, r := range map[string]io.Reader{
			"at once": strings.NewReader(test.body), "byte by byte": iotest.OneByteReader(strings.NewReader(test.body)),
			"by halves": iotest.HalfReader(strings.NewReader(test.body)),
		} {
			got, err := io.ReadAll(newPartHeaders(r, "b"))
			var f *failure
			switch {
			case test.refused:
				if !errors.As(err, &f) || f.status != http.StatusBadRequest {
					t.Errorf("%s, %s: %v", test.name, how, err)
				}
			case err != nil || !bytes.Equal(got, []byte(test.body)):
				t.Errorf("%s, %s: %d bytes, %v", test.name, how, len(got), err)
			}
		}
	}
}

// Paths that are too long or too deep are the client's mistake.
func TestPathsThatAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		strings.Repeat("x", 100_000):             "the header of a part",
		"d/" + strings.Repeat("x", 2000):         "a name has 2000 bytes",
		strings.Repeat("x", 2000) + "/f":         "a name has 2000 bytes",
		strings.Repeat("x", 2000):                "a name has 2000 bytes",
		"d" + strings.Repeat("/abcdefghij", 1e3): "directories within each other",
		"d" + strings.Repeat("/d", 600):          "directories within each other",
	} {
		w := newWorld(t)
		w.pinAll()
		a := w.sendParts("alice", "add", "", part{name: name, kind: aFile, content: "x"})
		if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), text) {
			t.Errorf("a path of %d bytes is answered %d %.300s, want %q", len(name), a.status, a.body, text)
		}
		if pins := w.names("alice"); len(pins) != 0 || w.live != 0 {
			t.Errorf("pinned %q, and %d uploads are open", pins, w.live)
		}
	}
}
