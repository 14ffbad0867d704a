package daemon

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/config"
	"github.com/holdfast-ipfs/holdfast/cmd/holdfast/internal/metrics/metricstest"
	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store"
)

func TestProbes(t *testing.T) {
	well := func(context.Context) error { return nil }
	fails := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	able := func() error { return nil }
	up, no := func() bool { return true }, func() bool { return false }
	for name, c := range map[string]struct {
		probes probes
		stops  bool
		why    string // "" is ready
	}{
		"well":              {probes{healthy: well, storable: well, writable: well, sound: able, openable: able, blocked: no, reachable: able}, false, ""},
		"stopping":          {probes{healthy: well, storable: well, writable: well, sound: able, openable: able, blocked: no, reachable: able}, true, "stopping"},
		"a full disk":       {probes{healthy: well, storable: fails(pin.ErrDiskFull), writable: well, sound: able, openable: able, blocked: no, reachable: able}, false, "the disk is too full"},
		"a closed store":    {probes{healthy: well, storable: fails(pin.ErrClosed), writable: well, sound: able, openable: able, blocked: no, reachable: able}, false, "the store cannot be written"},
		"a deaf store":      {probes{healthy: fails(errors.New("secret")), storable: well, writable: well, sound: able, openable: able, blocked: no, reachable: able}, false, "the store does not answer"},
		"pins wait":         {probes{healthy: well, storable: well, writable: well, sound: able, openable: able, blocked: up, reachable: able}, false, "the disk is too full"},
		"a disk that fails": {probes{healthy: well, storable: well, writable: fails(pin.ErrUnwritable), sound: able, openable: able, blocked: no, reachable: able}, false, "the disk cannot be written"},
		"no files":          {probes{healthy: well, storable: well, writable: well, sound: able, openable: func() error { return errors.New("few") }, blocked: no, reachable: able}, false, "too few files may be open"},
		"a bad table":       {probes{healthy: well, storable: well, writable: well, sound: func() error { return store.ErrDamaged }, openable: able, blocked: no, reachable: able}, false, damagedTables},
		"no address":        {probes{healthy: well, storable: well, writable: well, sound: able, openable: able, blocked: no, reachable: func() error { return errNotListening }}, false, "the node does not listen"},
		"no cluster":        {probes{healthy: well, storable: well, writable: well, sound: able, openable: able, blocked: no, reachable: func() error { return errors.New("refused") }}, false, "no peer of the cluster answers"},
	} {
		c.probes.draining = new(atomic.Bool)
		c.probes.draining.Store(c.stops)
		why, cause := c.probes.unready(t.Context())
		if why != c.why {
			t.Errorf("%s: not ready for %q, want %q", name, why, c.why)
		}
		if wants := why != "" && why != stopping; (cause != nil) != wants { // the log has it
			t.Errorf("%s: the cause is %v", name, cause)
		}
	}
}

// If no more files can be opened, nobody can ask why, and nobody sees what a compaction finds.
// So the server logs both by itself.
func TestTroubleIsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines logtest.Buffer
		well := func(context.Context) error { return nil }
		var few, bad atomic.Bool
		p := probes{
			healthy: well, storable: well, writable: well, sound: func() error {
				if bad.Load() {
					return store.ErrDamaged
				}
				return nil
			}, openable: func() error {
				if few.Load() {
					return errors.New("150 files are open, of 160 that may be")
				}
				return nil
			},
			blocked: func() bool { return false }, reachable: func() error { return nil },
			draining: new(atomic.Bool), logged: new(loggedState), log: NewLogger(&lines, config.Log{Level: "info", Format: "text"}),
		}
		ctx, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { p.watch(ctx) })
		after := func(now bool, warned, over int) {
			t.Helper()
			few.Store(now)
			time.Sleep(3 * watchEvery)
			synctest.Wait()
			if w, o := strings.Count(lines.String(), "too few files may be open"), strings.Count(lines.String(), "ready again"); w != warned || o != over {
				t.Errorf("the log warns %d times, want %d, and says %d times that it is over, want %d:\n%s", w, warned, o, over, &lines)
			}
		}
		after(false, 0, 0)
		after(true, 1, 0)
		after(false, 1, 1)
		p.logged.update(p.log, "the disk is too full", nil) // which is not over by that
		after(false, 1, 1)
		bad.Store(true)
		after(true, 1, 1)                                                          // there is one reason at a time, and no to and fro
		if n := strings.Count(lines.String(), "the database is damaged"); n != 2 { // the reason and its cause
			t.Errorf("the log has %d times that the database is damaged:\n%s", n, &lines)
		}
		stop()
		watching.Wait()
	})
}

// Both listeners answer both probes, and show what happens to the server.
func TestProbesOfAServer(t *testing.T) {
	p, _ := runProgram(t)
	expect := func(path string, status int, text string) {
		t.Helper()
		for _, base := range []string{p.URL(), p.metricsURL} {
			if got, body := get(t, base+path); got != status || body != text+"\n" {
				t.Errorf("%s%s answers %d %q, want %d %q", base, path, got, body, status, text)
			}
		}
	}
	expect("/healthz", http.StatusOK, "ok")
	expect("/readyz", http.StatusOK, "ok")
	p.draining.Store(true)
	expect("/healthz", http.StatusOK, "ok")
	expect("/readyz", http.StatusServiceUnavailable, "not ready: stopping")
	p.draining.Store(false)
	if s := metricstest.Parse(t, scrape(t, p)); true {
		s.Want(t, 1, "holdfast_ready")
	}
	if err := p.node.Close(); err != nil {
		t.Fatal(err)
	}
	expect("/healthz", http.StatusOK, "ok")
	expect("/readyz", http.StatusServiceUnavailable, "not ready: the node does not listen")
	p.core.store.Close()
	expect("/healthz", http.StatusServiceUnavailable, "not healthy")
	expect("/readyz", http.StatusServiceUnavailable, "not ready: the store cannot be written")
	// The other metrics are still there.
	if body := scrape(t, p); !strings.Contains(body, "go_goroutines") {
		t.Error("nothing is told any more")
	}
}

// A server without room says so before anybody sends it pins.
func TestReadyFollowsTheDisk(t *testing.T) {
	p, log := testProgram(t, testDataDir(t))
	p.Config.Store.MinFreeSpace = 1 << 60
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, body := get(t, p.URL()+"/readyz"); status != http.StatusServiceUnavailable || body != "not ready: the disk is too full\n" {
		t.Errorf("readyz answers %d %q", status, body)
	}
	metricstest.Parse(t, scrape(t, p)).Want(t, 0, "holdfast_ready")
	for l := range strings.Lines(log.String()) {
		if strings.Contains(l, "level=WARN") && strings.Contains(l, "store.min_free_space") &&
			strings.Contains(l, " bytes are free, and 1152921504606846976 have to be") {
			return
		}
	}
	t.Errorf("no warning at the start:\n%s", log)
}
