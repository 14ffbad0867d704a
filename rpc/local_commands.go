package rpc

import (
	"slices"

	"github.com/holdfast-ipfs/holdfast/auth"
)

// localCommands are those of [Local]: the ones that accounts have, and those that others are here.
var localCommands = func() []command {
	recursively := takes(boolean, "recursive", "r")
	others := []command{
		{
			name: "block/put", scope: auth.ScopePin, files: true, run: localBlockPut,
			params: ofPut(takes(word, "cid-codec"), takes(word, "mhtype"), takes(integer, "mhlen"), takes(word, "format", "f")),
		},
		{
			name: "pin/add", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopePin, waits: true, run: localPinAdd,
			params: []param{
				recursively, takes(word, "name", "n"), takes(boolean, "progress"), takes(boolean, "stream"), takes(integer, "max-depth"),
				{names: []string{"fast-provide-root"}, kind: boolean, only: "true", why: announced},
				{names: []string{"fast-provide-dag"}, kind: boolean, only: "false", why: "the roots of pins are announced"},
				{names: []string{"fast-provide-wait"}, kind: boolean, only: "false", why: announced},
			},
		},
		{
			name: "pin/ls", arg: "ipfs-path", maxArgs: maxArgs, scope: auth.ScopeRead, run: localPinLs,
			params: append(shown([]string{"quiet", "q"}), takes(word, "type", "t"), takes(word, "name", "n"),
				takes(boolean, "stream", "s"), takes(boolean, "names"), takes(boolean, "unfinished"),
				param{names: []string{"paths"}, kind: word, many: true}),
		},
		{name: "pin/rm", arg: "ipfs-path", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopePin, run: localPinRm, params: []param{allBelow}},
		{
			name: "pin/update", arg: "from-path to-path", minArgs: 2, maxArgs: 2, scope: auth.ScopePin, waits: true, run: localPinUpdate,
			params: []param{takes(boolean, "unpin")},
		},
		{
			name: "repo/gc", scope: auth.ScopePin, waits: true, run: localRepoGC,
			params: append(shown([]string{"quiet", "q"}), takes(boolean, "stream-errors"), takes(boolean, "silent")),
		},
		{
			name: "repo/stat", scope: auth.ScopeRead, run: localRepoStat,
			params: append(shown([]string{"human", "H"}), takes(boolean, "size-only", "s")),
		},
		{
			name: "resolve", arg: "name", minArgs: 1, maxArgs: 1, scope: auth.ScopeRead, run: resolve,
			params: []param{takes(boolean, "recursive", "r"), takes(boolean, "nocache", "n"), takes(word, "dht-record-count", "dhtrc"), takes(word, "dht-timeout", "dhtt")},
		},
		{name: "swarm/connect", arg: "address", minArgs: 1, maxArgs: maxArgs, scope: auth.ScopePin, waits: true, run: swarmConnect},
	}
	all := slices.DeleteFunc(slices.Clone(commands), func(c command) bool {
		return slices.ContainsFunc(others, func(o command) bool { return o.name == c.name })
	})
	return append(all, others...)
}()
