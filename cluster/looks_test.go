package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// asks is an engine over one peer, of which calls for statuses wait until go on is closed. cids has the CIDs of each.
type asks struct {
	*front
	goOn  chan struct{}
	first chan struct{} // has an entry for each call

	mu   sync.Mutex
	cids [][]string
}

func newAsks(t *testing.T, next func(w http.ResponseWriter, cids []string) bool) *asks {
	a := &asks{
		front: newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} }),
		goOn:  make(chan struct{}), first: make(chan struct{}, 1000),
	}
	a.c.Peer(0).Wrap(func(w http.ResponseWriter, r *http.Request, peer http.HandlerFunc) {
		if list := r.URL.Query().Get("cids"); list != "" {
			cids := strings.Split(list, ",")
			a.mu.Lock()
			a.cids = append(a.cids, cids)
			a.mu.Unlock()
			a.first <- struct{}{}
			<-a.goOn
			if next(w, cids) {
				return
			}
		}
		peer(w, r)
	})
	return a
}

// ask asks for the status of n CIDs, all at the same time, and counts those that have an answer.
func (a *asks) ask(n int) (answered int) {
	a.t.Helper()
	p := a.engine.peers[0]
	var all sync.WaitGroup
	var good atomic.Int64
	look := func(i int) {
		c := dagtest.Raw(fmt.Sprintf("block %d", i)).Cid()
		s, of, err := p.status(a.t.Context(), a.c.Peer(0).ID, c)
		if got, _ := cid.Decode(of.CID); err == nil && got.Equals(c) && s.Status == isUnpinned {
			good.Add(1)
		}
	}
	for i := range maxLookCalls { // which are under way when the others come
		all.Go(func() { look(i) })
		<-a.first
	}
	for i := maxLookCalls; i < n; i++ {
		all.Go(func() { look(i) })
	}
	eventually(a.t, "all have asked", func() bool {
		p.looks.mu.Lock()
		defer p.looks.mu.Unlock()
		return len(p.looks.waiting) == n-maxLookCalls
	})
	close(a.goOn)
	all.Wait()
	return int(good.Load())
}

// Many questions at once take few calls.
func TestLooksGoTogether(t *testing.T) {
	a := newAsks(t, func(http.ResponseWriter, []string) bool { return false })
	const n = 500
	if got := a.ask(n); got != n {
		t.Errorf("%d of %d have an answer", got, n)
	}
	if calls, most := len(a.cids), 1+maxLookCalls+n/maxLook; calls > most {
		t.Errorf("they took %d calls, want %d at most", calls, most)
	}
	for _, cids := range a.cids {
		if len(cids) > maxLook {
			t.Errorf("one asks about %d CIDs", len(cids))
		}
	}
	a.engine.peers[0].looks.mu.Lock()
	defer a.engine.peers[0].looks.mu.Unlock()
	if l := &a.engine.peers[0].looks; l.calls != 0 || len(l.waiting) != 0 {
		t.Errorf("%d calls are under way, and %d questions wait", l.calls, len(l.waiting))
	}
}

// A question that the peer refuses, or says nothing about, leaves no other one without an answer.
func TestLookThatIsRefused(t *testing.T) {
	ill := dagtest.Raw("block 7").Cid().String()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, cids []string) bool
		away   bool
	}{
		"refused": {func(w http.ResponseWriter, cids []string) bool {
			if !strings.Contains(strings.Join(cids, ","), ill) {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":400,"message":"error decoding Cid"}`)
			return true
		}, false},
		"left out": {func(w http.ResponseWriter, cids []string) bool {
			w.Header().Set("Content-Type", "application/json")
			for _, c := range cids {
				if c != ill {
					_ = json.NewEncoder(w).Encode(map[string]any{"cid": c, "peer_map": map[string]any{"12D3KooWpeer0": map[string]any{"status": "unpinned"}}})
				}
			}
			return true
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAsks(t, c.answer)
			const n = 40
			if got := a.ask(n); got != n-1 {
				t.Errorf("%d of %d have an answer", got, n)
			}
			if !a.engine.peers[0].answers() {
				t.Error("the peer is away")
			}
		})
	}
}

// What a peer does not answer in time keeps nobody waiting for longer: those that wait for the next call learn that
// the peer is away.
func TestLooksAtSilentPeer(t *testing.T) {
	a := newAsks(t, func(http.ResponseWriter, []string) bool { return true }) // without anything in it
	a.engine.peers[0].limit = 1                                               // nanosecond
	p := a.engine.peers[0]
	c := dagtest.Raw("block").Cid()
	if _, err := p.global(t.Context(), c); err == nil || p.answers() {
		t.Errorf("a peer that is silent is there: %v", err)
	}
	close(a.goOn)
}

// A pin that is new is asked for without a call for it alone, and one that is there is not asked for again.
func TestFindInPinset(t *testing.T) {
	f := newFront(t, 1, func(c *Config) { c.Replication = pin.Replication{Min: 1, Max: 1} })
	var reads atomic.Int64
	f.c.Peer(0).Wrap(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
		if strings.HasPrefix(r.URL.Path, "/allocations/") {
			reads.Add(1)
		}
		next(w, r)
	})
	_, j := f.pinned(alice, 1, nil)
	if n := reads.Load(); n != 0 {
		t.Errorf("the pinset is read %d times before a pin that it does not have", n)
	}
	p := f.engine.peers[0]
	if is, err := p.find(t.Context(), j.DAG.CID()); err != nil || is == nil || f.engine.attemptIn(is.Metadata) != j.Attempt {
		t.Errorf("the pin is found as %+v, %v", is, err)
	}
	other := dagtest.Raw("of others").Cid()
	f.c.Put(clustertest.Pin{CID: other.String(), Min: 1, Max: 1, Allocations: []string{"12D3KooWelsewhere"}})
	if is, err := p.find(t.Context(), other); err != nil || is == nil || len(is.Allocations) != 1 {
		t.Errorf("a pin on another peer is found as %+v, %v", is, err)
	}
}
