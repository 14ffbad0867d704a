package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/e2e/rig"
)

// halves is a DAG. One Kubo has only the nodes at its top, and another has everything.
type halves struct {
	top, whole *rig.Kubo
	s          *rig.Server
	c          *rig.Client
}

func startHalves(t *testing.T) *halves {
	t.Helper()
	h := &halves{top: startKubo(t, "has the top"), whole: startKubo(t, "has everything")}
	h.s = serve(t, newData(t))
	h.c = login(t, h.s)
	connect(t, h.top, h.s)
	return h
}

// share copies a block, as it is, to the Kubo that has the top.
func (h *halves) share(t *testing.T, cid, codec string) {
	t.Helper()
	block := must(h.whole.Block(t.Context(), cid))(t)
	if got := must(h.top.PutBlock(t.Context(), codec, block))(t); got != cid {
		t.Fatalf("block %s became %s", cid, got)
	}
}

// waitsForChildren pins a DAG of which only the top n blocks are available. It must not be pinned
// before the rest is available. Then it must read back whole.
func (h *halves) waitsForChildren(t *testing.T, cid string, n int) {
	t.Helper()
	ctx := within(t, 60*patience)
	made := must(h.c.Add(ctx, rig.Pin{CID: cid}))(t)
	var last rig.PinStatus
	err := rig.Poll(ctx, 10*time.Millisecond, func() (bool, error) {
		var err error
		last, err = h.c.Get(ctx, made.RequestID)
		return number(t, last.Info, "blocks") >= n || last.Status == "pinned" || last.Status == "failed", err
	})
	if err != nil {
		t.Fatalf("%v: waiting for the top of %s: %+v", err, cid, last)
	}
	// If this pin starts and ends now, the server had time for the rest of the other.
	marker := must(h.top.AddFile(ctx, rig.Random(600, 100_000), 16<<10))(t)
	pinned(t, h.c, rig.Pin{CID: marker}, 30*patience)
	if last = must(h.c.Get(ctx, made.RequestID))(t); last.Status != "pinning" {
		t.Fatalf("%s is %s without its children: %v", cid, last.Status, last.Info)
	}

	connect(t, h.whole, h.s)
	must(h.c.WaitStatus(ctx, made.RequestID, "pinned", 10*time.Millisecond))(t)
	sum := carHash(t, ctx, h.whole, cid)
	h.whole.Kill()
	h.top.Kill()
	sameFromHoldfast(t, ctx, h.s, map[string]string{cid: sum})
}

// TestRawThenDagPB pins the bytes of a dag-pb node as raw, which is one block,
// and then as dag-pb, which is a whole tree.
func TestRawThenDagPB(t *testing.T) {
	t.Parallel()
	h := startHalves(t)
	ctx := within(t, 120*patience)
	root := must(h.whole.AddFile(ctx, rig.Random(601, 200_000), 16<<10))(t)
	h.share(t, root, "dag-pb")
	pinned(t, h.c, rig.Pin{CID: must(rig.WithCodec(root, rig.CodecRaw))(t)}, 30*patience)
	h.waitsForChildren(t, root, 1)
}

// TestRawThenDagCBOR is the same with a dag-cbor node.
func TestRawThenDagCBOR(t *testing.T) {
	t.Parallel()
	h := startHalves(t)
	ctx := within(t, 120*patience)
	var links []string
	for i := range uint64(3) {
		links = append(links, fmt.Sprintf(`{"/":%q}`, must(h.whole.AddFile(ctx, rig.Random(602+i, 60_000), 16<<10))(t)))
	}
	root := must(h.whole.PutDAG(ctx, "dag-cbor", `{"list":[`+strings.Join(links, ",")+`]}`))(t)
	h.share(t, root, "dag-cbor")
	pinned(t, h.c, rig.Pin{CID: must(rig.WithCodec(root, rig.CodecRaw))(t)}, 30*patience)
	h.waitsForChildren(t, root, 1)
}

// TestDagPBAsDagCBOR pins bytes under their codec, and then under one that they are not of. The
// second fails, says why, and harms nothing.
func TestDagPBAsDagCBOR(t *testing.T) {
	t.Parallel()
	source := sharedSource(t)
	s := serve(t, allowPrivate(newData(t)))
	c := login(t, s)
	ctx := within(t, 90*patience)
	root := must(source.AddFile(ctx, rig.Random(606, 100_000), 16<<10))(t)
	pinned(t, c, rig.Pin{CID: root, Origins: source.Addrs}, 30*patience)
	wrong := must(rig.WithCodec(root, rig.CodecDagCBOR))(t)
	made := must(c.Add(ctx, rig.Pin{CID: wrong}))(t)
	failed := must(c.WaitStatus(ctx, made.RequestID, "failed", 10*time.Millisecond))(t)
	if !strings.Contains(failed.Info["status_details"], "dag-cbor") {
		t.Errorf("details %q do not name the codec", failed.Info["status_details"])
	}
	sameFromHoldfast(t, ctx, s, map[string]string{root: carHash(t, ctx, source, root)})
}

// TestOneNodeTwoCodecs pins a DAG that links to the same bytes twice, as raw and as dag-pb with
// children. The links come in both orders, since a walk may go either way.
func TestOneNodeTwoCodecs(t *testing.T) {
	t.Parallel()
	h := startHalves(t)
	ctx := within(t, 120*patience)
	var nodes, raws []string
	for i := range uint64(2) {
		node := must(h.whole.AddFile(ctx, rig.Random(607+i, 200_000), 16<<10))(t)
		nodes = append(nodes, node)
		raws = append(raws, must(rig.WithCodec(node, rig.CodecRaw))(t))
	}
	root := must(h.whole.PutDAG(ctx, "dag-cbor", fmt.Sprintf(`[{"/":%q},{"/":%q},{"/":%q},{"/":%q}]`,
		raws[0], nodes[0], nodes[1], raws[1])))(t)
	h.share(t, root, "dag-cbor")
	for _, node := range nodes {
		h.share(t, node, "dag-pb")
	}
	h.waitsForChildren(t, root, 1+len(nodes))
}
