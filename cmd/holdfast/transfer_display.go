package main

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/holdfast-ipfs/holdfast/internal/text"
)

// transferDisplay shows how far a transfer is: on a terminal a bar, with the rate and the time
// that is left if it is known how much there is in all, and nothing elsewhere. close may be
// called twice.
type transferDisplay struct {
	progress *mpb.Progress // nil where there is no terminal
	bar      *mpb.Bar
	began    time.Time
	done     atomic.Int64
	total    atomic.Int64 // 0 is not known
	once     sync.Once
}

func newTransferDisplay(w io.Writer) *transferDisplay {
	d := &transferDisplay{began: time.Now()}
	if !canDraw(w) {
		return d
	}
	d.progress = mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh())
	d.bar = d.progress.New(0, mpb.BarStyle(),
		mpb.BarWidth(24), // beside the text it fits in 80 columns
		mpb.BarRemoveOnComplete(),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return transferLine(d.done.Load(), d.total.Load(), time.Since(d.began))
		})),
	)
	return d
}

// transferLine is the text beside the bar.
func transferLine(done, total int64, took time.Duration) string {
	line := text.RoughSize(uint64(done))
	if total > 0 {
		line += " of " + text.RoughSize(uint64(max(done, total)))
	}
	rate := float64(done) / max(took.Seconds(), 1e-3)
	line += ", " + text.RoughSize(uint64(rate)) + "/s"
	switch {
	case total > 0 && done >= total:
		line += ", waiting for the server"
	case total > 0 && rate >= 1:
		left := time.Duration(float64(total-done) / rate * float64(time.Second))
		line += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return line
}

// expect says how much there is in all.
func (d *transferDisplay) expect(total int64) {
	if total <= 0 {
		return
	}
	d.total.Store(total)
	if d.bar != nil {
		d.bar.SetTotal(total, false)
	}
}

func (d *transferDisplay) add(n int) {
	done := d.done.Add(int64(n))
	if total := d.total.Load(); d.bar != nil && total > 0 {
		d.bar.SetCurrent(min(done, total-1)) // a bar that is complete goes away
	}
}

func (d *transferDisplay) close() {
	d.once.Do(func() {
		if d.bar != nil {
			d.bar.Abort(true)
			d.progress.Wait()
		}
	})
}

// reader counts what is read.
func (d *transferDisplay) reader(r io.Reader) io.Reader { return countedReader{r, d} }

type countedReader struct {
	io.Reader
	display *transferDisplay
}

func (c countedReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.display.add(n)
	return n, err
}
