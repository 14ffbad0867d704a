package graph_test

import (
	"slices"
	"testing"

	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/graph"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// NotWhole takes marks back once, and names what is above a block.
func TestNotWhole(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	all := dagtest.Tree(dagtest.Leaves(100, 50), 5)
	p := roomtest.PinDAG(t, s, all)
	q := roomtest.PinDAG(t, s, append(slices.Clone(all), dagtest.PB("over", dagtest.Last(all))))
	other := roomtest.PinDAG(t, s, dagtest.Tree(dagtest.Leaves(7, 50)[:3], 5))
	hashes := []multihash.Multihash{all[42].Cid().Hash(), dagtest.Raw("nobody has it").Cid().Hash()}
	for call := range 2 {
		dags, marks, err := s.Graph.NotWhole(t.Context(), hashes)
		must(t, err)
		if len(dags) != 2 || !slices.Contains(dags, p.Request.DAG()) || !slices.Contains(dags, q.Request.DAG()) {
			t.Errorf("above the block are %v", dags)
		}
		if (marks > 0) != (call == 0) {
			t.Errorf("call %d took %d marks back", call, marks)
		}
	}
	if whole, err := s.Graph.Whole(t.Context(), other.Request.DAG(), pin.Limits{}, true); err != nil || !whole {
		t.Errorf("another DAG is whole: %v, %v", whole, err)
	}
}

// NotWhole takes back a mark that was made a moment ago.
func TestNotWholeOfAFreshMark(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	all := dagtest.Tree(dagtest.Leaves(7, 50)[:3], 5)
	p := roomtest.PinDAG(t, s, all)
	hashes := []multihash.Multihash{all[0].Cid().Hash()}
	for range 20 {
		s.Graph.Mark(graph.HolderOf(p.Attempt), pin.Limits{})
		_, marks, err := s.Graph.NotWhole(t.Context(), hashes)
		must(t, err)
		if marks == 0 {
			t.Error("no mark was taken back")
		}
	}
}

// However many nodes are above damaged blocks, their marks are taken back with one sync.
func TestNotWholeOfManyNodes(t *testing.T) {
	s := roomtest.Open(t, t.TempDir(), roomtest.Config{})
	const n = 300
	all, leaves := roomtest.OneLeafEach(n)
	p := roomtest.PinDAG(t, s, all)
	version := s.Badger.MaxVersion()
	dags, marks, err := s.Graph.NotWhole(t.Context(), leaves)
	must(t, err)
	if commits := s.Badger.MaxVersion() - version; commits != 1 {
		t.Errorf("it took %d commits", commits)
	}
	if marks < n || !slices.Equal(dags, []pin.DAG{p.Request.DAG()}) {
		t.Errorf("%d marks were taken back in %v", marks, dags)
	}
	if whole, err := s.Graph.Whole(t.Context(), pin.DAGOf(all[1].Cid()), pin.Limits{}, true); err != nil || whole {
		t.Errorf("a node above a damaged block is whole: %v, %v", whole, err)
	}
}
