package node

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/holdfast-ipfs/holdfast/logtest"
)

func TestLibraryLogsAreRouted(t *testing.T) {
	var out logtest.Buffer
	h := warnings{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})}
	log := zap.New(slogCore{h}).Named("bitswap/client").Sugar().With("peer", "p1")
	log.Infow("not this")
	log.Warnw("slow", "took", 3, "error", errors.New("broken"))
	log.Errorf("failed %d times", 2)
	slog.New(h).With("logger", "swarm2").Debug("nor that")
	got := out.String()
	if strings.Contains(got, "not this") || strings.Contains(got, "nor that") {
		t.Errorf("less than a warning is logged: %s", got)
	}
	for _, s := range []string{"level=WARN", "msg=slow", "logger=bitswap/client", "took=3", "error=broken", "peer=p1", "level=ERROR", `msg="failed 2 times"`} {
		if !strings.Contains(got, s) {
			t.Errorf("%q is not in the log: %s", s, got)
		}
	}
}

func TestLibraryLogsKeepTheLoggersLevel(t *testing.T) {
	var out logtest.Buffer
	h := warnings{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError})}
	core := slogCore{h}
	if core.Enabled(zapcore.WarnLevel) || !core.Enabled(zapcore.ErrorLevel) || !core.Enabled(zapcore.PanicLevel) {
		t.Error("the level of the logger is not kept")
	}
}
