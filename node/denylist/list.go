package denylist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs-shipyard/nopfs"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// Dir is a directory of lists.
type Dir struct {
	Path string
	// Optional lets the directory be missing: then it has no lists. It counts if it appears
	// later.
	Optional bool
}

// List has all the lists of some directories. Its methods may be called
// concurrently. A nil *List denies nothing.
type List struct {
	dirs []Dir
	log  *slog.Logger

	now atomic.Pointer[rules]

	mu      sync.Mutex // guards what follows
	changes uint64
	next    chan struct{} // closed at the next change

	settle, poll time.Duration // see the constants; tests have shorter ones
	trouble      string        // the last error of looking for lists that was logged
}

// rules has the rules of all files as they were last read. It never changes.
type rules struct{ files []*file }

// Open reads all lists. Changes count while [List.Run] runs. It is an error if a directory is
// missing that is not optional, or if a list cannot be read: a server with a denylist is not
// to run without it.
func Open(dirs []Dir, log *slog.Logger) (*List, error) {
	l := &List{dirs: dirs, log: log, next: make(chan struct{}), settle: settleTime, poll: pollTime}
	found, err := find(dirs, nil)
	if err != nil {
		return nil, err
	}
	r := new(rules)
	for _, at := range found {
		f, err := readFile(at)
		if err != nil {
			return nil, err
		}
		l.tell(f, "denylist")
		r.files = append(r.files, f)
	}
	l.now.Store(r)
	return l, nil
}

func (l *List) tell(f *file, message string) {
	l.log.Info(message, "file", f.path, "name", f.list.Header.Name, "rules", f.rules)
	if n := len(f.unread); n > 0 {
		l.log.Warn("lines of a denylist are no rules, or would deny what is empty, and do not count",
			"file", f.path, "lines", n, "first", f.unread[0])
	}
}

// Denied gives the reason why a block may not be fetched or served, as an [*Error]; nil if it
// may.
func (l *List) Denied(c cid.Cid) error {
	if l == nil || !c.Defined() {
		return nil
	}
	for _, f := range l.now.Load().files {
		switch status, line := f.cid(c); status {
		case nopfs.StatusAllowed:
			return nil
		case nopfs.StatusBlocked, nopfs.StatusErrored:
			return &Error{What: c.String(), File: f.path, Line: line}
		}
	}
	return nil
}

// DeniedPath is Denied for a path such as "/ipfs/CID/some/file". What the path resolves to is
// for Denied. A text that is no path is not denied.
func (l *List) DeniedPath(p string) error {
	if l == nil {
		return nil
	}
	parsed, err := path.NewPath(p)
	if err != nil {
		return nil
	}
	for _, f := range l.now.Load().files {
		switch status, line := f.at(parsed); status {
		case nopfs.StatusAllowed:
			return nil
		case nopfs.StatusBlocked, nopfs.StatusErrored:
			return &Error{What: p, File: f.path, Line: line}
		}
	}
	return nil
}

// Empty reports whether there is no rule at all.
func (l *List) Empty() bool {
	if l == nil {
		return true
	}
	for _, f := range l.now.Load().files {
		if f.rules > 0 {
			return false
		}
	}
	return true
}

// Changes gives how often the rules have changed since the start, and a channel that is closed
// at the next change.
func (l *List) Changes() (n uint64, next <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes, l.next
}

// Error says why something is denied. It is a [pin.ErrDenied]. Its text may be shown to a
// client. The rule is for the operator's log.
type Error struct {
	What string // a CID or a path
	File string // the list that has it
	Line uint64 // the line in it
}

// Error uses the words by which IPFS software recognises a denial.
func (e *Error) Error() string { return e.What + " is blocked and cannot be provided" }

func (e *Error) Unwrap() error { return pin.ErrDenied }

// Rule gives the list and the line, such as "/etc/ipfs/denylists/badbits.deny:12".
func (e *Error) Rule() string { return fmt.Sprintf("%s:%d", e.File, e.Line) }

// LogValue makes logs show the rule too.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(slog.String("denied", e.What), slog.String("rule", e.Rule()))
}

// Run reads what changes in the directories, until ctx ends.
func (l *List) Run(ctx context.Context) { l.watch(ctx) }

// reload reads what has changed. With patience, a list that was written to just now counts as
// it was before, and reload reports that it has to be called again.
func (l *List) reload(patient bool) (more bool) {
	old := l.now.Load()
	var known []place
	for _, f := range old.files {
		known = append(known, f.place)
	}
	found, err := find(l.dirs, known)
	trouble := ""
	if err != nil {
		if trouble = err.Error(); trouble != l.trouble {
			l.log.Error("cannot look for denylists everywhere; what those there said before counts on", "err", err)
		}
	}
	l.trouble = trouble
	had := make(map[string]*file, len(old.files))
	for _, f := range old.files {
		had[f.path] = f
	}
	r, changed := new(rules), false
	for _, at := range found {
		was := had[at.path]
		delete(had, at.path)
		if was != nil && was.same(at) {
			r.files = append(r.files, was)
			continue
		}
		if patient && time.Since(at.stamp.changed) < l.settle {
			if was != nil {
				r.files = append(r.files, was)
			}
			more = true
			continue
		}
		f, err := readFile(at)
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since it was found: the next reload sees that
			if was != nil {
				r.files = append(r.files, was)
			}
			continue
		case err != nil && was != nil:
			kept := *was
			kept.tried(at, err)
			if !was.failing || !kept.failing {
				l.log.Error("cannot read a denylist; what it said before counts on", "file", at.path, "err", err)
			}
			r.files = append(r.files, &kept)
			continue
		case err != nil:
			l.log.Error("cannot read a denylist: NOTHING of it counts", "file", at.path, "err", err)
			f := unreadable(at)
			f.tried(at, err)
			r.files = append(r.files, f)
			continue
		}
		l.tell(f, "denylist changed")
		r.files = append(r.files, f)
		changed = true
	}
	for path := range had {
		l.log.Warn("a denylist is gone, and counts no more", "file", path)
		changed = true
	}
	l.now.Store(r)
	if changed {
		l.mu.Lock()
		l.changes++
		close(l.next)
		l.next = make(chan struct{})
		l.mu.Unlock()
	}
	return more
}
