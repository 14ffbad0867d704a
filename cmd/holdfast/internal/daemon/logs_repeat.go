package daemon

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/pin"
)

const (
	// repeatEvery is how often a repeated line is logged. With a failing disk each request,
	// each pin and each library causes one, thousands in a second.
	repeatEvery = time.Minute
	// maxRepeats is how many lines are remembered.
	maxRepeats = 1 << 10
)

// repeats keeps one cause from flooding the log.
type repeats struct {
	mu   sync.Mutex
	seen map[string]*repeat
}

type repeat struct {
	at         time.Time // when it was last logged
	suppressed int       // since
}

func newRepeats() *repeats { return &repeats{seen: map[string]*repeat{}} }

// pass says whether a line is to be logged. If so, suppressed is how many equal lines were
// left out since the last one.
func (r *repeats) pass(line string, now time.Time) (suppressed int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.seen[line]
	switch {
	case was == nil:
		if len(r.seen) >= maxRepeats {
			clear(r.seen)
		}
		r.seen[line] = &repeat{at: now}
		return 0, true
	case now.Sub(was.at).Abs() < repeatEvery:
		was.suppressed++
		return 0, false
	}
	suppressed, was.at, was.suppressed = was.suppressed, now, 0
	return suppressed, true
}

// handle passes a record on. If the same line was logged within repeatEvery, it passes it on
// at debug level. The next record of that line says how many were left out.
func (r *repeats) handle(ctx context.Context, h slog.Handler, line string, rec slog.Record) error {
	suppressed, ok := r.pass(line, rec.Time)
	if !ok {
		if !h.Enabled(ctx, slog.LevelDebug) {
			return nil
		}
		rec = rec.Clone()
		rec.Level = slog.LevelDebug
		return h.Handle(ctx, rec)
	}
	if suppressed > 0 {
		rec = rec.Clone()
		rec.AddAttrs(slog.Int("suppressed", suppressed))
	}
	return h.Handle(ctx, rec)
}

// repeatHandler logs a warning or an error that the disk causes once a minute, and each time
// at debug level. The same holds for a request that meets something unreadable, as everybody
// may ask for the same block again and again. All other warnings and errors are logged each
// time. So an answer about such a cause has a request id, but does not promise that the log
// has it.
type repeatHandler struct {
	slog.Handler
	repeats *repeats
}

func (h repeatHandler) Handle(ctx context.Context, rec slog.Record) error {
	if cause := diskCause(rec); cause != "" {
		return h.repeats.handle(ctx, h.Handler, rec.Message+"\x00"+cause, rec)
	}
	return h.Handler.Handle(ctx, rec)
}

func (h repeatHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return repeatHandler{h.Handler.WithAttrs(attrs), h.repeats}
}

func (h repeatHandler) WithGroup(name string) slog.Handler {
	return repeatHandler{h.Handler.WithGroup(name), h.repeats}
}

// diskCause names what is wrong with the disk, according to the errors in a record. "" is
// nothing.
func diskCause(rec slog.Record) (cause string) {
	if rec.Level < slog.LevelWarn {
		return ""
	}
	ofRequest, unreadable := false, false
	rec.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		if !ok {
			ofRequest = ofRequest || a.Key == "request"
			return true
		}
		unreadable = unreadable || errors.Is(err, pin.ErrUnreadable)
		for name, known := range map[string][]error{
			"full":       {pin.ErrDiskFull, auth.ErrDiskFull},
			"damaged":    {pin.ErrDamaged},
			"unwritable": {pin.ErrUnwritable, auth.ErrUnwritable},
			"in doubt":   {pin.ErrInDoubt, auth.ErrInDoubt},
		} {
			for _, k := range known {
				if errors.Is(err, k) {
					cause = name
				}
			}
		}
		return cause == ""
	})
	if cause == "" && ofRequest && unreadable {
		return "unreadable"
	}
	return cause
}

// particulars are numbers and quoted text, such as keys.
var particulars = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[0-9]+`)

// withoutParticulars makes messages equal that differ only in particulars.
func withoutParticulars(s string) string { return particulars.ReplaceAllString(s, "0") }
