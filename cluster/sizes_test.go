package cluster

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/holdfast-ipfs/holdfast/cluster/clustertest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// How large a DAG is comes from the nodes, or is not known.
func TestSizes(t *testing.T) {
	kubo := newFront(t, 3, nil)
	for i := range 3 {
		kubo.c.Peer(i).Node.BeKubo()
	}
	kubo.stop()
	kubo.start()
	if _, j := kubo.ask(alice, 1, nil); true {
		kubo.serve(1)
		if got := kubo.complete(j); got != kubo.totals(1) {
			t.Errorf("over Kubos it has %+v", got)
		}
	}
	none := newFront(t, 3, func(c *Config) { c.Nodes = nil })
	r, j := none.ask(alice, 1, nil)
	none.serve(1)
	if got := none.complete(j); got != (pin.Totals{}) {
		t.Errorf("nobody is asked, and it has %+v", got)
	}
	r.Status = pin.Pinned
	info := pin.InfoOf(r)
	none.engine.Describe(t.Context(), r, false, info)
	if info["blocks"] != "" || info["bytes"] != "" || !strings.HasPrefix(info["size"], "not known") {
		t.Errorf("of a size that is not known is said: %v", info)
	}
}

// A size that no DAG has is not what an account is charged, nor how far a pin is. Another node is asked.
func TestSizesThatCannotBe(t *testing.T) {
	for name, lie := range map[string]clustertest.Content{
		"bytes": {Blocks: 10, Bytes: math.MaxUint64 - 5}, "blocks": {Blocks: math.MaxUint64, Bytes: 1000}, "blocks too large": {Blocks: 1, Bytes: 1 << 40},
	} {
		for _, kubo := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", kubo=", kubo), func(t *testing.T) {
				f := newFront(t, 2, nil)
				if kubo {
					f.c.Peer(0).Node.BeKubo()
					f.stop()
					f.start()
				}
				_, j := f.ask(alice, 1, nil)
				f.c.Peer(0).Node.Lie(f.cid(1), lie)
				wait, _ := f.begin(j)
				f.serve(1)
				totals, err := wait()
				if err != nil || totals != f.totals(1) || j.Progress.Blocks.Load() > 10 {
					t.Errorf("it has %+v, %v, after %d blocks", totals, err, j.Progress.Blocks.Load())
				}
			})
		}
	}
}
