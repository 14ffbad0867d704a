package denylist

import (
	"context"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// A change counts once a list, and the directory, have been left alone for
	// this long: who writes a list writes on and on, and half of it is not the
	// list.
	settleTime = time.Second
	// But it counts after this long in any case.
	settleMost = 10 * settleTime
	// Directories are looked at this often, whatever the system tells: it tells
	// nothing of network file systems, and of directories that are not there
	// yet.
	pollTime = 15 * time.Second
)

// watch reloads when the system says that something has changed, and now and
// then, until ctx ends.
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
	quiet := time.NewTimer(0) // for what changed since Open
	defer quiet.Stop()
	var first time.Time // of the changes that were not taken in yet
	// Watched before it is read, so that what changes in between is told.
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
			quiet.Reset(l.settle) // some changes may not have been told
		case <-quiet.C:
			look()
		case <-poll.C:
			if first.IsZero() {
				look()
			}
		}
	}
}

// addDirs watches every directory that there may be lists in. To watch one
// again is nothing.
func (l *List) addDirs(w *fsnotify.Watcher) {
	for _, d := range l.dirs {
		_ = filepath.WalkDir(root(d), func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				_ = w.Add(p) // else it is looked at now and then
			}
			return nil
		})
	}
}
