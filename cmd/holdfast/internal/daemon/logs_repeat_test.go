package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/auth"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Lines that a failing disk causes are logged once a minute, with how many were left out. Other
// failures are logged each time.
func TestRepeatsAreSuppressed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines logtest.Lines
		log := NewLogger(&lines, config.Log{Level: "info", Format: "text"})
		library := slog.New(libraryHandler{log.Handler(), newRepeats()})
		count := func(text string, want int) {
			t.Helper()
			if n := strings.Count(lines.String(), text); n != want {
				t.Errorf("%q is there %d times, want %d:\n%s", text, n, want, &lines)
			}
		}
		all := func() {
			for i := range 1000 {
				log.With("request", i).Error("request failed", "err", fmt.Errorf("add pin %d: %w: EIO", i, pin.ErrUnwritable))
				log.Warn("request refused", "err", fmt.Errorf("log in %d: %w", i, auth.ErrDiskFull))
				log.Error("a block was not served", "request", fmt.Sprint(i), "err", fmt.Errorf("look for block %d: %w", i, pin.ErrUnreadable))
				library.Error(fmt.Sprintf("cannot write at offset %d", i))
				library.Error(fmt.Sprintf("unable to read: Key: %q", "/blocks/"+strings.Repeat("A\"", i%9)))
			}
		}
		all()
		for _, text := range []string{"request failed", "request refused", "a block was not served", "cannot write at offset", "unable to read"} {
			count(text, 1)
		}
		count("suppressed", 0)
		time.Sleep(repeatEvery)
		all()
		for _, text := range []string{"request failed", "request refused", "a block was not served", "cannot write at offset", "unable to read"} {
			count(text, 2)
		}
		count("suppressed=999", 5)

		log.Error("request failed", "err", pin.ErrInDoubt) // another cause
		count("request failed", 3)
		for range 10 {
			log.Error("of another kind", "err", errors.New("a bug"))
			log.Info("pin removed", "err", pin.ErrUnwritable)
			log.Error("a record cannot be read", "err", pin.ErrUnreadable)
		}
		count("of another kind", 10)
		count("pin removed", 10)
		count("a record cannot be read", 10)
	})
}

// At debug level all of them are logged, each with its request.
func TestRepeatsAreThereForDebugging(t *testing.T) {
	var lines logtest.Lines
	log := NewLogger(&lines, config.Log{Level: "debug", Format: "text"})
	for i := range 10 {
		log.With("request", fmt.Sprint("id", i)).Error("request failed", "err", pin.ErrUnwritable)
	}
	if n := strings.Count(lines.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d are errors, want 1:\n%s", n, &lines)
	}
	for i := range 10 {
		if !strings.Contains(lines.String(), fmt.Sprint("request=id", i)) {
			t.Errorf("request %d is not there:\n%s", i, &lines)
		}
	}
}

// The number of remembered lines is limited.
func TestRepeatsAreBounded(t *testing.T) {
	r := newRepeats()
	for i := range 10 * maxRepeats {
		if _, ok := r.pass(fmt.Sprint(i), time.Unix(0, 0)); !ok {
			t.Fatal("a new line is suppressed")
		}
	}
	if n := len(r.seen); n > maxRepeats {
		t.Errorf("%d lines are remembered", n)
	}
}
