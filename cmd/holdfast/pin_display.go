package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/internal/text"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// pinDisplay shows the progress of a pin. note shows a message beside it, and another
// goroutine may call it. close may be called twice.
type pinDisplay interface {
	show(admin.Pin)
	note(text string)
	close()
}

// canDraw reports whether w is a terminal with room to draw on. Some terminals say that
// their size is 0 by 0, such as a serial console whose size was never set.
func canDraw(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return err == nil && width > 0 && height > 0
}

// noteAbove writes a line above the bar on w. Once the bar is gone it writes to w itself.
func noteAbove(p *mpb.Progress, w io.Writer, text string) {
	line := "holdfast: " + text + "\n"
	if _, err := io.WriteString(p, line); err != nil {
		io.WriteString(w, line)
	}
}

// newPinDisplay makes a bar on a terminal, and lines elsewhere.
func newPinDisplay(w io.Writer, terminal bool, p admin.Pin) pinDisplay {
	if terminal {
		return newBarDisplay(w, p)
	}
	d := &lineDisplay{w: w}
	d.show(p)
	return d
}

// linePause is how often a lineDisplay writes a line while the status stays the same. A log
// needs no more.
const linePause = 30 * time.Second

// lineDisplay writes a line when the status changes, and one each linePause.
type lineDisplay struct {
	w      io.Writer
	status pin.Status
	shown  time.Time
}

func (d *lineDisplay) show(p admin.Pin) {
	now := time.Now()
	if p.Status.Done() || p.Status == d.status && now.Sub(d.shown) < linePause {
		return // the command itself says how it ended
	}
	d.status, d.shown = p.Status, now
	fmt.Fprintln(d.w, pinText(p))
}

func (d *lineDisplay) note(text string) { fmt.Fprintln(d.w, "holdfast:", text) }

func (d *lineDisplay) close() {}

// barDisplay is a spinner with text. It shows what has come: how much there is in all is
// not known before the end.
type barDisplay struct {
	w        io.Writer
	progress *mpb.Progress
	bar      *mpb.Bar
	text     atomic.Pointer[string]
	once     sync.Once
}

func newBarDisplay(w io.Writer, p admin.Pin) *barDisplay {
	d := &barDisplay{w: w, progress: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh())}
	d.show(p)
	d.bar = d.progress.New(0, mpb.SpinnerStyle().PositionLeft(),
		mpb.BarWidth(2), // the spinner and a space
		mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *d.text.Load() })),
	)
	return d
}

func (d *barDisplay) show(p admin.Pin) {
	text := pinText(p)
	d.text.Store(&text)
}

func (d *barDisplay) note(text string) { noteAbove(d.progress, d.w, text) }

func (d *barDisplay) close() {
	d.once.Do(func() {
		d.bar.Abort(true)
		d.progress.Wait()
	})
}

// pinText is the progress of a pin in one line.
func pinText(p admin.Pin) string {
	parts := []string{string(p.Status)}
	add := func(format string, key string) {
		if v := p.Info[key]; v != "" {
			parts = append(parts, fmt.Sprintf(format, text.Printable(v)))
		}
	}
	add("%s blocks", "blocks")
	if n, err := strconv.ParseUint(p.Info["bytes"], 10, 64); err == nil {
		size := text.RoughSize(n)
		if all, err := strconv.ParseUint(p.Info["bytes_claimed"], 10, 64); err == nil && all >= n {
			size += " of " + text.RoughSize(all)
		}
		parts = append(parts, size)
	}
	add("%s providers", "providers")
	add("%s", "elapsed")
	add("%s", "status_details")
	return strings.Join(parts, ", ")
}
