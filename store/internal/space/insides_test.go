package space

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

func config(t *testing.T) Config {
	return Config{
		Dir: filepath.Join(t.TempDir(), "db"), Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		FreeSpace: FreeSpace, KindOf: func([]byte) string { return "record" }, CloseWait: time.Minute,
	}
}

// A Badger whose inside is another is refused when the database is opened, and not when
// the first reclaim needs it; the database is as it was.
func TestUnknownBadger(t *testing.T) {
	cfg := config(t)
	for name, find := range map[string]func(*badger.DB) (insides, error){
		"another table of what is dead": func(*badger.DB) (in insides, err error) {
			in.discards, err = discardsOf(&struct {
				vlog struct{ discards map[uint32]int }
			}{})
			return in, err
		},
		"no value log": func(*badger.DB) (in insides, err error) {
			in.discards, err = discardsOf(&struct{ log int }{})
			return in, err
		},
		"another end of the log": func(*badger.DB) (in insides, err error) {
			in.endOfLog, err = endOfLog(&struct {
				vlog struct{ writableLogOffset uint32 }
			}{})
			return in, err
		},
		"another item": func(*badger.DB) (in insides, err error) {
			in.places, err = placesOf(reflect.TypeFor[struct {
				meta byte
				vptr uint64
			}]())
			return in, err
		},
	} {
		s, err := open(t.Context(), cfg, BadgerOptions(), find)
		if !errors.Is(err, errUnknownBadger) || !strings.Contains(err.Error(), knownBadger) || s != nil {
			t.Errorf("%s: opened as %v, error %v", name, s, err)
		}
	}
	s, err := Open(t.Context(), cfg, BadgerOptions()) // nobody has it open any more
	if err != nil {
		t.Fatal(err)
	}
	s.DB().Shut()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The version that the error names is the one that go.mod has.
func TestKnownBadger(t *testing.T) {
	mod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/dgraph-io/badger/v4 " + knownBadger; !strings.Contains(string(mod), want) {
		t.Errorf("go.mod does not have %s", want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
