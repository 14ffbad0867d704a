package denylist

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
)

// run watches until the test ends, with less patience than a server.
func run(t *testing.T, l *List) {
	t.Helper()
	l.settle, l.poll = 100*time.Millisecond, 200*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen: %s", what)
		}
	}
}

func TestReload(t *testing.T) {
	c := make([]cid.Cid, 8)
	rule := make([]string, len(c))
	for i := range c {
		c[i] = someCID(fmt.Sprint(i))
		rule[i] = "/ipfs/" + c[i].String() + "\n"
	}
	dir := t.TempDir()
	list := filepath.Join(dir, "a.deny")
	write(t, list, rule[0])
	late := filepath.Join(t.TempDir(), "late")
	l, log := open(t, Dir{Path: dir}, Dir{Path: late, Optional: true})
	run(t, l)
	denied := func(i int) func() bool { return func() bool { return l.Denied(c[i]) != nil } }
	allowed := func(i int) func() bool { return func() bool { return l.Denied(c[i]) == nil } }
	wantDenied(t, l, c[0], "a.deny:1")
	before, next := l.Changes()

	// Appended to, as nopfs would see too.
	f, err := os.OpenFile(list, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(rule[1]); err != nil {
		t.Fatal(err)
	}
	f.Close()
	eventually(t, "what was appended counts", denied(1))
	select {
	case <-next:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was told of the change")
	}
	if now, _ := l.Changes(); now == before {
		t.Error("the number of changes is the same")
	}

	// Written anew, with a rule less.
	write(t, list, rule[1]+rule[2])
	eventually(t, "a list that is written anew counts", denied(2))
	wantAllowed(t, l, c[0])
	wantDenied(t, l, c[1], "a.deny:1")

	// Put in its place, as editors do.
	tmp := filepath.Join(dir, ".tmp")
	write(t, tmp, rule[3])
	if err := os.Rename(tmp, list); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a list put in the place of the old one counts", denied(3))
	wantAllowed(t, l, c[1], c[2])
	write(t, list, rule[3]+rule[4]) // and the new file is watched
	eventually(t, "and what it says then, too", denied(4))

	// Another one, one in a directory of its own, one in a directory that was
	// not there.
	write(t, filepath.Join(dir, "b.deny"), rule[5])
	eventually(t, "a new list counts", denied(5))
	write(t, filepath.Join(dir, "sub", "c.deny"), rule[6])
	eventually(t, "a list in a new directory counts", denied(6))
	write(t, filepath.Join(late, "d.deny"), rule[7])
	eventually(t, "a list in a directory that was missing counts", denied(7))

	// Taken away.
	if err := os.Remove(filepath.Join(dir, "b.deny")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a list that is gone does not count", allowed(5))
	eventually(t, "the log says so", func() bool { return strings.Contains(log.String(), "is gone") })

	// One that cannot be read any more counts as it was.
	write(t, list, "version: 99\n---\n"+rule[0])
	eventually(t, "the log says so", func() bool {
		return strings.Contains(log.String(), "cannot read a denylist; what it said before counts on")
	})
	wantDenied(t, l, c[3], "a.deny:1")
	write(t, list, rule[0])
	eventually(t, "it counts again when it can be read", denied(0))
	wantAllowed(t, l, c[3])
	write(t, filepath.Join(dir, "e.deny"), "version: 99\n---\n")
	eventually(t, "one that never could be read is told of", func() bool { return strings.Contains(log.String(), "NOTHING of it counts") })
	wantDenied(t, l, c[0], "a.deny:1")

	// What is told is told once, however often it is looked at.
	was, _ := l.Changes()
	errs := strings.Count(log.String(), "level=ERROR")
	time.Sleep(5 * l.poll) // nothing is to happen
	if now, _ := l.Changes(); now != was {
		t.Error("there are changes when nothing has changed")
	}
	if now := strings.Count(log.String(), "level=ERROR"); now != errs {
		t.Errorf("%d errors became %d with time:\n%s", errs, now, log)
	}
}

// While a list is being written the old one counts, but not for ever.
func TestReloadWaitsForTheWriter(t *testing.T) {
	old, half, new := someCID("old"), someCID("half"), someCID("new")
	dir := t.TempDir()
	list := filepath.Join(dir, "a.deny")
	write(t, list, "/ipfs/"+old.String()+"\n")
	l, _ := open(t, Dir{Path: dir})
	l.settle = time.Hour // all that was just written is being written
	write(t, list, "/ipfs/"+half.String()+"\n")
	write(t, filepath.Join(dir, "b.deny"), "/ipfs/"+half.String()+"\n")
	if !l.reload(true) {
		t.Error("nothing more to come")
	}
	wantDenied(t, l, old, "a.deny:1")
	wantAllowed(t, l, half)

	// Its writer has come to an end, of the one file.
	write(t, list, "/ipfs/"+new.String()+"\n")
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(list, past, past); err != nil {
		t.Fatal(err)
	}
	if !l.reload(true) {
		t.Error("nothing more to come of the other file")
	}
	wantDenied(t, l, new, "a.deny:1")
	wantAllowed(t, l, old, half)

	// Long enough.
	if l.reload(false) {
		t.Error("more to come")
	}
	wantDenied(t, l, half, "b.deny:1")
}
