package cluster

import (
	"context"
	"log/slog"
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

// Whoever is told of a difference may be slow, and holds up no pin.
func TestCheckTellsWithoutLock(t *testing.T) {
	f := newFront(t, 3, nil)
	f.pinned(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.c.Peer(2).Node.Add(f.cid(1))
	told := 0
	_, err := f.engine.Check(t.Context(), true, func(Difference) {
		told++
		for _, l := range f.engine.locks {
			if len(l) > 0 {
				t.Error("a lock is held meanwhile")
			}
		}
	})
	if err != nil || told != 1 {
		t.Errorf("%d differences, %v", told, err)
	}
}
