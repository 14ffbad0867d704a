package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

func holdLock(t *testing.T, d *dataDir) *dirLock {
	t.Helper()
	lock, err := store.Lock(d.open)
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
	take := func(l *dirLock) error { return l.Close() }
	notNeeded := func(*dirLock) error { return errors.New("the lock was taken") }

	t.Run("free", func(t *testing.T) {
		if err := awaitLock(t.Context(), d, quiet, never, take); err != nil {
			t.Error(err)
		}
	})
	t.Run("given back", func(t *testing.T) {
		lock := holdLock(t, d)
		synctest.Test(t, func(t *testing.T) {
			time.AfterFunc(lockWait/2, func() { lock.Close() })
			start := time.Now()
			if err := awaitLock(t.Context(), d, quiet, never, take); err != nil {
				t.Error(err)
			}
			if waited := time.Since(start); waited < lockWait/2 || waited > lockWait/2+2*lockPoll {
				t.Errorf("waited %v for a lock that was held for %v", waited, lockWait/2)
			}
		})
	})
	t.Run("kept", func(t *testing.T) {
		holdLock(t, d)
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var lines logLines
			log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelWarn}))
			err := awaitLock(t.Context(), d, log, never, notNeeded)
			if s := lines.String(); strings.Count(s, "still waiting for another holdfast") != 1 || !strings.Contains(s, "giving_up_in=12s") {
				t.Errorf("it says meanwhile:\n%s", s)
			}
			if err == nil || !strings.Contains(err.Error(), d.shown) {
				t.Errorf("error is %v, want one that names the directory", err)
			}
			if waited := time.Since(start); waited != lockWait {
				t.Errorf("gave up after %v", waited)
			}
		})
	})
	t.Run("not needed any more", func(t *testing.T) {
		holdLock(t, d)
		synctest.Test(t, func(t *testing.T) {
			turns := 0
			err := awaitLock(t.Context(), d, quiet, func() (bool, error) { turns++; return turns == 3, nil }, notNeeded)
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
			if err := awaitLock(ctx, d, quiet, never, notNeeded); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
		})
	})
	t.Run("no directory", func(t *testing.T) {
		gone := &dataDir{shown: "/nowhere", open: "/nowhere"}
		if err := awaitLock(t.Context(), gone, quiet, never, notNeeded); err == nil || errors.Is(err, store.ErrLocked) {
			t.Errorf("error is %v", err)
		}
	})
}

// A server waits for a command that holds the lock.
func TestServerWaitsForCommand(t *testing.T) {
	d := testDataDir(t)
	command, err := connectAdmin(t.Context(), d, func() (Config, error) { return testConfig(), nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if command.running {
		t.Fatal("the command speaks to a server, and there is none")
	}
	p, lines := testProgram(t, d)
	started := make(chan error, 1)
	go func() { started <- p.Run(t.Context()) }()
	lines.await(t, "waiting for another holdfast")
	select {
	case err := <-started:
		t.Fatalf("the server did not wait: %v", err)
	default:
	}
	if _, err := command.users(t.Context()); err != nil {
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
	lock, err := store.Lock(d.open)
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan error, 1)
	var lines logLines
	log := slog.New(slog.NewTextHandler(&lines, nil))
	go func() {
		c, err := connectAdmin(t.Context(), d, func() (Config, error) { return testConfig(), nil }, log)
		if err == nil {
			err = c.do(t.Context(), http.MethodGet, "/server", nil, nil, nil, new(serverInfo))
			err = errors.Join(err, c.Close())
		}
		connected <- err
	}()
	lines.await(t, "waiting for another holdfast")
	select {
	case err := <-connected:
		t.Fatalf("the command did not wait: %v", err)
	default:
	}
	l, err := listenAdmin(t.Context(), d.socket(adminSocketName))
	if err != nil {
		t.Fatal(err)
	}
	handler, err := (&adminServer{running: true, log: slog.New(slog.DiscardHandler), pins: new(pin.Offline)}).handler()
	if err != nil {
		t.Fatal(err)
	}
	server := newHTTPServer(handler, slog.New(slog.DiscardHandler))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := <-connected; err != nil {
		t.Error(err)
	}
	server.Close()
	<-served
	lock.Close()
}
