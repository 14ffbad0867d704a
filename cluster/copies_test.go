package cluster

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// A copy that is there is not asked for again while the other one is waited for, and does not count any more when its
// peer is away.
func TestCopyIsAskedForOnce(t *testing.T) {
	f := newFront(t, 2, nil)
	var asked [2]atomic.Int64
	for i := range asked {
		f.c.Peer(i).Wrap(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			if strings.Contains(r.URL.Query().Get("cids"), f.cid(1)) {
				asked[i].Add(1)
			}
			next(w, r)
		})
	}
	_, j := f.ask(alice, 1, func(s *pin.Spec) { s.Meta = map[string]string{"replication": "2"} })
	f.c.Peer(1).Fail(f.cid(1), "the disk is full")
	f.serve(1)
	wait, stop := f.begin(j)
	eventually(t, "one copy is there", func() bool { return strings.Contains(j.Progress.Note(), "1 of 2 copies are there") })
	had, other := asked[0].Load(), asked[1].Load()
	eventually(t, "the other is asked for", func() bool { return asked[1].Load() >= other+10 })
	if n := asked[0].Load(); n != had {
		t.Errorf("the copy that is there is asked for %d times more", n-had)
	}
	f.c.Peer(0).Kill()
	eventually(t, "its peer is away", func() bool { return !f.engine.peers[0].answers() })
	f.c.Peer(1).Recover(f.cid(1))
	eventually(t, "the other copy is there alone", func() bool {
		return strings.Contains(j.Progress.Note(), "1 of 2 copies are there, on s2; s1 does not answer")
	})
	f.c.Peer(0).Start()
	if _, err := wait(); err != nil {
		t.Error(err)
	}
	stop()
}
