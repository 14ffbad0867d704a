package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/holdfast-ipfs/holdfast/admin"
)

// storeDisplay shows the progress of long work on the store: a bar on a terminal, and
// nothing elsewhere. close may be called twice.
type storeDisplay struct {
	w        io.Writer
	progress *mpb.Progress // nil where there is no terminal
	bar      *mpb.Bar
	last     atomic.Pointer[admin.StoreProgress]
	once     sync.Once
}

func newStoreDisplay(w io.Writer, terminal bool) *storeDisplay {
	d := &storeDisplay{w: w}
	d.last.Store(&admin.StoreProgress{Text: "starting"})
	if !terminal {
		return d
	}
	d.progress = mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh())
	d.bar = d.progress.New(0, mpb.BarStyle(),
		mpb.BarWidth(24), // beside the text it fits in 80 columns
		mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return progressLine(*d.last.Load()) })),
	)
	return d
}

// progressLine is the text beside the bar.
func progressLine(p admin.StoreProgress) string {
	if p.Total == 0 {
		return p.Text
	}
	return fmt.Sprintf("%s, %d%%", p.Text, 100*p.Done/p.Total)
}

func (d *storeDisplay) show(p admin.StoreProgress) {
	d.last.Store(&p)
	if d.bar != nil {
		d.bar.SetTotal(int64(p.Total), false)
		d.bar.SetCurrent(int64(min(p.Done, p.Total)))
	}
}

// note shows a message. Another goroutine may call it.
func (d *storeDisplay) note(text string) {
	if d.progress == nil {
		fmt.Fprintln(d.w, "holdfast:", text)
		return
	}
	noteAbove(d.progress, d.w, text)
}

func (d *storeDisplay) close() {
	d.once.Do(func() {
		if d.bar != nil {
			d.bar.Abort(true)
			d.progress.Wait()
		}
	})
}
