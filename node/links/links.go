package links

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/ipfs/boxo/verifcid"
	"github.com/ipfs/go-cid"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	primejson "github.com/ipld/go-ipld-prime/codec/json"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/jsonblock"
	"github.com/holdfast-ipfs/holdfast/pin"
)

// Of gives what a block links to, read under the codec of its CID: in the order of the
// block, and as often as it does. It does not ask whether the links can be followed; that
// is for [Check]. What it takes in memory is bounded by a small multiple of the block's
// size. Errors: [*pin.RefusedError], which names the CID.
func Of(c cid.Cid, data []byte) (found []cid.Cid, err error) {
	codec := multicodec.Code(c.Type())
	switch codec {
	case multicodec.Raw:
		return nil, nil
	case multicodec.DagPb:
		found, err = fromPB(data)
	case multicodec.DagCbor:
		found, err = fromCBOR(data)
	case multicodec.DagJson:
		found, err = fromDagJSON(data)
	case multicodec.DagJose:
		found, err = fromJOSE(data)
	case multicodec.GitRaw:
		found, err = fromGit(data)
	case multicodec.Cbor:
		if found, err = fromCBOR(data); len(found) > 0 {
			found, err = nil, errors.New("it has a link, which plain cbor cannot have; dag-cbor can")
		}
	case multicodec.Json:
		err = checkJSON(data)
	default:
		return nil, Check(c)
	}
	if err != nil {
		return nil, pin.Refused("block %s does not decode as %s: %v", c, codec, err)
	}
	return found, nil
}

// Check refuses a CID that no DAG may hold here, for its codec or its hash function.
// Errors: [*pin.RefusedError], which names the CID.
func Check(c cid.Cid) error {
	if !pin.CanRead(c.Type()) {
		codec := multicodec.Code(c.Type())
		return pin.Refused("block %s has the codec %s (0x%x), which cannot be read here; %s can", c, codec, c.Type(), pin.CodecNames())
	}
	if err := verifcid.ValidateCid(verifcid.DefaultAllowlist, c); err != nil {
		return pin.Refused("block %s has a hash that is not accepted: %v", c, err)
	}
	return nil
}

// Inline gives the data of an identity CID, which is its own block. ok is false if c is
// none.
func Inline(c cid.Cid) (data []byte, ok bool) {
	if !c.Defined() || c.Prefix().MhType != multihash.IDENTITY {
		return nil, false
	}
	d, err := multihash.Decode(c.Hash())
	if err != nil {
		return nil, false
	}
	return d.Digest, true
}

// ClaimedSize gives how many bytes a DAG has according to its root: the sum of what the
// links of dag-pb call Tsize. Nobody checks that, and it counts twice what is there
// twice. 0 means that the root does not say.
func ClaimedSize(c cid.Cid, data []byte) uint64 {
	sum := uint64(len(data))
	switch c.Type() {
	case cid.Raw:
		return sum
	case cid.DagProtobuf:
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

func fromPB(data []byte) ([]cid.Cid, error) {
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

func fromDagJSON(data []byte) ([]cid.Cid, error) {
	if err := jsonblock.Check(data, jsonblock.Limits{Links: true}); err != nil {
		return nil, err
	}
	var found linkCollector
	if err := dagjson.Decode(&found, bytes.NewReader(data)); err != nil {
		return nil, err
	}
	return found.cids, nil
}

// checkJSON sees to it that a block is JSON, which has no links.
func checkJSON(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	// What Kubo accepts is accepted, and its decoder says what is wrong.
	return primejson.Decode(new(linkCollector), bytes.NewReader(data))
}
