package node

import (
	"bytes"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/holdfast-ipfs/holdfast/node/dagtest"
)

// sentBlock is a block as a message has it.
func sentBlock(data []byte) []byte {
	b := protowire.AppendTag(nil, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte{1, 0x55, 0x12, 0x20})
	b = protowire.AppendTag(b, fieldData, protowire.BytesType)
	return protowire.AppendBytes(b, data)
}

// field is a field of a message.
func field(n protowire.Number, data []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), data)
}

// A block's size is believed only if the message is that block and little else.
func TestProvenSize(t *testing.T) {
	large := dagtest.Leaves(1, 5<<20)[0]
	data := large.RawData()
	block := field(fieldPayload, sentBlock(data))
	pending := protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 7)
	other := bytes.Clone(data)
	other[0]++
	truncated := cid.NewCidV1(cid.Raw, must(multihash.Encode(must(multihash.Decode(large.Cid().Hash())).Digest[:20], multihash.SHA2_256)))
	for name, c := range map[string]struct {
		message []byte
		want    cid.Cid
		proven  bool
	}{
		"the block":             {block, large.Cid(), true},
		"beside other fields":   {append(append(field(1, []byte{0x10, 0}), pending...), block...), large.Cid(), true},
		"under another codec":   {block, dagtest.Under(cid.DagProtobuf, large), true},
		"a shorter digest":      {block, truncated, true},
		"other bytes":           {field(fieldPayload, sentBlock(other)), large.Cid(), false},
		"beside another block":  {append(field(fieldPayload, sentBlock(other[:2<<20])), block...), large.Cid(), false},
		"cut off":               {block[:4<<20], large.Cid(), false},
		"without data":          {field(fieldPayload, field(1, data)), large.Cid(), false},
		"nothing":               {nil, large.Cid(), false},
		"a field of 8 bytes":    {append(protowire.AppendFixed64(protowire.AppendTag(nil, 9, protowire.Fixed64Type), 1), block...), large.Cid(), false},
		"a length of very many": {append(protowire.AppendTag(nil, fieldPayload, protowire.BytesType), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), large.Cid(), false},
		"longer than it is":     {field(fieldPayload, append(protowire.AppendVarint(protowire.AppendTag(nil, fieldData, protowire.BytesType), 6<<20), data...)), large.Cid(), false},
	} {
		size, err := provenSize(bytes.NewReader(c.message), uint64(len(c.message)), c.want)
		if c.proven != (err == nil) || c.proven && size != 5<<20 {
			t.Errorf("%s: %d, %v", name, size, err)
		}
	}
	if _, err := provenSize(bytes.NewReader(block), oversizedMost+1, large.Cid()); err == nil {
		t.Error("a message of any length is read")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
