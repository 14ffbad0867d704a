package rpc

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/ipfs/boxo/files"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/multicodec"
	"github.com/ipld/go-ipld-prime/node/basicnode"
	codec "github.com/multiformats/go-multicodec"
	"github.com/multiformats/go-multihash"

	"github.com/holdfast-ipfs/holdfast/internal/jsonblock"
	"github.com/holdfast-ipfs/holdfast/upload"
)

// ofPut are the parameters of block/put and dag/put. In Kubo what is put is not pinned unless
// that is asked for; here it has to be.
func ofPut(more ...param) []param {
	return append(more, takes(boolean, "pin"), takes(boolean, "allow-big-block"))
}

// block is a block that was made of what a client sent.
type block struct {
	cid  cid.Cid
	data []byte
}

// blockPut puts blocks as they are, and pins each.
func blockPut(q *call) error {
	prefix, err := q.blockPrefix()
	if err != nil {
		return err
	}
	return q.putAll("data", func(f io.Reader) (b block, err error) {
		if b.data, err = q.readBlock(f); err == nil {
			b.cid, err = prefix.Sum(b.data)
		}
		return b, err
	}, func(b block) any { return putBlock{q.cids.Encode(b.cid), len(b.data)} })
}

// putBlock is what block/put tells of a block.
type putBlock struct {
	Key  string
	Size int
}

// blockPrefix says how the CID of a block is made, as Kubo's parameters have it.
func (q *call) blockPrefix() (cid.Prefix, error) {
	name, mhtype, format := "raw", "sha2-256", q.values["format"]
	if n := q.values["cid-codec"]; n != "" {
		name = n
	}
	if n := q.values["mhtype"]; n != "" {
		mhtype = n
	}
	p := cid.Prefix{Version: 1, MhLength: int(q.values.number("mhlen", -1))}
	switch {
	case format != "" && name != "raw":
		return p, refuse("unable to use \"format\" (deprecated) and a custom \"cid-codec\" at the same time")
	case format == "v0":
		p.Version, name = 0, "dag-pb"
	case format == "protobuf":
		name = "dag-pb"
	case format == "cbor":
		name = "dag-cbor"
	case format != "":
		name = format
	}
	c, err := codecNamed("cid-codec", name)
	if err != nil {
		return p, err
	}
	hash, ok := multihash.Names[mhtype]
	if !ok {
		return p, refuse("unrecognized multihash function: %s", shorten(mhtype))
	}
	p.Codec, p.MhType = c, hash
	if p.Version == 0 && (p.MhType != multihash.SHA2_256 || p.MhLength != 32 && p.MhLength != -1) {
		return p, refuse("CIDv0 only supports sha2-256")
	}
	return p, nil
}

// codecNamed is the codec that a parameter names, by its name or number.
func codecNamed(param, name string) (uint64, error) {
	var c codec.Code
	if err := c.Set(name); err != nil {
		return 0, refuse("parameter %q: %v", param, err)
	}
	return uint64(c), nil
}

// dagPut reads nodes under one codec, writes them under another, and pins each.
func dagPut(q *call) error {
	names := map[string]string{"store-codec": "dag-cbor", "input-codec": "dag-json", "hash": "sha2-256"}
	codes := map[string]uint64{}
	for param, name := range names {
		if given := q.values[param]; given != "" {
			name = given
		}
		c, err := codecNamed(param, name)
		if err != nil {
			return err
		}
		codes[param] = c
	}
	decode, err := multicodec.LookupDecoder(codes["input-codec"])
	if err != nil {
		return refuse("parameter \"input-codec\": %v", err)
	}
	encode, err := multicodec.LookupEncoder(codes["store-codec"])
	if err != nil {
		return refuse("parameter \"store-codec\": %v", err)
	}
	prefix := cid.Prefix{Version: 1, Codec: codes["store-codec"], MhType: codes["hash"], MhLength: -1}
	return q.putAll("object data", func(f io.Reader) (b block, err error) {
		input, err := q.readBlock(f)
		if err != nil {
			return b, err
		}
		if in := codec.Code(codes["input-codec"]); in == codec.DagJson || in == codec.Json {
			l := jsonblock.Limits{Links: in == codec.DagJson, Tokens: maxTokens}
			if err := jsonblock.Check(input, l); err != nil {
				return b, err
			}
		}
		nb := basicnode.Prototype.Any.NewBuilder()
		if err := decode(nb, bytes.NewReader(input)); err != nil {
			return b, err
		}
		var out bytes.Buffer
		if err := encode(nb.Build(), &out); err != nil {
			return b, err
		}
		b.data = out.Bytes()
		b.cid, err = prefix.Sum(b.data)
		return b, err
	}, func(b block) any { return struct{ Cid cid.Cid }{b.cid} })
}

// maxTokens bounds a node that is read from JSON: each token takes some 100 bytes of memory, so
// the node takes some 25 MB. JSON of 8 MiB may have so many that they take hundreds.
const maxTokens = 256 << 10

// maxBlock is what is read of a block, or of the text of a node, at most: it is in memory as a
// whole.
const maxBlock = 8 << 20

// readBlock reads all of a part. Errors: *upload.InvalidError; *upload.ReadError.
func (q *call) readBlock(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBlock+1))
	switch {
	case err != nil:
		return nil, &upload.ReadError{Err: err}
	case len(data) > maxBlock:
		return nil, &upload.InvalidError{Reason: "it has more than " + strconv.Itoa(maxBlock) + " bytes"}
	}
	return data, nil
}

// putAll makes a block of each file, puts and pins it, and tells of it.
func (q *call) putAll(arg string, read func(io.Reader) (block, error), tell func(block) any) error {
	if !q.values.is("pin", false) {
		return refuse("parameter \"pin\" must be \"true\": %s", unpinned)
	}
	top, err := q.files(arg)
	if err != nil {
		return err
	}
	return q.upload(func(u Upload) error {
		some := false
		entries := top.Entries()
		for entries.Next() {
			f, ok := entries.Node().(files.File)
			if !ok {
				return refuse("expected a regular file")
			}
			b, err := read(f)
			if err != nil {
				return badBlock(err)
			}
			if len(b.data) > upload.SoftBlockLimit && !q.values.is("allow-big-block", false) {
				return refuse("%s", upload.BigBlock)
			}
			if err := canPin(b.cid); err != nil {
				return err
			}
			if err := u.Put(q.ctx, b.cid, b.data); err != nil {
				return err
			}
			if err := u.Flush(q.ctx); err != nil {
				return err
			}
			if err := q.pinRoot(u, b.cid, "", false); err != nil {
				return err
			}
			if err := q.out.emit(tell(b)); err != nil {
				return err
			}
			some = true
		}
		if err := entries.Err(); err != nil {
			return &upload.ReadError{Err: err}
		}
		if !some {
			return refuse("file argument '%s' is required", arg)
		}
		q.out.end()
		return nil
	})
}

// badBlock makes an error of a codec or a hash one that the client may see.
func badBlock(err error) error {
	if f, ok := sent(err).(*failure); ok {
		return f
	}
	return refuse("%s", fmt.Sprint(err))
}
