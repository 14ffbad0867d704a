package walk

import (
	"bytes"
	"fmt"
	"io"

	"github.com/ipfs/boxo/verifcid"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	"github.com/ipld/go-ipld-prime/datamodel"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/ipld/go-ipld-prime/traversal"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/pin"
)

// codecs is a set of the codecs that the walk can read, one bit each.
type codecs uint8

const (
	codecRaw codecs = 1 << iota
	codecDagPB
	codecDagCBOR
	codecDagJSON
)

// codecOf gives the set of c's codec alone, or 0 if the walk cannot read it.
func codecOf(c cid.Cid) codecs {
	switch c.Type() {
	case cid.Raw:
		return codecRaw
	case cid.DagProtobuf:
		return codecDagPB
	case cid.DagCBOR:
		return codecDagCBOR
	case cid.DagJSON:
		return codecDagJSON
	}
	return 0
}

func (s codecs) String() string {
	switch s {
	case codecRaw:
		return "raw"
	case codecDagPB:
		return "dag-pb"
	case codecDagCBOR:
		return "dag-cbor"
	case codecDagJSON:
		return "dag-json"
	}
	return fmt.Sprintf("codecs %b", uint8(s))
}

// check refuses a CID that no DAG may hold here: its codec or its hash.
func check(c cid.Cid) error {
	if codecOf(c) == 0 {
		return pin.Refused("block %s has the codec 0x%x, which cannot be read here; dag-pb, dag-cbor, dag-json and raw can", c, c.Type())
	}
	if err := verifcid.ValidateCid(verifcid.DefaultAllowlist, c); err != nil {
		return pin.Refused("block %s has a hash that is not accepted: %v", c, err)
	}
	return nil
}

// inline gives the data of an identity CID, which is its own block.
func inline(c cid.Cid) (data []byte, ok bool) {
	if !c.Defined() || c.Prefix().MhType != multihash.IDENTITY {
		return nil, false
	}
	d, err := multihash.Decode(c.Hash())
	if err != nil {
		return nil, false
	}
	return d.Digest, true
}

// IsInline reports whether c is its own block.
func IsInline(c cid.Cid) bool {
	_, ok := inline(c)
	return ok
}

// isEmpty reports whether c is the CID of no bytes at all. Many servers never
// send that block, and nobody needs them to. A hash that cannot be computed
// here, and so never checked, is refused.
func isEmpty(c cid.Cid) (bool, error) {
	empty, err := c.Prefix().Sum(nil)
	if err != nil {
		return false, pin.Refused("block %s has a hash that cannot be computed here: %v", c, err)
	}
	return empty.Equals(c), nil
}

// links gives what a block links to, in order, read under one codec. A block
// that does not decode is refused; c names it in the reason.
func links(c cid.Cid, codec codecs, data []byte) ([]cid.Cid, error) {
	var (
		out []cid.Cid
		err error
	)
	switch codec {
	case codecRaw:
		return nil, nil
	case codecDagPB:
		out, err = linksPB(data)
	case codecDagCBOR:
		out, err = linksPrime(data, dagcbor.Decode)
	case codecDagJSON:
		out, err = linksPrime(data, dagjson.Decode)
	}
	if err != nil {
		return nil, pin.Refused("block %s does not decode as %s: %v", c, codec, err)
	}
	return out, nil
}

func linksPB(data []byte) ([]cid.Cid, error) {
	nb := dagpb.Type.PBNode.NewBuilder()
	if err := dagpb.DecodeBytes(nb, data); err != nil {
		return nil, err
	}
	list := nb.Build().(dagpb.PBNode).FieldLinks()
	out := make([]cid.Cid, 0, list.Length())
	for it := list.Iterator(); !it.Done(); {
		_, l := it.Next()
		out = append(out, l.FieldHash().Link().(cidlink.Link).Cid)
	}
	return out, nil
}

// claimedSize gives how many bytes a DAG has as its root says: what dag-pb's links call
// Tsize, which nobody checks and which counts what is there twice twice. 0 is that it
// does not say.
func claimedSize(codec codecs, data []byte) uint64 {
	sum := uint64(len(data))
	switch codec {
	case codecRaw:
		return sum
	case codecDagPB:
	default:
		return 0
	}
	nb := dagpb.Type.PBNode.NewBuilder()
	if err := dagpb.DecodeBytes(nb, data); err != nil {
		return 0
	}
	for it := nb.Build().(dagpb.PBNode).FieldLinks().Iterator(); !it.Done(); {
		_, l := it.Next()
		size := l.FieldTsize()
		if !size.Exists() || size.Must().Int() < 0 {
			return 0
		}
		sum += uint64(size.Must().Int())
	}
	return sum
}

func linksPrime(data []byte, decode func(datamodel.NodeAssembler, io.Reader) error) ([]cid.Cid, error) {
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := decode(nb, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	found, err := traversal.SelectLinks(nb.Build())
	if err != nil {
		return nil, err
	}
	out := make([]cid.Cid, len(found))
	for i, l := range found {
		out[i] = l.(cidlink.Link).Cid
	}
	return out, nil
}

// Links gives what a block links to under its CID's codec, in order. Errors:
// [*pin.RefusedError].
func Links(b blocks.Block) ([]cid.Cid, error) { return links(b.Cid(), codecOf(b.Cid()), b.RawData()) }
