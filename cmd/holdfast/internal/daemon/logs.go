package daemon

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/node"
)

// NewLogger makes the logger of the whole program. An unknown level is info, and an unknown
// format is text.
func NewLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		options.ReplaceAttr = readableDuration
		return slog.New(repeatHandler{slog.NewJSONHandler(w, options), newRepeats()})
	}
	return slog.New(repeatHandler{slog.NewTextHandler(w, options), newRepeats()})
}

// readableDuration writes durations as in the text format, such as "1.5s". JSON would have a
// number of nanoseconds.
func readableDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// LineLogger is a writer that logs each line that is written to it.
type LineLogger struct{ Log *slog.Logger }

func (l LineLogger) Write(b []byte) (int, error) {
	l.Log.Info(strings.TrimPrefix(strings.TrimSpace(string(b)), "holdfast: "))
	return len(b), nil
}

// RouteLibraryLogs sends the logs of libp2p, Bitswap and Badger to the logger. These
// libraries log much about peers that misbehave, which is usual. So their errors become
// warnings, and their warnings become debug messages. The function changes global state of
// the libraries: main calls it before anything is started.
func RouteLibraryLogs(log *slog.Logger) {
	node.RouteLogs(slog.New(libraryHandler{log.Handler(), newRepeats()}))
}

// libraryHandler lowers the level of messages: error to warn, and warn to debug. It drops
// the rest. A repeated warning is logged once a minute.
type libraryHandler struct {
	slog.Handler
	repeats *repeats
}

func libraryLevel(l slog.Level) (_ slog.Level, ok bool) {
	switch {
	case l >= slog.LevelError:
		return slog.LevelWarn, true
	case l >= slog.LevelWarn:
		return slog.LevelDebug, true
	}
	return 0, false
}

func (h libraryHandler) Enabled(ctx context.Context, l slog.Level) bool {
	l, ok := libraryLevel(l)
	return ok && h.Handler.Enabled(ctx, l)
}

func (h libraryHandler) Handle(ctx context.Context, r slog.Record) error {
	l, ok := libraryLevel(r.Level)
	if !ok {
		return nil
	}
	r.Level = l
	if l < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	return h.repeats.handle(ctx, h.Handler, withoutParticulars(r.Message), r)
}

func (h libraryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryHandler{h.Handler.WithAttrs(attrs), h.repeats}
}

func (h libraryHandler) WithGroup(name string) slog.Handler {
	return libraryHandler{h.Handler.WithGroup(name), h.repeats}
}

// maxLastLines is how many bytes of the log are kept in memory: some 5,000 lines.
const maxLastLines = 1 << 20

// LastLines is a writer that keeps the end of what was written to it, from the beginning of a line on.
// Its methods may be called concurrently.
type LastLines struct {
	mu       sync.Mutex
	old, new []byte // each up to half of maxLastLines
}

// Write never fails.
func (l *LastLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.new)+len(b) > maxLastLines/2 && len(l.new) > 0 {
		l.old, l.new = l.new, l.old[:0]
	}
	l.new = append(l.new, b[max(0, len(b)-maxLastLines/2):]...)
	return len(b), nil
}

func (l *LastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.old) + string(l.new)
}
