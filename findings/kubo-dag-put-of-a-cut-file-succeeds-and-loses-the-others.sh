#!/usr/bin/env bash
# Kubo v0.43.0: dag put of several files succeeds and stores none of them if one is cut off
#
# The decoder's io.EOF, which says that a file ends in the midst, is what dag put returns.
# The server of go-ipfs-cmds v0.16.1 takes io.EOF for "no error". So by a daemon the answer is
# 200 with no X-Stream-Error. The files before the cut one have their CIDs in the answer, but
# the batch that holds them was not committed: they are neither stored nor pinned. Those
# behind it are not read. Without a daemon the same call fails with "EOF".
#
# Seen (dag put --pin of a good file, a cut one and a good one):
#   the good ones alone: exit 0, CIDs: 2, stored: 2, pinned: 2
#   by a daemon: exit 0, CIDs: 1, stored: 0, pinned: 0
#   the cut one alone, by HTTP: 200, 0 bytes, X-Stream-Error: none
#   without a daemon: exit 1, Error: EOF
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go 1.26, curl.
set -euo pipefail
dir=$(mktemp -d)
daemon=
end() {
	[ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; } 2>/dev/null || true
	rm -rf "$dir"
}
trap end EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26

require github.com/ipfs/kubo v0.43.0
MOD
go build -mod=mod -o ipfs github.com/ipfs/kubo/cmd/ipfs >/dev/null 2>&1 ||
	{ echo "could not be tried: Kubo cannot be built" >&2; exit 2; }
export IPFS_PATH="$dir/repository" IPFS_TELEMETRY=off
# The profile has neither bootstrap peers nor mDNS, and the daemon is offline: it has no swarm.
{
	./ipfs init --empty-repo --profile=test
	./ipfs config Routing.Type none
	./ipfs config --json AutoConf.Enabled false
	./ipfs config --json Addresses '{"API":"/ip4/127.0.0.1/tcp/0","Gateway":"/ip4/127.0.0.1/tcp/0","Swarm":[]}'
} >/dev/null || exit 2
start() {
	./ipfs daemon --offline >log 2>&1 &
	daemon=$!
	for _ in $(seq 60); do
		! grep -q 'Daemon is ready' log || return 0
		sleep 1
	done
	echo "could not be tried: the daemon does not start" >&2
	exit 2
}
put() { # what, files...: sets code and result
	local what=$1 cid stored=0 pinned=0
	shift
	code=0
	./ipfs dag put --pin "$@" >cids 2>error || code=$?
	for cid in $(cat cids); do
		! ./ipfs block stat --offline "$cid" >/dev/null 2>&1 || stored=$((stored + 1))
		! ./ipfs pin ls --type=recursive "$cid" >/dev/null 2>&1 || pinned=$((pinned + 1))
	done
	result="CIDs: $(wc -l <cids), stored: $stored, pinned: $pinned"
	[ -s error ] || echo "$what: exit $code, $result"
	[ ! -s error ] || echo "$what: exit $code, $(cat error)"
}
# The command line sends files by the order of their names.
for i in 1 2 3 5; do echo "{\"file\":$i}" >$i.json; done
printf '{"file":' >4.json

start
put "the good ones alone" 1.json 2.json
[ "$code $result" = "0 CIDs: 2, stored: 2, pinned: 2" ] || exit 2
put "by a daemon" 3.json 4.json 5.json
held="$code $result"
api="http://127.0.0.1:$(sed 's|.*/tcp/||' "$IPFS_PATH/api")/api/v0"
# Trailers are written to the same file as the headers.
status=$(curl -s -D headers -o body -w '%{http_code}' -X POST -F file=@4.json "$api/dag/put") || true
trailer=$(sed -n 's/^X-Stream-Error: *//p' headers)
echo "the cut one alone, by HTTP: $status, $(wc -c <body) bytes, X-Stream-Error: ${trailer:-none}"
http="$status $(wc -c <body) $trailer"
kill "$daemon" && wait "$daemon" || true
daemon=
put "without a daemon" 3.json 4.json 5.json
[ "$code" != 0 ] || exit 2
[ "$held" = "0 CIDs: 1, stored: 0, pinned: 0" ] && [ "$http" = "200 0 " ] || exit 1
