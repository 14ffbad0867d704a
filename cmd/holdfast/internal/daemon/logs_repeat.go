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
	// repeatEvery is how often a line is logged that a failing disk causes: each
	// request, each pin and each library has one, thousands in a second.
	repeatEvery = time.Minute
	// maxRepeats bounds the lines that are remembered.
	maxRepeats = 1 << 10
)

// repeats keeps the log from being flooded by one cause.
type repeats struct {
	mu   sync.Mutex
	seen map[string]*repeat
}

type repeat struct {
	at         time.Time // when it was last logged
	suppressed int       // since
}

func newRepeats() *repeats { return &repeats{seen: map[string]*repeat{}} }

// pass says whether a line may be logged, and how many like it were not before.
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

// handle passes a record on, unless one of the same line was within a minute: that one is
// for debugging alone. The next that is passed on says how many were not.
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

// repeatHandler logs a warning or an error that the disk causes once a minute, and at the
// level of debugging each time. So the answers of such a cause name their request, and do
// not promise that the log has it. What
// else goes wrong is logged each time, and so is what cannot be read, but for requests:
// everybody may ask for the same block again and again.
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

// diskCause names what is wrong with the disk, if a record has that; "" if not.
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

// particulars are numbers and what is quoted, such as keys.
var particulars = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|[0-9]+`)

// withoutParticulars is a library's message as one that differs in these alone has it.
func withoutParticulars(s string) string { return particulars.ReplaceAllString(s, "0") }
