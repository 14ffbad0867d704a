package daemon

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cluster"
)

// A life has the time with which it began, however often it is read.
func TestLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "life")
	first, later := time.UnixMilli(1_700_000_000_123), time.UnixMilli(1_800_000_000_000)
	read := func(newest time.Time) cluster.Life {
		t.Helper()
		l, err := readLife(path, newest)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	began := read(first)
	if again := read(later); began.Name == "" || again.Name != began.Name || !again.Newest.Equal(first) {
		t.Errorf("it began as %+v and is %+v", began, again)
	}
	other, err := newLife(path, time.Time{}, time.Time{})
	if err != nil || other.Name == began.Name {
		t.Errorf("another is %+v, %v", other, err)
	}
	if l := read(later); l.Name != other.Name || l.Newest.UnixMilli() != 0 || !l.Since.IsZero() {
		t.Errorf("without requests it is %+v", l)
	}
	copied, err := newLife(path, first, later)
	if l := read(later); err != nil || l.Name != copied.Name || !l.Newest.Equal(first) || !l.Since.Equal(later) {
		t.Errorf("of a copy it is %+v, %v", l, err)
	}
	if err := os.WriteFile(path, []byte("oldname 1700000000123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l := read(later); l.Name != "oldname" || !l.Newest.Equal(first) || !l.Since.IsZero() {
		t.Errorf("without the second time it is %+v", l)
	}
	for text, same := range map[string]bool{"oldname\n": true, "": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if l := read(first); (l.Name == "oldname") != same || !l.Newest.Equal(first) {
			t.Errorf("of %q it makes %+v", text, l)
		}
		if l := read(later); !l.Newest.Equal(first) {
			t.Errorf("of %q there is %+v in the end", text, l)
		}
	}
}
