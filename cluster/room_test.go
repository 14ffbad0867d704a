package cluster

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
)

// An upload asks before each of its blocks whether there is room, and a peer is not asked each time.
func TestRoomIsNotAskedForEachBlock(t *testing.T) {
	f := newFront(t, 1, nil)
	var asked atomic.Int64
	p := f.c.Peer(0)
	p.Answer(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/monitor/metrics/freespace" {
			fmt.Fprintf(w, `{"id":%q}`, p.ID)
			return
		}
		asked.Add(1)
		fmt.Fprintf(w, `[{"name":"freespace","peer":"a","value":"1000","valid":true},{"name":"freespace","peer":"b","value":"1000","valid":true}]`)
	})
	const blocks = 2000
	for range blocks {
		if err := f.engine.Room(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n > blocks/10 {
		t.Errorf("the peer was asked %d times for %d blocks", n, blocks)
	}
	if err := f.engine.Room(t.Context(), 2000); err == nil {
		t.Error("there is room for more than there is")
	}
}
