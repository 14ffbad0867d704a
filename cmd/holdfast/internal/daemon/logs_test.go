package daemon

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
)

func TestLogFormatAndLevel(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, config.Log{Level: "warn", Format: "json"})
	log.Info("not this")
	log.Warn("this", "cid", "bafy", slog.Group("", "elapsed", 1500*time.Millisecond))
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, &out)
	}
	if line["msg"] != "this" || line["level"] != "WARN" || line["cid"] != "bafy" || line["elapsed"] != "1.5s" {
		t.Errorf("logged %v", line)
	}
	out.Reset()
	NewLogger(&out, config.Log{Level: "debug", Format: "text"}).Debug("as text")
	if !strings.Contains(out.String(), `level=DEBUG msg="as text"`) {
		t.Errorf("logged %q", &out)
	}
}

func TestLibrariesAreLowered(t *testing.T) {
	for _, tt := range []struct {
		level, want string
	}{
		{"info", "level=WARN msg=error\n"},
		{"debug", "level=WARN msg=error\nlevel=DEBUG msg=warning\n"},
		{"error", ""},
	} {
		var out bytes.Buffer
		var level slog.Level
		if err := level.UnmarshalText([]byte(tt.level)); err != nil {
			t.Fatal(err)
		}
		text := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		log := slog.New(libraryHandler{text, newRepeats()})
		log.Error("error")
		log.Warn("warning")
		log.Info("information")
		if out.String() != tt.want {
			t.Errorf("at level %s the log is\n%swant\n%s", tt.level, &out, tt.want)
		}
	}
}
