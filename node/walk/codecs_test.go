package walk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// The walk tells all codecs that can be pinned apart.
func TestEveryCodecHasItsBit(t *testing.T) {
	var all codecs
	for _, codec := range pin.Codecs {
		c := codecOf(dagtest.Under(uint64(codec), dagtest.Raw("x")))
		if c == 0 || all&c != 0 {
			t.Errorf("%s has the bits %b", codec, c)
		}
		all |= c
	}
	if uint64(all) != markCodecs {
		t.Errorf("all have the bits %b", all)
	}
	if c := codecOf(dagtest.Under(uint64(multicodec.Car), dagtest.Raw("x"))); c != 0 {
		t.Errorf("CAR has the bits %b", c)
	}
}

// A DAG with a link that nobody can follow fails when the link is read: nothing else of
// its block is asked for, wherever the link stands.
func TestLinksThatCannotBeFollowed(t *testing.T) {
	leaves := dagtest.Leaves(300, 100)
	x := dagtest.Raw("x")
	for name, odd := range map[string]cid.Cid{
		"CAR":             dagtest.Under(uint64(multicodec.Car), x),
		"piece":           dagtest.Under(uint64(multicodec.FilCommitmentUnsealed), x),
		"libp2p-key":      dagtest.Under(cid.Libp2pKey, x),
		"codec 0":         dagtest.Under(0, x),
		"unknown":         dagtest.Under(0x3e7777, x),
		"inlined CAR":     dagtest.Identity(uint64(multicodec.Car), []byte("x")),
		"weak hash":       dagtest.Hashed(cid.Raw, multihash.MURMUR3X64_64, []byte("x")).Cid(),
		"inlined garbage": dagtest.Identity(cid.DagCBOR, []byte{0x81}),
		"below inlined":   dagtest.Identity(cid.DagProtobuf, dagtest.PBBytes("", x.Cid(), dagtest.Under(uint64(multicodec.Car), x))),
	} {
		for _, place := range []int{0, 150, 300} {
			t.Run(fmt.Sprintf("%s at %d", name, place), func(t *testing.T) {
				root := dagtest.CBOR("", slices.Insert(dagtest.CIDs(leaves), place, odd)...)
				s := newSetting(t, append(slices.Clone(leaves), x, root)...)
				_, err := s.run(t.Context(), newJob(root.Cid(), 1))
				var refused *pin.RefusedError
				names := odd.String()
				if name == "below inlined" {
					names = dagtest.Under(uint64(multicodec.Car), x).String()
				}
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), names) || !strings.Contains(err.Error(), root.Cid().String()) {
					t.Errorf("the error is %v", err)
				}
				if n := s.net.Asked(); n != 1 {
					t.Errorf("%d blocks were asked for", n)
				}
			})
		}
	}
}

// The same bytes are one block, and one node for each codec that they are read under.
func TestOneBlockUnderEveryCodec(t *testing.T) {
	b := dagtest.Raw("1") // a number in JSON
	var ls []cid.Cid
	for _, codec := range []multicodec.Code{multicodec.Json, multicodec.Raw, multicodec.DagJson} {
		ls = append(ls, dagtest.Under(uint64(codec), b))
	}
	all := []blocks.Block{b, dagtest.CBOR("", ls...)}
	s := newSetting(t, all...)
	s.mustWalk(t, all, 1)
	s.mustWalk(t, all, 2)
}
