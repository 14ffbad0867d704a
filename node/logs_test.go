package node

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
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

// Badger's own words for a value that it cannot read, with a block's key and a record's.
func TestBadgersKeysAreReadable(t *testing.T) {
	for message, want := range map[string]string{
		fmt.Sprintf("Unable to read: Key: %v, Version : %v, meta: %v, userMeta: %v Error: %v\n", []byte("/blocks/CIQA"), 7, byte(2), 0, errors.New("EOF")): `Unable to read: Key: "/blocks/CIQA", Version : 7, meta: 2, userMeta: 0 Error: EOF`,
		fmt.Sprintf("Key: %v, Version", append([]byte{0x11}, "0123"...)):                                                                                   "Key: 1130313233, Version",
		"levels [1 2 300] and [7]": "levels [1 2 300] and [7]",
		"nothing of that kind":     "nothing of that kind",
	} {
		var out logtest.Buffer
		core := slogCore{slog.NewTextHandler(&out, nil)}
		zap.New(core).Named("badger4").Error(message)
		if got := out.String(); !strings.Contains(got, "msg="+strconv.Quote(want)+" ") {
			t.Errorf("it is logged as\n%s\nwant %s", got, want)
		}
	}
}
