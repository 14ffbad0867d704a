package peers

import (
	"net/http"
	"slices"
	"strings"
)

// Calls are all calls that the peers of ipfs-cluster 1.1.6 make to their nodes, as [Shape] writes
// them. A test with the real peers finds that they make these and no others, and another test makes
// them to a Kubo and a Holdfast and compares the answers.
var Calls = []string{
	"block/put allow-big-block=true cid-codec=C mhlen=32 mhtype=sha2-256 pin=false",
	"id",
	"pin/add arg=X progress=true recursive=false",
	"pin/add arg=X progress=true recursive=true",
	"pin/ls arg=X stream=true type=direct",
	"pin/ls arg=X stream=true type=recursive",
	"pin/ls stream=true type=recursive",
	"pin/rm arg=X",
	"pin/update arg=X arg=X unpin=false",
	"repo/gc stream-errors=true",
	"repo/stat size-only=true",
	"resolve arg=X",
	"swarm/connect arg=X",
	"swarm/peers",
}

// Shape is what is the same in all calls of a kind: the command, and its parameters in their order,
// without what they name.
func Shape(r *http.Request) string {
	var params []string
	for name, values := range r.URL.Query() {
		for _, v := range values {
			switch name {
			case "arg":
				v = "X"
			case "cid-codec":
				v = "C"
			}
			params = append(params, name+"="+v)
		}
	}
	slices.Sort(params)
	return strings.Join(append([]string{strings.TrimPrefix(r.URL.Path, "/api/v0/")}, params...), " ")
}
