package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// carOf makes a CARv1 of blocks that a world has.
func (w *world) carOf(roots []cid.Cid, all ...cid.Cid) part {
	w.t.Helper()
	var buf bytes.Buffer
	to, err := storage.NewWritable(&buf, roots, car.WriteAsCarV1(true), car.AllowDuplicatePuts(true))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range all {
		b, err := w.blocks.Get(w.t.Context(), c)
		if err == nil {
			err = to.Put(w.t.Context(), c.KeyString(), b.RawData())
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	if err := to.Finalize(); err != nil {
		w.t.Fatal(err)
	}
	return part{name: "x.car", kind: aFile, content: buf.String()}
}

func imported(t *testing.T, a answer) (roots []importedRoot, stats *importStats) {
	t.Helper()
	if a.status != http.StatusOK || a.trailer.Get(headerStreamError) != "" {
		t.Fatalf("answered %d %s, and behind it %q", a.status, a.body, a.trailer.Get(headerStreamError))
	}
	for dec := json.NewDecoder(bytes.NewReader(a.body)); ; {
		var e importEvent
		if err := dec.Decode(&e); errors.Is(err, io.EOF) {
			return roots, stats
		} else if err != nil {
			t.Fatalf("%v in %s", err, a.body)
		}
		if e.Root != nil {
			roots = append(roots, *e.Root)
		}
		if e.Stats != nil {
			stats = e.Stats
		}
	}
}

func TestDagImport(t *testing.T) {
	from := newWorld(t)
	one, two := from.file(numbered(2500)), from.file(numbered(1500))
	leaves := slices.Concat(cidsOf(one.Links()), cidsOf(two.Links()))
	w := newWorld(t)
	w.pinAll()
	first := from.carOf([]cid.Cid{one.Cid(), two.Cid()}, leaves...)
	second := from.carOf([]cid.Cid{two.Cid()}, two.Cid(), one.Cid(), leaves[0])
	roots, stats := imported(t, w.sendParts("alice", "dag/import", "stats=true&pin-name=mine", first, second))
	if want := []importedRoot{{Cid: one.Cid()}, {Cid: two.Cid()}}; !slices.Equal(roots, want) {
		t.Errorf("roots are %v, want %v", roots, want)
	}
	if stats == nil || stats.BlockCount != uint64(len(leaves))+3 || stats.BlockBytesCount == 0 {
		t.Errorf("stats are %+v", stats)
	}
	if pins := w.names("alice"); !slices.Equal(pins, []string{one.Cid().String() + " mine", two.Cid().String() + " mine"}) {
		t.Errorf("pinned %q", pins)
	}
	// What is not in the file is told of its root, and the others are pinned.
	w = newWorld(t)
	w.pinAll()
	lacking := from.carOf([]cid.Cid{one.Cid(), two.Cid()}, append(cidsOf(two.Links()), two.Cid(), one.Cid())...)
	roots, stats = imported(t, w.sendParts("alice", "dag/import", "", lacking))
	if len(roots) != 2 || !strings.Contains(roots[0].PinErrorMsg, "block was not found locally") || roots[1].PinErrorMsg != "" || stats != nil {
		t.Errorf("roots are %+v, stats %+v", roots, stats)
	}
	if pins := w.names("alice"); !slices.Equal(pins, []string{two.Cid().String() + " "}) {
		t.Errorf("pinned %q", pins)
	}
	absent := from.carOf([]cid.Cid{one.Cid()}, leaves...)
	w = newWorld(t)
	if roots, _ = imported(t, w.sendParts("alice", "dag/import", "", absent)); len(roots) != 1 || !strings.Contains(roots[0].PinErrorMsg, one.Cid().String()) {
		t.Errorf("a root that is not in the file: %+v", roots)
	}
	if pins := w.names("alice"); len(pins) != 0 || w.live != 0 {
		t.Errorf("pinned %q, and %d uploads are open", pins, w.live)
	}
}

func cidsOf(links []*ipld.Link) (all []cid.Cid) {
	for _, l := range links {
		all = append(all, l.Cid)
	}
	return all
}

func TestDagImportThatIsRefused(t *testing.T) {
	from := newWorld(t)
	root := from.file(numbered(2500))
	good := from.carOf([]cid.Cid{root.Cid()}, root.Cid())
	lying := good
	lying.content = good.content[:len(good.content)-1] + "?"
	cut := good
	cut.content = good.content[:len(good.content)-1]
	none := from.carOf(nil, root.Cid())
	big := from.big(t)
	for _, test := range []struct {
		query string
		car   part
		part  string
	}{
		{"", lying, "mismatch in content integrity"},
		{"", cut, "cut off"},
		{"", none, "no CAR has a root"},
		{"", big, "over 2MiB"},
		{"", part{name: "x", kind: aDir}, "expected a file handle"},
		{"pin-roots=false", good, "an account keeps what it has pinned"},
		{"local-only=true", good, "not whole"},
	} {
		w := newWorld(t)
		a := w.sendParts("alice", "dag/import", test.query, test.car)
		var e errorObject
		if err := json.Unmarshal(a.body, &e); err != nil || a.status != http.StatusBadRequest || !strings.Contains(e.Message, test.part) {
			t.Errorf("dag/import?%s is answered %d %s, want %q", test.query, a.status, a.body, test.part)
		}
		if pins := w.names("alice"); len(pins) != 0 || w.live != 0 {
			t.Errorf("pinned %q, and %d uploads are open", pins, w.live)
		}
	}
	w := newWorld(t)
	w.pinAll()
	if roots, _ := imported(t, w.sendParts("alice", "dag/import", "allow-big-block=true", big)); len(roots) != 1 || roots[0].PinErrorMsg != "" {
		t.Errorf("a big block that is allowed: %+v", roots)
	}
	w.refuse = &pin.QuotaError{Pins: true, Used: 1, Limit: 1}
	if a := w.sendParts("alice", "dag/import", "", good); a.status != http.StatusConflict {
		t.Errorf("over quota: %d %s", a.status, a.body)
	}
}

// big is a CAR with a block of more than 2 MiB.
func (w *world) big(t *testing.T) part {
	b := blocks.NewBlock(make([]byte, 2<<20+1))
	if err := w.blocks.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	raw := cid.NewCidV1(cid.Raw, b.Cid().Hash())
	return w.carOf([]cid.Cid{raw}, raw)
}

// The roots of all CARs of a call count together.
func TestDagImportOfTooManyRoots(t *testing.T) {
	w := newWorld(t)
	w.pinAll()
	cars := make([]part, 3)
	for i := range cars {
		roots := make([]cid.Cid, 400)
		for j := range roots {
			roots[j] = blocks.NewBlock(fmt.Appendf(nil, "%d %d", i, j)).Cid()
		}
		cars[i] = w.carOf(roots)
	}
	a := w.sendParts("alice", "dag/import", "", cars...)
	if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "more than the 1000 roots together") {
		t.Errorf("1,200 roots are answered %d %.300s", a.status, a.body)
	}
	if roots, _ := imported(t, w.sendParts("alice", "dag/import", "", cars[0], cars[1], cars[1], cars[0])); len(roots) != 800 {
		t.Errorf("of 800 roots, each sent twice, %d are answered", len(roots))
	}
}
