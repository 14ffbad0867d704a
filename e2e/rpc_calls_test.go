package e2e

import (
	"net/http"
	"net/url"
)

// rpcCalls lists calls for every command and parameter, and for every error that they have. What
// changes something comes last.
func rpcCalls(at tableContent) []rpcCall {
	arg := func(s string) string { return "arg=" + url.QueryEscape(s) }
	root, file, leaf, old, cbor, nobody := arg(at.root), arg(at.file), arg(at.leaf), arg(at.old), arg(at.cbor), arg(at.nobody)+"&offline=true"
	var calls []rpcCall
	add := func(differs, command string, queries ...string) {
		for _, q := range queries {
			calls = append(calls, rpcCall{command: command, query: q, differs: differs})
		}
	}
	reading := []string{"block/get", "block/stat", "cat", "get", "ls", "refs", "dag/export", "dag/get", "dag/stat"}
	for _, command := range reading {
		add("error-object", command, "")
		notHere := "status"
		if command == "refs" {
			notHere = "refs-error"
		}
		add(notHere, command, nobody)
		add("status", command, root+url.QueryEscape("/nothing"), "arg=x", arg(""), arg("/ipfs/"), arg("/nonsense/"+at.root))
		add("names", command, arg("/ipns/example.org")+"&offline=true")
		add("unknown-parameter", command, root+"&nonsense=1")
		add("value", command, root+"&offline=false", root+"&encoding=xml")
		add("error-object message", command, root+"&timeout=1h&timeout=2h")
		add("timeout", command, root+"&timeout=soon")
		calls = append(calls, rpcCall{command: command, query: root, method: http.MethodGet, differs: "error-object message"})
	}
	add("", "block/get", root, file, leaf, old, arg("/ipfs/"+at.root), cbor, root+"&stream-channels=true&encoding=json")
	add("", "block/get", root+"&path=%2Fa&local-resolve=true&headers=%5Bobject+Object%5D&on-upload-progress=x")
	add("arguments", "block/get", root+"&"+old)
	add("", "block/stat", root, file, leaf, old, cbor, root+"&cid-base=base58btc", old+"&cid-base=base32", old+"&upgrade-cidv0-in-output=true", old+"&cid-base=base32&upgrade-cidv0-in-output=false")
	add("status message", "block/stat", root+"&cid-base=nonsense")
	add("", "cat", file, file+"&offset=1000", file+"&offset=999&length=2", file+"&length=0", file+"&offset=300000", file+"&offset=400000",
		file+"&o=10&l=10", arg(at.old+"/f00000")+"&"+file+"&offset=10&length=100", file+"&progress=false", arg(at.root+"/d000/f00000"), leaf)
	add("status", "cat", root, file+"&offset=-1", file+"&length=-1")
	add("", "cat", arg(at.root+"/link"))
	add("", "get", file, root, root+"&archive=true", file+"&archive=true", file+"&output=x&progress=false", arg(at.root+"/link"))
	add("", "ls", root, file, old, leaf, root+"&size=false", root+"&resolve-type=false&size=false", root+"&stream=true", old+"&"+root,
		root+"&cid-base=base58btc", old+"&headers=true&long=true", arg(at.root+"/d000"))
	add("", "refs", root, old, root+"&recursive=true", root+"&r=true&u=true", root+"&r=true&max-depth=1", root+"&edges=true", root+"&format=%3Clinkname%3E",
		root+"&r=true&format=%3Csrc%3E+%3Cdst%3E+%3Clinkname%3E", leaf, old+"&"+root)
	add("", "dag/export", root, old, cbor, root+"&progress=false")
	add("", "dag/get", root, old, cbor, arg(at.cbor+"/a/b/1"), arg(at.cbor+"/a"), root+"&output-codec=dag-cbor", cbor+"&output-codec=dag-cbor", file)
	add("status message", "dag/get", root+"&output-codec=nonsense")
	add("status", "dag/get", arg(at.cbor+"/a/none"))
	add("", "dag/stat", root+"&progress=false", old+"&progress=false", root+"&"+old+"&progress=false", cbor+"&progress=false", file+"&progress=false")

	add("own-values", "id", "")
	add("own-values", "version", "number=true")
	add("commands", "commands", "", "flags=true")
	add("own-values", "repo/stat", "", "size-only=true", "human=true")
	add("own-values", "swarm/peers", "", "verbose=true", "streams=true", "latency=true", "direction=true", "identify=true")
	add("", "routing/findprovs", nobody, nobody+"&num-providers=3&verbose=true")
	add("status", "routing/findprovs", nobody+"&num-providers=0", "arg=x")
	add("error-object", "routing/findprovs", "")
	add("error-object message", "routing/findprovs", nobody+"&num-providers=x")

	add("error-object message", "nonsense", "")
	add("error-object message", "dag/nonsense", "")
	add("error-object message", "", "")
	add("unsupported", "files/ls", "")
	add("unsupported", "dag/resolve", root)
	add("unsupported", "bitswap/stat", "")
	calls = append(calls,
		rpcCall{command: "version", method: http.MethodPut, differs: "error-object message"},
		rpcCall{command: "version", header: http.Header{"Origin": {"https://page.example"}}, differs: "origins"},
	)

	add("", "pin/ls", "type=recursive", "type=recursive&names=true", root, leaf, "type=direct", "type=recursive&quiet=true", old+"&names=true", "type=recursive&name=nothing")
	add("no-indirect", "pin/ls", "", "type=all")
	add("status", "pin/ls", nobody, "type=nonsense", "arg=x", root+"&type=indirect", leaf+"&type=recursive")
	add("indirect-by-name", "pin/ls", "type=indirect")
	add("value", "pin/add", root+"&recursive=false")
	add("", "pin/add", root, root+"&recursive=true&stream=true", old+"&name=called", old+"&name=called&progress=true")
	add("error-object", "pin/add", "")
	add("status", "pin/add", "arg=x")
	add("", "pin/ls", "type=recursive&names=true", "type=recursive&name=all", "type=recursive&stream=true&name=call")
	add("status", "pin/update", nobody+"&"+root, old+"&"+root)
	add("error-object", "pin/update", root)
	add("error-object", "pin/rm", "")
	add("status", "pin/rm", nobody, leaf, "arg=x")
	add("", "pin/update", old+"&"+leaf+"&unpin=false")
	add("status", "pin/update", old+"&"+leaf)
	add("", "pin/rm", leaf, root+"&"+cbor)
	add("", "pin/ls", "type=recursive")
	return calls
}
