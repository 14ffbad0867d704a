package store

import (
	"fmt"
	"slices"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/store/internal/roomtest"
)

// everyCodec is a DAG with a block under each codec that can be pinned.
func everyCodec(t *testing.T) []blocks.Block {
	t.Helper()
	leaf := dagtest.Raw("leaf")
	pb := dagtest.PB("", leaf.Cid())
	file := dagtest.Git("blob", "hello")
	tree := dagtest.Git("tree", "100644 file\x00"+string(dagtest.GitSum(file)))
	commit := dagtest.Git("commit", "tree "+dagtest.GitName(tree)+"\n\nfirst")
	all := []blocks.Block{
		leaf, pb, file, tree, commit,
		dagtest.Block(uint64(multicodec.Json), []byte(`{"a":1}`)), dagtest.Block(uint64(multicodec.Cbor), []byte{0xa1, 0x01, 0x02}),
		dagtest.JWS(pb.Cid()), dagtest.JSON("", pb.Cid()),
		// As no writer of today does it: a list without a length.
		dagtest.Block(cid.DagCBOR, slices.Concat([]byte{0x9f, 0xd8, 0x2a, 0x58, 0x25, 0}, leaf.Cid().Bytes(), []byte{0xff})),
	}
	seen := map[uint64]bool{}
	for _, b := range all {
		seen[b.Cid().Type()] = true
	}
	if len(seen) != len(pin.Codecs) {
		t.Fatalf("it has %d of %d codecs", len(seen), len(pin.Codecs))
	}
	return append(all, dagtest.CBOR("root", dagtest.CIDs(all)...))
}

// Blocks under every codec are held, verified, passed over, let go of and reclaimed, as
// roots and below one.
func TestEveryCodec(t *testing.T) {
	all := everyCodec(t)
	o := newOverlap(t, all...)
	var roots []pin.View
	for _, b := range all {
		v := o.add(roomtest.Account, b.Cid())
		o.awaitPinned(v)
		roots = append(roots, v)
	}
	o.holds(all...)
	report, err := o.s.Verify(t.Context(), func(d Damage) error { return fmt.Errorf("%s is %s", d.CID(), d.Kind) }, nil)
	if err != nil || report.Corrupt+report.Missing > 0 || report.Strays > 0 || int(report.Blocks) != len(all) {
		t.Errorf("the report is %+v, %v", report, err)
	}
	for _, v := range roots[:len(roots)-1] {
		o.remove(v)
	}
	o.holds(all...)
	o.remove(roots[len(roots)-1])
	o.holds()
}
