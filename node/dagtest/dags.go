// Package dagtest makes DAGs for tests.
package dagtest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	"github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"
)

// Block makes a block of bytes under a codec, with SHA2-256.
func Block(codec uint64, data []byte) blocks.Block {
	return Hashed(codec, multihash.SHA2_256, data)
}

func Hashed(codec, hash uint64, data []byte) blocks.Block {
	c, err := cid.Prefix{Version: 1, Codec: codec, MhType: hash, MhLength: -1}.Sum(data)
	if err != nil {
		panic(err)
	}
	b, err := blocks.NewBlockWithCid(data, c)
	if err != nil {
		panic(err)
	}
	return b
}

func Raw(s string) blocks.Block { return Block(cid.Raw, []byte(s)) }

// Under is the CID of a block's bytes under another codec.
func Under(codec uint64, b blocks.Block) cid.Cid { return cid.NewCidV1(codec, b.Cid().Hash()) }

func PBBytes(data string, links ...cid.Cid) []byte {
	n, err := qp.BuildMap(dagpb.Type.PBNode, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "Links", qp.List(int64(len(links)), func(l datamodel.ListAssembler) {
			for _, c := range links {
				qp.ListEntry(l, qp.Map(1, func(m datamodel.MapAssembler) {
					qp.MapEntry(m, "Hash", qp.Link(cidlink.Link{Cid: c}))
				}))
			}
		}))
		qp.MapEntry(m, "Data", qp.Bytes([]byte(data)))
	})
	if err != nil {
		panic(err)
	}
	out, err := dagpb.AppendEncode(nil, n)
	if err != nil {
		panic(err)
	}
	return out
}

func PB(data string, links ...cid.Cid) blocks.Block {
	return Block(cid.DagProtobuf, PBBytes(data, links...))
}

// listNode is {"name": name, "links": [...]}, with the links two levels deep.
func listNode(name string, links ...cid.Cid) datamodel.Node {
	n, err := qp.BuildMap(basicnode.Prototype.Any, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "links", qp.List(int64(len(links)), func(l datamodel.ListAssembler) {
			for _, c := range links {
				qp.ListEntry(l, qp.Map(1, func(m datamodel.MapAssembler) {
					qp.MapEntry(m, "to", qp.Link(cidlink.Link{Cid: c}))
				}))
			}
		}))
		qp.MapEntry(m, "name", qp.String(name))
	})
	if err != nil {
		panic(err)
	}
	return n
}

func CBOR(name string, links ...cid.Cid) blocks.Block {
	var buf bytes.Buffer
	if err := dagcbor.Encode(listNode(name, links...), &buf); err != nil {
		panic(err)
	}
	return Block(cid.DagCBOR, buf.Bytes())
}

func JSON(name string, links ...cid.Cid) blocks.Block {
	var buf bytes.Buffer
	if err := dagjson.Encode(listNode(name, links...), &buf); err != nil {
		panic(err)
	}
	return Block(cid.DagJSON, buf.Bytes())
}

// JWS is a signed object about a block, in dag-jose.
func JWS(payload cid.Cid) blocks.Block {
	n, err := qp.BuildMap(basicnode.Prototype.Any, 2, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "payload", qp.Bytes(payload.Bytes()))
		qp.MapEntry(m, "signatures", qp.List(1, func(l datamodel.ListAssembler) {
			qp.ListEntry(l, qp.Map(1, func(m datamodel.MapAssembler) { qp.MapEntry(m, "signature", qp.Bytes([]byte("sig"))) }))
		}))
	})
	if err != nil {
		panic(err)
	}
	var buf bytes.Buffer
	if err := dagcbor.Encode(n, &buf); err != nil {
		panic(err)
	}
	return Block(uint64(multicodec.DagJose), buf.Bytes())
}

// Git is an object of Git: a blob, tree, commit or tag.
func Git(kind, body string) blocks.Block {
	return Hashed(cid.GitRaw, multihash.SHA1, fmt.Appendf(nil, "%s %d\x00%s", kind, len(body), body))
}

// GitSum is the SHA-1 by which Git names an object.
func GitSum(b blocks.Block) []byte { return b.Cid().Hash()[2:] }

// GitName is that SHA-1 in hexadecimal digits, as commits and tags have it.
func GitName(b blocks.Block) string { return hex.EncodeToString(GitSum(b)) }

// Identity is a CID that has its data in it.
func Identity(codec uint64, data []byte) cid.Cid {
	h, err := multihash.Sum(data, multihash.IDENTITY, -1)
	if err != nil {
		panic(err)
	}
	return cid.NewCidV1(codec, h)
}

// CIDs lists the CIDs of blocks.
func CIDs(bs []blocks.Block) []cid.Cid {
	out := make([]cid.Cid, len(bs))
	for i, b := range bs {
		out[i] = b.Cid()
	}
	return out
}

// Leaves makes n raw blocks of some size.
func Leaves(n, size int) []blocks.Block {
	random := rand.NewChaCha8([32]byte{byte(n), byte(size)})
	out := make([]blocks.Block, n)
	for i := range out {
		data := make([]byte, size)
		random.Read(data)
		out[i] = Block(cid.Raw, data)
	}
	return out
}

// Tree builds dag-pb nodes of at most width links over blocks; the root is
// last.
func Tree(over []blocks.Block, width int) []blocks.Block {
	all, level := over, over
	for len(level) > 1 {
		var next []blocks.Block
		for i := 0; i < len(level); i += width {
			next = append(next, PB("", CIDs(level[i:min(i+width, len(level))])...))
		}
		all, level = append(all[:len(all):len(all)], next...), next
	}
	return all
}

// Chain makes a linked list of n dag-pb nodes, the head last.
func Chain(n int) []blocks.Block {
	out := []blocks.Block{PB("end")}
	for i := 1; i < n; i++ {
		out = append(out, PB(fmt.Sprint(i), out[i-1].Cid()))
	}
	return out
}

func Last(bs []blocks.Block) cid.Cid { return bs[len(bs)-1].Cid() }

// Unique leaves out blocks whose bytes were there before.
func Unique(bs []blocks.Block) []blocks.Block {
	seen := make(map[string]bool)
	var out []blocks.Block
	for _, b := range bs {
		if key := string(b.Cid().Hash()); !seen[key] {
			seen[key] = true
			out = append(out, b)
		}
	}
	return out
}

// Distinct counts blocks and bytes by multihash.
func Distinct(bs []blocks.Block) (n, size int) {
	for _, b := range Unique(bs) {
		n, size = n+1, size+len(b.RawData())
	}
	return n, size
}
