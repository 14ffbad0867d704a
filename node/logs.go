package node

import (
	"context"
	"encoding/hex"
	"log/slog"
	"regexp"
	"strconv"
	"strings"

	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
	"go.uber.org/zap/zapcore"
)

// RouteLogs sends what libp2p, Bitswap and the DHT log, from warnings up, to a logger. The
// attribute "logger" names the library's part. Those libraries have one log for the whole
// process: call RouteLogs once, before the first [New].
func RouteLogs(to *slog.Logger) {
	h := warnings{to.Handler()}
	golog.SetPrimaryCore(slogCore{h})
	// It fails only for an unknown level.
	_ = golog.SetLogLevel("*", "warn")
	// nopfs logs the number of a denylist's bad line, but not its file. Package denylist
	// logs both.
	_ = golog.SetLogLevel("nopfs", "fatal")
	// The node logs the same, now and then, and not for each try.
	_ = golog.SetLogLevel("dht/provider", "error")
	_ = golog.SetLogLevel("routing/http/client", "fatal")
	gologshim.SetDefaultHandler(h)
}

// warnings drops what is below a warning.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// slogCore is a zap core, which go-log writes to, over a slog handler.
type slogCore struct{ slog.Handler }

var _ zapcore.Core = slogCore{}

func (c slogCore) Enabled(l zapcore.Level) bool {
	return c.Handler.Enabled(context.Background(), slogLevel(l))
}

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{c.Handler.WithAttrs(attrs(fields))}
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	r := slog.NewRecord(e.Time, slogLevel(e.Level), readable(e.Message), 0)
	r.AddAttrs(slog.String("logger", e.LoggerName))
	r.AddAttrs(attrs(fields)...)
	return c.Handle(context.Background(), r)
}

// byteList matches bytes as Go prints them: two or more, since one may be any number.
var byteList = regexp.MustCompile(`\[\d{1,3}(?: \d{1,3})+\]`)

// readable replaces the keys in a message of Badger's by text, or by hex as in
// docs/architecture.md. Badger prints their bytes in decimal, and a line feed at the end.
func readable(message string) string {
	return byteList.ReplaceAllStringFunc(strings.TrimRight(message, "\n"), func(list string) string {
		var key []byte
		for number := range strings.FieldsSeq(strings.Trim(list, "[]")) {
			b, err := strconv.ParseUint(number, 10, 8)
			if err != nil {
				return list // other numbers
			}
			key = append(key, byte(b))
		}
		for _, b := range key {
			if b < ' ' || b > '~' {
				return hex.EncodeToString(key)
			}
		}
		return strconv.Quote(string(key))
	})
}

func (slogCore) Sync() error { return nil }

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l < zapcore.InfoLevel:
		return slog.LevelDebug
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

func attrs(fields []zapcore.Field) []slog.Attr {
	out := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		m := zapcore.NewMapObjectEncoder() // one each keeps the order
		f.AddTo(m)
		for k, v := range m.Fields {
			out = append(out, slog.Any(k, v))
		}
	}
	return out
}
