package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/admin"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/datadir"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/httpd"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

func holdLock(t testing.TB, d *datadir.Dir) *datadir.Lock {
	t.Helper()
	lock, err := store.Lock(d.Open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	return lock
}

func TestAwaitLock(t *testing.T) {
	d := testDataDir(t)
	quiet := slog.New(slog.DiscardHandler)
	never := func() (bool, error) { return false, nil }
	take := func(l *datadir.Lock) error { return l.Close() }
	notNeeded := func(*datadir.Lock) error { return errors.New("the lock was taken") }

	t.Run("free", func(t *testing.T) {
		if err := datadir.AwaitLock(t.Context(), d, quiet, never, take); err != nil {
			t.Error(err)
		}
	})
	t.Run("given back", func(t *testing.T) {
		lock := holdLock(t, d)
		synctest.Test(t, func(t *testing.T) {
			time.AfterFunc(datadir.LockWait/2, func() { lock.Close() })
			start := time.Now()
			if err := datadir.AwaitLock(t.Context(), d, quiet, never, take); err != nil {
				t.Error(err)
			}
			if waited := time.Since(start); waited < datadir.LockWait/2 || waited > datadir.LockWait/2+2*datadir.LockPoll {
				t.Errorf("waited %v for a lock that was held for %v", waited, datadir.LockWait/2)
			}
		})
	})
	t.Run("kept", func(t *testing.T) {
		holdLock(t, d)
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var lines logtest.Lines
			log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
			err := datadir.AwaitLock(t.Context(), d, log, never, notNeeded)
			if s := lines.String(); strings.Count(s, "still waiting for another holdfast") != 1 || !strings.Contains(s, "giving_up_in=12s") {
				t.Errorf("it says meanwhile:\n%s", s)
			}
			if err == nil || !strings.Contains(err.Error(), d.Shown) {
				t.Errorf("error is %v, want one that names the directory", err)
			}
			if waited := time.Since(start); waited != datadir.LockWait {
				t.Errorf("gave up after %v", waited)
			}
		})
	})
	t.Run("not needed any more", func(t *testing.T) {
		holdLock(t, d)
		synctest.Test(t, func(t *testing.T) {
			turns := 0
			err := datadir.AwaitLock(t.Context(), d, quiet, func() (bool, error) { turns++; return turns == 3, nil }, notNeeded)
			if err != nil || turns != 3 {
				t.Errorf("done after %d turns with %v", turns, err)
			}
		})
	})
	t.Run("interrupted", func(t *testing.T) {
		holdLock(t, d)
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := datadir.AwaitLock(ctx, d, quiet, never, notNeeded); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
		})
	})
	t.Run("no directory", func(t *testing.T) {
		gone := &datadir.Dir{Shown: "/nowhere", Open: "/nowhere"}
		if err := datadir.AwaitLock(t.Context(), gone, quiet, never, notNeeded); err == nil || errors.Is(err, store.ErrLocked) {
			t.Errorf("error is %v", err)
		}
	})
}

// A server waits for a command that holds the lock.
func TestServerWaitsForCommand(t *testing.T) {
	d := testDataDir(t)
	command, err := Connect(t.Context(), d, func() (config.Config, error) { return testConfig(), nil }, OpenPlace, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if command.Running() {
		t.Fatal("the command speaks to a server, and there is none")
	}
	p, lines := testProgram(t, d)
	started := make(chan error, 1)
	go func() { started <- p.Run(t.Context()) }()
	lines.Await(t, "waiting for another holdfast")
	select {
	case err := <-started:
		t.Fatalf("the server did not wait: %v", err)
	default:
	}
	if _, err := command.Accounts(t.Context()); err != nil {
		t.Error(err)
	}
	if err := command.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
}

// A command waits for a server that is starting: it holds the lock, and does
// not answer yet.
func TestCommandWaitsForServer(t *testing.T) {
	d := testDataDir(t)
	lock, err := store.Lock(d.Open)
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan error, 1)
	var lines logtest.Lines
	log := slog.New(slog.NewTextHandler(&lines, nil))
	go func() {
		c, err := Connect(t.Context(), d, func() (config.Config, error) { return testConfig(), nil }, OpenPlace, log)
		if err == nil {
			_, err = c.Server(t.Context())
			err = errors.Join(err, c.Close())
		}
		connected <- err
	}()
	lines.Await(t, "waiting for another holdfast")
	select {
	case err := <-connected:
		t.Fatalf("the command did not wait: %v", err)
	default:
	}
	l, err := admin.Listen(t.Context(), d.Socket(admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	handler, err := (&admin.Server{Running: true, Log: slog.New(slog.DiscardHandler), Pins: new(pin.Offline)}).Handler()
	if err != nil {
		t.Fatal(err)
	}
	server := httpd.NewServer(handler, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := <-connected; err != nil {
		t.Error(err)
	}
	server.Close()
	<-served
	lock.Close()
}
