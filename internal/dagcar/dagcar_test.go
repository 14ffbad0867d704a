package dagcar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/node/links"
	"github.com/holdfast-ipfs/holdfast/node/seen"
)

// shelf is blocks in memory, by multihash.
type shelf struct {
	all  map[string][]byte
	bad  map[string]error // what cannot be read
	uses int              // how often it was looked into
	read int              // how many blocks were read
}

func newShelf(bs ...blocks.Block) *shelf {
	s := &shelf{all: map[string][]byte{}, bad: map[string]error{}}
	for _, b := range bs {
		s.all[string(b.Cid().Hash())] = b.RawData()
	}
	return s
}

func (s *shelf) source(_ context.Context, _ cid.Cid, use func(func(cid.Cid, func(int) []byte) ([]byte, error)) error) error {
	s.uses++
	return use(func(c cid.Cid, room func(int) []byte) ([]byte, error) {
		if data, ok := links.Inline(c); ok {
			return append(room(len(data))[:0], data...), nil
		}
		if err := s.bad[string(c.Hash())]; err != nil {
			return nil, err
		}
		s.read++
		data, ok := s.all[string(c.Hash())]
		if !ok {
			return nil, fmt.Errorf("%s is not there", c)
		}
		return append(room(len(data))[:0], data...), nil
	})
}

func allLinks(from Link, data []byte) ([]Link, error) {
	cids, err := links.Of(from.CID, data)
	out := make([]Link, len(cids))
	for i, c := range cids {
		out[i].CID = c
	}
	return out, err
}

func newSeen(t *testing.T) Seen {
	s := seen.New(t.TempDir(), func() int { return 100 }) // so that most are in files
	t.Cleanup(func() { s.Close() })
	return s
}

// carBlocks reads a CAR, and checks each block against its hash.
func carBlocks(t *testing.T, data []byte) (got []cid.Cid) {
	t.Helper()
	r, err := car.NewBlockReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatalf("after %d blocks: %v", len(got), err)
		}
		got = append(got, b.Cid())
	}
}

// walked is what a CAR should have, by the simplest walk that there is.
func (s *shelf) walked(root cid.Cid, once bool) (want []cid.Cid) {
	was := map[cid.Cid]bool{}
	var visit func(c cid.Cid)
	visit = func(c cid.Cid) {
		if once && was[c] {
			return
		}
		was[c] = true
		want = append(want, c)
		data, ok := links.Inline(c)
		if !ok {
			data = s.all[string(c.Hash())]
		}
		below, err := links.Of(c, data)
		if err != nil {
			panic(err)
		}
		for _, c := range below {
			visit(c)
		}
	}
	visit(root)
	return want
}

// anyDAG makes a DAG of some hundred blocks of all kinds and sizes, of which some are linked to
// many times.
func anyDAG(r *rand.Rand) (all []blocks.Block) {
	leaf := func() blocks.Block {
		data := make([]byte, r.IntN(9000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		return dagtest.Block(cid.Raw, data)
	}
	for range 150 {
		all = append(all, leaf())
	}
	all = append(all, dagtest.Block(cid.Raw, bytes.Repeat([]byte{7}, 3*pieceSize)), dagtest.Raw(""))
	for i := range 100 {
		var below []cid.Cid
		for range r.IntN(8) {
			c := all[len(all)-1-r.IntN(min(40+i, len(all)))].Cid()
			if c.Type() == cid.DagCBOR && r.IntN(10) == 0 {
				c = dagtest.Under(cid.Raw, all[0]) // some blocks are under two codecs
			}
			below = append(below, c)
		}
		if r.IntN(5) == 0 {
			below = append(below, dagtest.Identity(cid.Raw, fmt.Append(nil, i)))
		}
		if r.IntN(2) == 0 {
			all = append(all, dagtest.PB(fmt.Sprint(i), below...))
		} else {
			all = append(all, dagtest.CBOR(fmt.Sprint(i), below...))
		}
	}
	return append(all, dagtest.PB("root", dagtest.CIDs(all[len(all)-60:])...))
}

func TestWritesAllInOrder(t *testing.T) {
	for seed := range uint64(8) {
		all := anyDAG(rand.New(rand.NewPCG(seed, 1)))
		s := newShelf(all...)
		root := dagtest.Last(all)
		var out bytes.Buffer
		if err := Write(t.Context(), &out, Link{CID: root}, Config{Source: s.source, Links: allLinks, Seen: newSeen(t)}); err != nil {
			t.Fatal(err)
		}
		if got, want := carBlocks(t, out.Bytes()), s.walked(root, true); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %d blocks, want %d", seed, len(got), len(want))
		}
		if limit := out.Len()/pieceSize + 2; s.uses > limit {
			t.Errorf("%d bytes took %d looks, want %d at most", out.Len(), s.uses, limit)
		}
	}
}

func TestWritesDuplicates(t *testing.T) {
	leaf := dagtest.Raw("x")
	mid := dagtest.PB("m", leaf.Cid(), leaf.Cid())
	root := dagtest.PB("r", mid.Cid(), leaf.Cid(), mid.Cid())
	s := newShelf(leaf, mid, root)
	var out bytes.Buffer
	if err := Write(t.Context(), &out, Link{CID: root.Cid()}, Config{Source: s.source, Links: allLinks}); err != nil {
		t.Fatal(err)
	}
	if got, want := carBlocks(t, out.Bytes()), s.walked(root.Cid(), false); !slices.Equal(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
}

// A block that comes again under another codec is followed, and written again only if that is
// asked for.
func TestByHash(t *testing.T) {
	leaf := dagtest.Raw("leaf")
	node := dagtest.PB("node", leaf.Cid())
	inline := dagtest.Identity(cid.DagProtobuf, dagtest.PBBytes("in", dagtest.Raw("below").Cid()))
	root := dagtest.PB("root", dagtest.Under(cid.Raw, node), node.Cid(), inline)
	s := newShelf(leaf, node, root, dagtest.Raw("below"))
	for _, c := range []struct {
		byHash bool
		want   []cid.Cid
	}{
		{true, []cid.Cid{root.Cid(), dagtest.Under(cid.Raw, node), leaf.Cid(), dagtest.Raw("below").Cid()}},
		{false, []cid.Cid{root.Cid(), dagtest.Under(cid.Raw, node), node.Cid(), leaf.Cid(), inline, dagtest.Raw("below").Cid()}},
	} {
		var out bytes.Buffer
		if err := Write(t.Context(), &out, Link{CID: root.Cid()}, Config{Source: s.source, Links: allLinks, Seen: newSeen(t), ByHash: c.byHash}); err != nil {
			t.Fatal(err)
		}
		if got := carBlocks(t, out.Bytes()); !slices.Equal(got, c.want) {
			t.Errorf("by hash %v: %v, want %v", c.byHash, got, c.want)
		}
	}
}

// A block that cannot be read ends the CAR with an error. What comes before it is sent; without
// the root, nothing is.
func TestUnreadableBlock(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(300, 5000), 10)
	want := errors.New("the disk is gone")
	for i, at := range []int{len(all) - 1, 299, 150} {
		s := newShelf(all...)
		s.bad[string(all[at].Cid().Hash())] = want
		var out bytes.Buffer
		err := Write(t.Context(), &out, Link{CID: dagtest.Last(all)}, Config{Source: s.source, Links: allLinks, Seen: newSeen(t)})
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
		if i == 0 && out.Len() > 0 {
			t.Errorf("%d bytes were written without the root", out.Len())
		}
		if i > 0 && slices.Contains(carBlocks(t, out.Bytes()), all[at].Cid()) {
			t.Error("what cannot be read is there")
		}
	}
}

// sink takes some bytes, and then fails.
type sink struct {
	left int
	err  error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.left -= len(p); s.left < 0 {
		return 0, s.err
	}
	return len(p), nil
}

// A client that hangs up ends the reading: soon, and before Write returns.
func TestClientHangsUp(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(2000, 5000), 100)
	s := newShelf(all...)
	gone := errors.New("the client is gone")
	err := Write(t.Context(), &sink{pieceSize * 2, gone}, Link{CID: dagtest.Last(all)}, Config{Source: s.source, Links: allLinks, Seen: newSeen(t)})
	if !errors.Is(err, gone) {
		t.Errorf("%v, want %v", err, gone)
	}
	if limit := 5 * pieceSize / 5000; s.read > limit { // the race detector sees a reader that goes on
		t.Errorf("%d blocks were read, want %d at most", s.read, limit)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	all := dagtest.Tree(dagtest.Leaves(2000, 5000), 100)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	stop := writerFunc(func(p []byte) (int, error) {
		if n++; n == 2 {
			cancel()
		}
		return len(p), nil
	})
	err := Write(ctx, stop, Link{CID: dagtest.Last(all)}, Config{Source: newShelf(all...).source, Links: allLinks, Seen: newSeen(t)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A panic of what reads comes to the caller, not to a goroutine that ends the process.
func TestPanics(t *testing.T) {
	root := dagtest.PB("root", dagtest.Raw("a").Cid())
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "out of order") {
			t.Errorf("it panics with %v", p)
		}
	}()
	_ = Write(t.Context(), io.Discard, Link{CID: root.Cid()}, Config{
		Source: newShelf(root).source, Seen: newSeen(t),
		Links: func(Link, []byte) ([]Link, error) { panic("out of order") },
	})
}

// Of links above the limit only the place is kept, and nothing is lost by that.
func TestHoldsSoManyLinks(t *testing.T) {
	leaves := dagtest.Leaves(50, 10)
	all := slices.Clone(leaves)
	const limit, levels, wide = 3000, 8, 1000
	top := dagtest.Raw("bottom")
	all = append(all, top)
	for i := range levels {
		below := []cid.Cid{top.Cid()}
		for len(below) < wide {
			below = append(below, leaves[i].Cid())
		}
		top = dagtest.PB(fmt.Sprint(i), append(below, leaves[20+i].Cid())...)
		all = append(all, top)
	}
	s := newShelf(all...)
	largest := 0
	st := &stream{Config: Config{Source: s.source, Links: allLinks, Seen: newSeen(t)}, ctx: t.Context(), root: Link{CID: top.Cid()}, maxHeld: limit}
	st.path = []level{{links: []Link{st.root}}}
	st.held = 1
	if err := st.begin(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for len(st.path) > 0 {
		err := s.source(t.Context(), top.Cid(), func(read func(cid.Cid, func(int) []byte) ([]byte, error)) error {
			return st.fill(func(c cid.Cid, room func(int) []byte) ([]byte, error) {
				largest = max(largest, st.held)
				return read(c, room)
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(st.buf)
		st.buf = st.buf[:0]
	}
	if largest > limit {
		t.Errorf("%d links were held", largest)
	}
	if st.held != 0 {
		t.Errorf("%d links are held at the end", st.held)
	}
	if got, want := carBlocks(t, out.Bytes()), s.walked(top.Cid(), true); !slices.Equal(got, want) {
		t.Errorf("%d blocks, want %d", len(got), len(want))
	}
}

// Each number of Seen has a bit for each codec.
func TestManyCodecs(t *testing.T) {
	s := &stream{Config: Config{Seen: newSeen(t)}}
	b := dagtest.Raw("x")
	for codec := range uint64(maxCodecs) {
		c := cid.NewCidV1(codec, b.Cid().Hash())
		for _, want := range []bool{true, false} {
			write, enter, err := s.isNew(Link{CID: c}, false)
			if err != nil || write != want || enter != want {
				t.Fatalf("codec %d: %v %v %v, want %v", codec, write, enter, err, want)
			}
		}
	}
	if _, _, err := s.isNew(Link{CID: cid.NewCidV1(1000, b.Cid().Hash())}, false); err == nil {
		t.Error("one codec more is taken")
	}
}

// A block that has other links at another place is written once, and entered each time.
func TestAgain(t *testing.T) {
	s := &stream{Config: Config{Seen: newSeen(t), ByHash: true}}
	c := dagtest.Raw("x").Cid()
	for i, want := range []struct{ again, write, enter bool }{
		{true, true, true}, {true, false, true}, {false, false, true}, {true, false, true}, {false, false, false},
	} {
		write, enter, err := s.isNew(Link{CID: c, Again: want.again}, false)
		if err != nil || write != want.write || enter != want.enter {
			t.Fatalf("time %d: %v %v %v, want %v", i, write, enter, err, want)
		}
	}
	s.again = maxAgain
	if _, _, err := s.isNew(Link{CID: c, Again: true}, false); err == nil {
		t.Error("it is entered without a limit")
	}
}
