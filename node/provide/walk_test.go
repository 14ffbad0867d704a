package provide

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	format "github.com/ipfs/go-ipld-format"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// shelf is blocks on disk, and how to make some.
type shelf struct {
	t  *testing.T
	bs blockstore.Blockstore
}

func newShelf(t *testing.T) *shelf {
	return &shelf{t, blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))}
}

func (s *shelf) put(b blocks.Block) cid.Cid {
	s.t.Helper()
	if err := s.bs.Put(context.Background(), b); err != nil {
		s.t.Fatal(err)
	}
	return b.Cid()
}

func (s *shelf) drop(c cid.Cid) {
	s.t.Helper()
	if err := s.bs.DeleteBlock(context.Background(), c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) leaf(text string) cid.Cid { return s.put(merkledag.NewRawNode([]byte(text))) }

// node puts a dag-pb node with links.
func (s *shelf) node(data []byte, links ...cid.Cid) cid.Cid {
	s.t.Helper()
	n := merkledag.NodeWithData(data)
	if err := n.SetCidBuilder(merkledag.V1CidPrefix()); err != nil {
		s.t.Fatal(err)
	}
	for i, c := range links {
		l, err := s.bs.GetSize(context.Background(), c)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := n.AddRawLink(fmt.Sprint(i), &format.Link{Cid: c, Size: uint64(l)}); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.put(n)
}

func (s *shelf) file(links ...cid.Cid) cid.Cid {
	f := unixfs.NewFSNode(unixfs.TFile)
	for range links {
		f.AddBlockSize(1)
	}
	data, err := f.GetBytes()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.node(data, links...)
}

func (s *shelf) dir(links ...cid.Cid) cid.Cid { return s.node(unixfs.FolderPBData(), links...) }

func (s *shelf) cbor(links ...cid.Cid) cid.Cid {
	s.t.Helper()
	n, err := qp.BuildList(basicnode.Prototype.Any, -1, func(l datamodel.ListAssembler) {
		for _, c := range links {
			qp.ListEntry(l, qp.Link(cidlink.Link{Cid: c}))
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := dagcbor.Encode(n, &buf); err != nil {
		s.t.Fatal(err)
	}
	h, err := multihash.Sum(buf.Bytes(), multihash.SHA2_256, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := blocks.NewBlockWithCid(buf.Bytes(), cid.NewCidV1(cid.DagCBOR, h))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(b)
}

// site is a directory of a file of two chunks, a small file, and a directory
// with another.
type site struct {
	root, file, chunk1, chunk2, small, sub, deep, deepChunk cid.Cid
}

func (s *shelf) site(salt string) (d site) {
	d.chunk1, d.chunk2 = s.leaf(salt+"one"), s.leaf(salt+"two")
	d.file = s.file(d.chunk1, d.chunk2)
	d.small = s.leaf(salt + "small")
	d.deepChunk = s.leaf(salt + "deep")
	d.deep = s.file(d.deepChunk)
	d.sub = s.dir(d.deep)
	d.root = s.dir(d.file, d.small, d.sub)
	return d
}

func (d site) entities() []cid.Cid { return []cid.Cid{d.root, d.file, d.small, d.sub, d.deep} }
func (d site) all() []cid.Cid {
	return append(d.entities(), d.chunk1, d.chunk2, d.deepChunk)
}

func walked(t *testing.T, s *shelf, by Strategy, root cid.Cid) (keys []string) {
	t.Helper()
	err := walk(t.Context(), by, s.bs, pin.DAGOf(root), func(hs []multihash.Multihash) error {
		for _, h := range hs {
			keys = append(keys, string(h))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func sortedKeys(cs []cid.Cid) (keys []string) {
	for _, c := range cs {
		keys = append(keys, string(c.Hash()))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func TestWalk(t *testing.T) {
	s := newShelf(t)
	d := s.site("")
	list := s.cbor(d.root, d.chunk1)
	for name, tt := range map[string]struct {
		by   Strategy
		root cid.Cid
		want []cid.Cid
	}{
		"entities":            {Entities, d.root, d.entities()},
		"all":                 {All, d.root, d.all()},
		"entities of a list":  {Entities, list, append(d.entities(), list, d.chunk1)},
		"all of a list":       {All, list, append(d.all(), list)},
		"entities of a leaf":  {Entities, d.small, []cid.Cid{d.small}},
		"all of a leaf":       {All, d.small, []cid.Cid{d.small}},
		"a root read as raw":  {All, cid.NewCidV1(cid.Raw, d.root.Hash()), []cid.Cid{d.root}},
		"entities of a file":  {Entities, d.file, []cid.Cid{d.file}},
		"one below and above": {All, s.dir(cid.NewCidV1(cid.Raw, d.root.Hash()), d.root), append(d.all(), s.dir(cid.NewCidV1(cid.Raw, d.root.Hash()), d.root))},
	} {
		t.Run(name, func(t *testing.T) {
			got := slices.Compact(walked(t, s, tt.by, tt.root))
			if want := sortedKeys(tt.want); !slices.Equal(got, want) {
				t.Errorf("%d keys, want %d", len(got), len(want))
			}
		})
	}
	s.drop(d.sub)
	if got, want := walked(t, s, All, d.root), len(d.all())-3; len(got) != want {
		t.Errorf("without a block there are %d keys, want %d", len(got), want)
	}
}

func TestWalkEndsWithTheHand(t *testing.T) {
	s := newShelf(t)
	var leaves []cid.Cid
	for i := range 3 * walkBatch {
		leaves = append(leaves, s.leaf(fmt.Sprint(i)))
	}
	root := s.dir(leaves...)
	full := errors.New("enough")
	calls := 0
	err := walk(t.Context(), All, s.bs, pin.DAGOf(root), func(hs []multihash.Multihash) error {
		calls++
		return full
	})
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if got := len(walked(t, s, All, root)); got != 3*walkBatch+1 {
		t.Errorf("%d keys", got)
	}
}

func multihashes(cs []cid.Cid) (hs []multihash.Multihash) {
	for _, c := range cs {
		hs = append(hs, c.Hash())
	}
	return hs
}

// reads counts the blocks that are read.
type reads struct {
	blockstore.Blockstore
	n atomic.Int64
}

func (r *reads) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	r.n.Add(1)
	return r.Blockstore.Get(ctx, c)
}

// What a strategy takes is told, and what is unpinned leaves when its blocks do.
func TestStrategies(t *testing.T) {
	for by, keys := range map[Strategy]func(site) []cid.Cid{Entities: site.entities, All: site.all} {
		t.Run(string(by), func(t *testing.T) {
			bubble(t, 100, func(r *rig) {
				s := newShelf(t)
				one, two := s.site("one"), s.site("two")
				both := s.dir(one.file, two.file) // shares some with both
				r.cfg.Strategy, r.cfg.Blocks = by, s.bs
				r.start()
				r.wait(soon)
				r.pin(pin.DAGOf(one.root), pin.DAGOf(two.root), pin.DAGOf(both))
				r.wait(time.Minute)
				all := append(append(keys(one), keys(two)...), both)
				r.told(1, multihashes(all)...)
				if got := r.stats(); got.Keys != int64(len(sortedKeys(all))) || got.Roots != 3 || got.Untold != 0 {
					t.Errorf("stats are %+v", got)
				}

				// A restart walks nothing again.
				r.close()
				reads := &reads{Blockstore: s.bs}
				r.cfg.Blocks = reads
				r.start()
				r.wait(time.Minute)
				if n := reads.n.Load(); n > 0 {
					t.Errorf("%d blocks were read after a restart", n)
				}

				r.unpin(pin.DAGOf(one.root))
				gone := []cid.Cid{one.root, one.small, one.sub, one.deep, one.deepChunk}
				for _, c := range gone { // as a reclaim does
					s.drop(c)
				}
				r.wait(DefaultInterval + time.Hour)
				r.net.forget()
				r.wait(DefaultInterval + time.Hour)
				for _, c := range all {
					least, _ := r.net.times(c.Hash())
					if want := !slices.Contains(gone, c); (least > 0) != want {
						t.Errorf("%s was told %d times", c, least)
					}
				}
				if got, want := r.stats(), len(sortedKeys(all)); got.Keys >= int64(want) || got.Roots != 2 {
					t.Errorf("stats are %+v", got)
				}
			})
		})
	}
}

// A strategy that tells more tells it when its turn comes, one that tells less nothing more
// than that. What is pinned after that is told at once.
func TestStrategyChanges(t *testing.T) {
	bubble(t, 100, func(r *rig) {
		s := newShelf(t)
		d := s.site("")
		r.cfg.Blocks = s.bs
		change := func(by Strategy, keys []cid.Cid) {
			t.Helper()
			r.wait(DefaultInterval + time.Hour) // so that each region had its turn
			r.close()
			r.net.forget()
			r.cfg.Strategy = by
			r.start()
			r.wait(time.Minute)
			if got := r.stats(); got.Keys != int64(len(keys)) {
				t.Errorf("with %s there are %d keys, want %d", by, got.Keys, len(keys))
			}
			if r.Announced(pin.DAGOf(d.root)).IsZero() {
				t.Error("it is not announced any more")
			}
		}
		r.start()
		r.pin(pin.DAGOf(d.root))
		r.wait(DefaultInterval + time.Hour) // so that each region had its turn
		quiet := func() {
			t.Helper()
			told := 0
			for _, c := range d.all() {
				if _, sum := r.net.times(c.Hash()); sum > 0 {
					told++ // its turn has come
				}
			}
			if told > len(d.all())/2 {
				t.Errorf("%d of %d were told at once", told, len(d.all()))
			}
		}
		inTurn := func(cs []cid.Cid) {
			t.Helper()
			r.wait(DefaultInterval + time.Hour)
			for _, c := range cs {
				if least, _ := r.net.times(c.Hash()); least == 0 {
					t.Errorf("%s was not told within an interval", c)
				}
			}
		}
		change(Entities, d.entities())
		inTurn(d.entities())
		change(All, d.all())
		inTurn(d.all())
		late := s.site("late")
		r.pin(pin.DAGOf(late.root))
		r.wait(time.Minute)
		// A key that comes while its region is being told may be taken out of
		// the line with those that this tells, and has to wait for its turn.
		const unlucky = 1
		missed := 0
		for _, c := range late.all() {
			if least, _ := r.net.times(c.Hash()); least == 0 {
				missed++
			}
		}
		if missed > unlucky {
			t.Errorf("%d of %d new ones were not told at once", missed, len(late.all()))
		}
		r.unpin(pin.DAGOf(late.root))
		for _, c := range late.all() {
			s.drop(c)
		}
		r.wait(2 * DefaultInterval)
		change(Entities, d.entities())
		quiet()
		change(Roots, []cid.Cid{d.root})
		quiet()
		r.net.forget()
		r.wait(DefaultInterval + time.Hour)
		for _, c := range d.all() {
			if least, _ := r.net.times(c.Hash()); (least > 0) != (c == d.root) {
				t.Errorf("%s was told %d times", c, least)
			}
		}
	})
}

// When a server that has told the roots of many pins begins to tell their files, it walks all
// of them, some at a time, and tells nothing in a burst: the sweep spreads it.
func TestWiderStrategyIsSpread(t *testing.T) {
	bubble(t, 2000, func(r *rig) {
		s := newShelf(t)
		r.cfg.Blocks = s.bs
		var files []cid.Cid
		var roots []pin.DAG
		for i := range 300 {
			some := []cid.Cid{s.leaf(fmt.Sprint(i, "one")), s.leaf(fmt.Sprint(i, "two")), s.leaf(fmt.Sprint(i, "three"))}
			files = append(files, some...)
			roots = append(roots, pin.DAGOf(s.dir(some...)))
		}
		r.start()
		r.pin(roots...)
		r.wait(DefaultInterval + time.Hour)
		r.close()
		r.cfg.Strategy = Entities
		r.start()
		r.mu.Lock()
		r.most = 16
		r.mu.Unlock()
		told := func() (n int) {
			for _, c := range files {
				if _, sum := r.net.times(c.Hash()); sum > 0 {
					n++
				}
			}
			return n
		}
		r.wait(30 * time.Minute)
		if got := r.stats(); got.Keys != int64(len(roots)+len(files)) {
			t.Errorf("%d keys are told, want %d", got.Keys, len(roots)+len(files))
		}
		last, burst := 0, 0
		for range 23 {
			now := told()
			burst = max(burst, now-last)
			last = now
			r.wait(time.Hour)
		}
		if all := len(files); told() != all || burst > all/5 {
			t.Errorf("%d of %d are told after an interval, %d of them within an hour", told(), all, burst)
		}
	})
}

// How far the announcing is, which takes a look at each root that there is, is not asked for each DAG that is walked.
func TestWalksOfManySmallDAGs(t *testing.T) {
	bubble(t, 300, func(r *rig) {
		s := newShelf(t)
		var looks atomic.Int64
		away := newNetwork(40)
		away.up.Store(false)
		other := away.network("lan")
		other.Counts = func() bool { looks.Add(1); return false }
		r.cfg.Networks = append(r.cfg.Networks, other)
		r.cfg.Strategy, r.cfg.Blocks = All, s.bs
		r.start()
		r.wait(soon)
		var keys []multihash.Multihash
		for i := range 500 {
			leaf := s.leaf(fmt.Sprint(i))
			root := s.node(nil, leaf)
			keys = append(keys, root.Hash(), leaf.Hash())
			r.pin(pin.DAGOf(root))
		}
		looks.Store(0)
		r.wait(soon)
		r.told(1, keys...)
		if n := looks.Load(); n > 20 {
			t.Errorf("%d looks at how far it is, for 500 DAGs of two blocks", n)
		}
	})
}

// A walk that a kill cut short is done again.
func TestWalkIsDoneAgain(t *testing.T) {
	bubble(t, 100, func(r *rig) {
		s := newShelf(t)
		d := s.site("")
		r.cfg.Strategy, r.cfg.Blocks = All, s.bs
		r.start()
		r.wait(time.Hour)
		r.net.up.Store(false)
		r.pins.set(true, pin.DAGOf(d.root))
		r.kill()
		r.net.up.Store(true)
		r.start()
		r.wait(10 * time.Minute)
		for _, c := range d.all() {
			if least, _ := r.net.times(c.Hash()); least == 0 {
				t.Errorf("%s was not told", c)
			}
		}
	})
}
