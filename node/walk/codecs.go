package walk

import (
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"
)

// codecs is a set of the codecs that blocks can be read under, one bit for each of
// pin.Codecs.
type codecs uint8

const (
	codecDagPB codecs = 1 << iota
	codecRaw
	codecDagCBOR
	codecDagJSON
	codecDagJOSE
	codecGitRaw
	codecCBOR
	codecJSON
)

// codecOf gives the set of c's codec alone, or 0 if blocks cannot be read under it.
func codecOf(c cid.Cid) codecs {
	switch multicodec.Code(c.Type()) {
	case multicodec.DagPb:
		return codecDagPB
	case multicodec.Raw:
		return codecRaw
	case multicodec.DagCbor:
		return codecDagCBOR
	case multicodec.DagJson:
		return codecDagJSON
	case multicodec.DagJose:
		return codecDagJOSE
	case multicodec.GitRaw:
		return codecGitRaw
	case multicodec.Cbor:
		return codecCBOR
	case multicodec.Json:
		return codecJSON
	}
	return 0
}
