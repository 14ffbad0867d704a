package denylist

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// A change counts once the list and the directory have not changed for this long. A
	// list is written in pieces, and half of it is not the list.
	settleTime = time.Second
	// A change counts after this long in any case.
	settleMost = 10 * settleTime
	// Directories are read this often, even if the system reports no change: it reports
	// none on network file systems, and none in directories that are not there yet.
	pollTime = 15 * time.Second
)

// watch reloads when the system reports a change, and now and then, until ctx ends.
func (l *List) watch(ctx context.Context) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		l.log.Warn("the system does not tell of changes to denylists; they are looked at now and then", "every", l.poll, "err", err)
	} else {
		defer w.Close()
		events, errs = w.Events, w.Errors
	}
	poll := time.NewTicker(l.poll)
	defer poll.Stop()
	quiet := time.NewTimer(0) // at once, for what has changed since Open
	defer quiet.Stop()
	var first time.Time // when the first change came that was not read yet
	// Directories are watched before they are read, so that a change in between is reported.
	look := func() {
		if w != nil {
			l.addDirs(w)
		}
		if first.IsZero() {
			first = time.Now()
		}
		if l.reload(time.Since(first) < settleMost) {
			quiet.Reset(l.settle)
		} else {
			first = time.Time{}
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if !e.Has(fsnotify.Create) && !isList(e.Name) {
				continue // a directory may be one, or have one
			}
			if first.IsZero() {
				first = time.Now()
			}
			if time.Since(first) < settleMost {
				quiet.Reset(l.settle)
			}
		case err := <-errs:
			l.log.Warn("watch denylists", "err", err)
			quiet.Reset(l.settle) // some changes may not have been reported
		case <-quiet.C:
			look()
		case <-poll.C:
			if first.IsZero() {
				look()
			}
		}
	}
}

// addDirs watches every directory in which there may be lists. Watching one again changes
// nothing.
func (l *List) addDirs(w *fsnotify.Watcher) {
	for _, d := range l.dirs {
		_ = filepath.WalkDir(root(d), func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				_ = w.Add(p) // if that fails, it is read now and then
			}
			return nil
		})
	}
}
