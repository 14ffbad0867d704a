package walk

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// The first link is fetched first, so that a file comes from its beginning.
func TestLinksKeepTheirOrder(t *testing.T) {
	ls := dagtest.CIDs(dagtest.Leaves(5, 10))
	for codec, b := range map[codecs]blocks.Block{
		codecDagPB:   dagtest.PB("", ls...),
		codecDagCBOR: dagtest.CBOR("", ls...),
		codecDagJSON: dagtest.JSON("", ls...),
	} {
		got, err := links(b.Cid(), codec, b.RawData())
		if err != nil || !slices.Equal(got, ls) {
			t.Errorf("%s: %v, %v", codec, got, err)
		}
	}
	if got, err := links(ls[0], codecRaw, dagtest.PBBytes("", ls...)); err != nil || len(got) > 0 {
		t.Errorf("raw: %v, %v", got, err)
	}
}

// What is nested without end is refused before it fills the stack.
func TestDeeplyNestedBlocksAreRefused(t *testing.T) {
	const deep = 1 << 20
	for codec, data := range map[codecs][]byte{
		codecDagCBOR: bytes.Repeat([]byte{0x81}, deep),
		codecDagJSON: []byte(strings.Repeat("[", deep)),
	} {
		var refused *pin.RefusedError
		if _, err := links(cid.Undef, codec, data); !errors.As(err, &refused) {
			t.Errorf("%s: %v", codec, err)
		}
	}
}

// Whatever a block holds, it is refused or it gives links that a walk can use.
func FuzzLinks(f *testing.F) {
	leaf := dagtest.Raw("leaf").Cid()
	for codec, b := range map[codecs]blocks.Block{
		codecDagPB:   dagtest.PB("data", leaf, dagtest.Identity(cid.Raw, []byte("x"))),
		codecDagCBOR: dagtest.CBOR("name", leaf),
		codecDagJSON: dagtest.JSON("name", leaf),
	} {
		f.Add(uint8(codec), b.RawData())
	}
	f.Fuzz(func(t *testing.T, codec uint8, data []byte) {
		for one := range (codecs(codec) & codecs(markCodecs)).each {
			got, err := links(leaf, one, data)
			var refused *pin.RefusedError
			if err != nil && !errors.As(err, &refused) {
				t.Fatalf("the error is not a refusal: %v", err)
			}
			for _, c := range got {
				if !c.Defined() {
					t.Fatal("a link to nothing")
				}
				if err := check(c); err != nil && !errors.As(err, &refused) {
					t.Fatalf("the error is not a refusal: %v", err)
				}
			}
		}
	})
}

// What a root says of its size is taken from its links, if all of them say so.
func TestClaimedSize(t *testing.T) {
	link := func(size string) []byte { // PBLink: Hash, Tsize
		c := dagtest.Raw("x").Cid().Bytes()
		b := append([]byte{0x0a, byte(len(c))}, c...)
		return append(append([]byte{0x12, byte(len(b) + len(size))}, b...), size...)
	}
	for what, c := range map[string]struct {
		codec codecs
		data  []byte
		want  uint64
	}{
		"raw":          {codecRaw, []byte("abc"), 3},
		"no links":     {codecDagPB, dagtest.PBBytes("abc"), 5},
		"one":          {codecDagPB, link("\x18\x64"), 142},
		"one of two":   {codecDagPB, append(link("\x18\x64"), link("")...), 0},
		"not a number": {codecDagPB, []byte{0xff}, 0},
		"another":      {codecDagCBOR, []byte{0x80}, 0},
	} {
		if got := claimedSize(c.codec, c.data); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
}

// each yields the codecs of the set one by one.
func (s codecs) each(yield func(codecs) bool) {
	for one := codecRaw; one <= codecDagJSON; one <<= 1 {
		if s&one != 0 && !yield(one) {
			return
		}
	}
}
