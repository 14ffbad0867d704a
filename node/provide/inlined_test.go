package provide

import (
	"context"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// inlinedOver is a root that has its data in its CID, and links to others.
func inlinedOver(name string, over ...cid.Cid) pin.DAG {
	return pin.DAGOf(dagtest.Identity(cid.DagProtobuf, dagtest.PBBytes(name, over...)))
}

func TestTold(t *testing.T) {
	a, b := dagtest.Raw("a").Cid(), dagtest.PB("b").Cid()
	inner := inlinedOver("", b)
	for name, c := range map[string]struct {
		root pin.DAG
		want []pin.DAG
	}{
		"usual":           {pin.DAGOf(b), []pin.DAG{pin.DAGOf(b)}},
		"inlined":         {inlinedOver("", a, b), []pin.DAG{pin.DAGOf(a), pin.DAGOf(b)}},
		"linked twice":    {inlinedOver("", a, a), []pin.DAG{pin.DAGOf(a)}},
		"below inlined":   {inlinedOver("", inner.CID(), a), []pin.DAG{pin.DAGOf(b), pin.DAGOf(a)}},
		"without links":   {inlinedOver("x"), nil},
		"data":            {pin.DAGOf(dagtest.Identity(cid.Raw, []byte("x"))), nil},
		"no DAG":          {"", nil},
		"does not decode": {pin.DAGOf(dagtest.Identity(cid.DagCBOR, []byte{0x81})), nil},
	} {
		if got := Told(c.root); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What an inlined root links to is told in its place, with any strategy, for as long as
// something pinned needs it, and is known as told.
func TestInlinedRootWithLinks(t *testing.T) {
	for _, strategy := range Strategies() {
		t.Run(string(strategy), func(t *testing.T) {
			bubble(t, 300, func(r *rig) {
				s := newShelf(t)
				leaf := s.leaf("leaf")
				node := s.node(nil, s.leaf("below"))
				r.cfg.Strategy, r.cfg.Blocks = strategy, s.bs
				r.start()
				r.wait(soon)
				one, two := inlinedOver("1", leaf, node), inlinedOver("2", leaf)
				if !r.Announced(one).IsZero() {
					t.Error("it is told before it is pinned")
				}
				r.pin(one)
				r.wait(soon)
				r.told(1, leaf.Hash(), node.Hash())
				if r.Announced(one).IsZero() {
					t.Error("it is not known as told")
				}
				if n := int(r.net.records.Load()); n != 2*replicas && strategy == Roots {
					t.Errorf("%d records", n)
				}

				// Another root, pinned as such and inlined, has it too.
				r.pin(two, pin.DAGOf(leaf))
				r.unpin(one)
				r.wait(soon)
				if strategy == Roots {
					r.keys(leaf)
				}
				r.unpin(two)
				r.wait(soon)
				if strategy == Roots {
					r.keys(leaf)
				}
				r.pin(two)
				r.unpin(pin.DAGOf(leaf))
				r.wait(soon)
				if r.Announced(two).IsZero() {
					t.Error("it is not known as told any more")
				}
				if strategy == Roots {
					r.keys(leaf)
				}

				// The next run knows it.
				r.kill()
				r.start()
				r.wait(soon)
				if r.Announced(two).IsZero() {
					t.Error("the next run does not know it as told")
				}
				r.close()
				r.pins.set(false, two)
				r.start()
				r.wait(soon)
				if s := r.stats(); s.Roots != 0 {
					t.Errorf("stats are %+v", s)
				}
			})
		})
	}
}

// What may not be given to others is not told, whoever links to it.
func TestInlinedRootOverWhatIsNotHeld(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		good, bad := dagtest.Raw("good").Cid(), dagtest.Raw("bad").Cid()
		r.cfg.Holds = func(_ context.Context, h multihash.Multihash) (bool, error) {
			return string(h) != string(bad.Hash()), nil
		}
		r.start()
		r.wait(soon)
		r.pin(inlinedOver("", good, bad))
		r.wait(soon)
		r.told(1, good.Hash())
		r.told(0, bad.Hash())
	})
}

// keys fails unless exactly those are told again and again.
func (r *rig) keys(want ...cid.Cid) {
	r.t.Helper()
	if s := r.stats(); s.Roots != len(want) || int(s.Keys) != len(want) {
		r.t.Fatalf("stats are %+v, want %d roots", s, len(want))
	}
	for _, c := range want {
		if _, ok := r.ledger.line(c.Hash()); !ok {
			r.t.Fatalf("%s is not among them", c)
		}
	}
}
