package cluster

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// An origin that the cluster cannot read does not keep it from the others.
func TestOriginsThatCannotBeRead(t *testing.T) {
	f := newFront(t, 3, nil)
	_, j := f.ask(alice, 1, nil)
	const id = "/p2p/12D3KooWGjMCwmf2JqsSg8JRLLoRNvTUfJkS8SYzN4jvTLNGHrWn"
	good := []string{"/ip4/192.0.2.1/tcp/4001" + id, "/ip4/192.0.2.2/udp/4001/quic-v1" + id}
	for _, o := range []string{good[0], "/ip4/192.0.2.1/udp/1/quic-v9" + id, "/newnet/abc" + id, "", id, "/ip4/192.0.2.1/tcp/1", "/p2p/x/tcp", good[1]} {
		j.Origins = append(j.Origins, pin.Origin{Addr: o})
	}
	f.serve(1)
	f.complete(j)
	if got := f.c.Get(f.cid(1)).Origins; !slices.Equal(got, good) {
		t.Errorf("the cluster is told %q", got)
	}
}

// Another node takes the place of one, at its address: it is asked as that one was.
func TestNodeIsReplaced(t *testing.T) {
	f := newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} })
	f.pinned(alice, 1, nil)
	f.c.Peer(0).Node.Replace()
	eventually(t, "the peer says so", func() bool { is, _ := f.engine.peers[0].state(); return is.Node.ID == f.c.Peer(0).Node.ID })
	f.engine.nodes[0].mu.Lock()
	f.engine.nodes[0].asked = time.Time{} // long ago
	f.engine.nodes[0].mu.Unlock()
	_, j := f.ask(alice, 2, nil)
	f.serve(2)
	if got := f.complete(j); got != f.totals(2) {
		t.Errorf("it has %+v", got)
	}
	if got := strings.Join(f.differences(true), "; "); got != "lost copy 1+" {
		t.Errorf("a check finds %q", got)
	}
}

// A peer answers whose node does not. Nobody asks it for its copies, one by one: it lets one call a second
// through to its node then. They count as away at once.
func TestNodeIsAway(t *testing.T) {
	f := newFront(t, 3, func(c *Config) { c.LostAfter, c.ReplaceAfter = time.Nanosecond, 30*time.Millisecond })
	for n := range 3 {
		f.pinned(alice, n, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	}
	dead := f.c.Peer(0)
	dead.Node.SetDown(true)
	dead.Fill(true) // its room is not known any more
	eventually(t, "the peer says so", func() bool { is, _ := f.engine.peers[0].state(); return is.Node.Error != "" })
	dead.Wrap(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		if r.Method == http.MethodGet && r.URL.Query().Has("cids") {
			t.Errorf("it is asked for %s", r.URL)
		}
		next(w, r)
	})
	if is := f.engine.State(t.Context()).Peers[0]; is.Err != nil || is.NodeAway != "the node does not answer" {
		t.Errorf("its state is %+v", is)
	}
	r, _ := f.ask(alice, 1, nil)
	f.engine.known.forget(r.DAG())
	r.Status = pin.Pinned
	eventually(t, "it is said", func() bool { // a look may take longer than a description waits
		info := map[string]string{}
		f.engine.Describe(t.Context(), r, true, info)
		return strings.Contains(info["copies_missing"], "s1: its node does not answer")
	})
	f.differences(true) // that they are too few is known from now on
	f.differences(true)
	for n := range 3 {
		if is := f.c.Get(f.cid(n)); slices.Contains(is.Allocations, dead.ID) || f.c.Peer(1).Node.Has(f.cid(n)) != true || f.c.Peer(2).Node.Has(f.cid(n)) != true {
			t.Errorf("DAG %d is at %v", n, is.Allocations)
		}
	}
}

// A pin that was under way on a node that dies goes elsewhere, also if its peer lives.
func TestNodeDiesWithAPin(t *testing.T) {
	f := newFront(t, 3, func(c *Config) { c.ReplaceAfter = 30 * time.Millisecond })
	_, j := f.ask(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	wait, _ := f.begin(j)
	eventually(t, "it is asked for", func() bool { return f.c.Get(f.cid(1)) != nil })
	f.c.Peer(0).Node.SetDown(true)
	f.c.Peer(0).Fill(true)
	f.serve(1)
	if _, err := wait(); err != nil {
		t.Errorf("it ends with %v: %s", err, j.Progress.Note())
	}
	if is := f.c.Get(f.cid(1)); slices.Contains(is.Allocations, f.c.Peer(0).ID) {
		t.Errorf("it is at %v", is.Allocations)
	}
}
