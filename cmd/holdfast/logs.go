package main

import (
	"context"
	"io"
	"log/slog"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
	"go.uber.org/zap/zapcore"
)

// newLogger makes the logger of the whole program. The configuration was
// checked: an unknown level is info.
func newLogger(w io.Writer, c LogConfig) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// routeLibraryLogs sends what libp2p, boxo and the others log to the handler.
// They are noisy about peers that misbehave, which is what peers do: their
// errors are warnings here, and the rest is shown at debug level only. It changes what is
// global in those libraries, so it is for main, before anything is started.
func routeLibraryLogs(h slog.Handler) {
	lib := libraryHandler{h}
	gologshim.SetDefaultHandler(lib)
	golog.SetPrimaryCore(zapToSlog{handler: lib, LevelEnabler: zapcore.WarnLevel})
	if h.Enabled(context.Background(), slog.LevelDebug) {
		golog.SetAllLoggers(golog.LevelWarn)
	} else {
		golog.SetAllLoggers(golog.LevelError)
	}
}

// libraryHandler lowers levels: error to warn, warn to debug, and the rest is
// dropped.
type libraryHandler struct{ slog.Handler }

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
	return h.Handler.Handle(ctx, r)
}

func (h libraryHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryHandler{h.Handler.WithAttrs(attrs)}
}

func (h libraryHandler) WithGroup(name string) slog.Handler {
	return libraryHandler{h.Handler.WithGroup(name)}
}

// zapToSlog is a zap core that writes to a slog handler: go-log, which boxo
// logs with, is made of zap.
type zapToSlog struct {
	zapcore.LevelEnabler
	handler slog.Handler
}

func (z zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	z.handler = z.handler.WithAttrs(attrsOf(fields))
	return z
}

func (z zapToSlog) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(e.Level) && z.handler.Enabled(context.Background(), slogLevel(e.Level)) {
		return ce.AddCore(e, z)
	}
	return ce
}

func (z zapToSlog) Write(e zapcore.Entry, fields []zapcore.Field) error {
	r := slog.NewRecord(e.Time, slogLevel(e.Level), e.Message, 0)
	r.AddAttrs(slog.String("logger", e.LoggerName))
	r.AddAttrs(attrsOf(fields)...)
	return z.handler.Handle(context.Background(), r)
}

func (zapToSlog) Sync() error { return nil }

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func attrsOf(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	attrs := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		f.AddTo(enc)
		if v, ok := enc.Fields[f.Key]; ok {
			attrs = append(attrs, slog.Any(f.Key, v))
		}
	}
	return attrs
}
