package cluster

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// What checks cannot read is in the log once, as long as it stays the same.
func TestRunTellsWhatIsUnread(t *testing.T) {
	const nobody = "http://127.0.0.1:1"
	var lines logtest.Lines
	f := newFront(t, 2, func(c *Config) {
		c.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Nodes = append(c.Nodes, nobody)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { f.engine.Run(ctx, time.Millisecond); close(ended) }()
	eventually(t, "there were some checks", func() bool { return strings.Count(lines.String(), "were compared") > 3 })
	cancel()
	<-ended
	const told = "the copies of some peers or nodes cannot be compared"
	if n := strings.Count(lines.String(), told); n != 1 || !strings.Contains(lines.String(), nobody) {
		t.Errorf("it is told %d times:\n%s", n, &lines)
	}
}

// The log has each reason for which the copies of a peer do not count, once, and that it is over.
func TestLogTellsWhyPeersAreAway(t *testing.T) {
	var lines logtest.Lines
	f := newFront(t, 2, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&lines, nil)) })
	at := f.c.Peer(0)
	tells := func(what string, away bool) {
		t.Helper()
		eventually(t, "the log has "+what, func() bool {
			for line := range strings.Lines(lines.String()) {
				if strings.Contains(line, what) && strings.Contains(line, at.URL()) {
					return true
				}
			}
			return false
		})
		answer, all := f.engine.Answering()
		if _, is := all[at.URL()]; is != away || len(answer)+len(all) != 2 {
			t.Errorf("after %q: %v answer, and %v are away", what, answer, all)
		}
		if s := f.engine.State(t.Context()).Peers[0]; s.NodeKnown == away {
			t.Errorf("after %q: the peer is %+v", what, s)
		}
	}
	at.Node.SetDown(true)
	tells("the node of a cluster peer does not answer it", true)
	at.Node.SetDown(false)
	tells("the node of a cluster peer answers it again", false)
	at.Kill()
	tells("connection refused", true)
	f.c.SetPassword("another") // its configuration was changed meanwhile
	at.Start()
	tells("cluster.password_file", true)
	f.c.SetPassword("")
	tells("a cluster peer answers again", false)
	if n := strings.Count(lines.String(), at.URL()); n != 5 {
		t.Errorf("the log has %d lines on it:\n%s", n, &lines)
	}
}

// Whoever is told of a difference may be slow, and holds up no pin.
func TestCheckTellsWithoutLock(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.c.Peer(2).Node.Add(f.cid(1))
	told := 0
	_, err := f.engine.Check(t.Context(), true, func(Difference) {
		told++
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range 5000 { // of all locks
			unlock, err := f.engine.locks.Lock(soon, strconv.Itoa(i))
			if err != nil {
				t.Fatal("a lock is held meanwhile")
			}
			unlock()
		}
	})
	if err != nil || told != 1 {
		t.Errorf("%d differences, %v", told, err)
	}
}
