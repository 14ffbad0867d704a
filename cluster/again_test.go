package cluster

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/logtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// What a peer writes and the others do not take is asked for at another peer, and the log says so.
func TestPeerThatOthersDoNotTrust(t *testing.T) {
	var lines logtest.Lines
	f := newFront(t, 3, func(c *Config) {
		c.HearWithin = 20 * time.Millisecond
		c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	})
	f.c.Peer(0).Distrust()
	for n := 1; ; n++ {
		_, j := f.ask(alice, n, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
		if f.engine.peerFor(j.DAG, 0) != f.engine.peers[0] {
			continue
		}
		f.serve(n)
		f.complete(j)
		if got := f.c.Copies(f.cid(n)); got != 2 {
			t.Errorf("there are %d copies", got)
		}
		break
	}
	if s := lines.String(); strings.Count(s, "trusted_peers") != 1 || !strings.Contains(s, "has_it=s1") {
		t.Errorf("the log has:\n%s", s)
	}
}

// A peer that could not ask its node to pin is asked to try again.
func TestNodeWasAway(t *testing.T) {
	const reason = `Post "http+unix://ipfs/api/v0/pin/ls?stream=true": dial unix rpc.sock: connect: connection refused`
	f := newFront(t, 2, func(c *Config) { c.HearWithin = 30 * time.Millisecond })
	_, j := f.ask(alice, 1, nil)
	f.c.Peer(1).Fail(f.cid(1), reason)
	f.serve(1)
	wait, _ := f.begin(j)
	if _, err := wait(); err != nil {
		t.Errorf("it ends with %v: %s", err, j.Progress.Note())
	}
	f.c.Peer(1).Node.Forget(f.cid(1))
	f.c.Peer(1).Fail(f.cid(1), reason) // of one that was pinned already, too
	f.engine.posts.forget(j.DAG)       // it is not recent
	if _, _, err := f.store.Complete(t.Context(), j.DAG, j.Attempt, f.totals(1)); err != nil {
		t.Fatal(err)
	}
	if got := f.differences(true); len(got) != 1 || got[0] != "few copies 1+" || f.c.Copies(f.cid(1)) != 2 {
		t.Errorf("a check finds %q, and there are %d copies", got, f.c.Copies(f.cid(1)))
	}
	if nodeWasAway("IPFS error (pin/add?arg=" + f.cid(1) + "). Code: 500. Message: it is on a denylist") {
		t.Error("a node that refuses a pin is asked again and again")
	}
}

// A pin that wants more copies than others waits for itself alone: there is room for those.
func TestTooFewPeersForOnePinAlone(t *testing.T) {
	for name, make := range map[string]func(*front){
		"away": func(f *front) { f.c.Peer(0).Kill() },
		"full": func(f *front) { f.c.Peer(0).Fill(true) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, 3, nil)
			_, j := f.ask(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "3"} })
			make(f)
			eventually(t, "it is noticed", func() bool { return name == "full" || !f.engine.peers[0].answers() })
			wait, _ := f.begin(j)
			_, err := wait()
			away, is := errors.AsType[*pin.AwayError](err)
			if !is || !away.Alone || !strings.Contains(away.Reason, "2 peers with room that answer, and 3 copies are wanted") {
				t.Errorf("the fetch ends with %v", err)
			}
			if err := f.engine.Room(t.Context(), 0); err != nil {
				t.Errorf("there is no room for others: %v", err)
			}
		})
	}
}
