package pin

import (
	"slices"
	"strings"

	"github.com/multiformats/go-multicodec"
)

// Codecs lists the codecs under which a block of a DAG can be read: those that Kubo pins.
// Nobody changes it.
var Codecs = []multicodec.Code{
	multicodec.DagPb, multicodec.Raw, multicodec.DagCbor, multicodec.DagJson,
	multicodec.DagJose, multicodec.GitRaw, multicodec.Cbor, multicodec.Json,
}

// CanRead reports whether blocks can be read under a codec, so that they can be pinned.
func CanRead(codec uint64) bool { return slices.Contains(Codecs, multicodec.Code(codec)) }

// CodecNames lists the names of [Codecs], for a user.
func CodecNames() string {
	names := make([]string, len(Codecs))
	for i, c := range Codecs {
		names[i] = c.String()
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
