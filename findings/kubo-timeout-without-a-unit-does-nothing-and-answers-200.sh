#!/usr/bin/env bash
# Kubo v0.43.0: a command with timeout=30 is not run, and the answer is 200 with an empty body
#
# Every command of the RPC takes a timeout, of which its help says no more than "Set a global
# timeout on the command". It has to be one of Go's durations, such as 30s. The handler
# of go-ipfs-cmds v0.16.1 returns without an answer when it is not, so net/http answers 200.
# Who sends the number alone has a success: of a pin that was not made, of a file that reads as
# empty. The command line refuses it before it sends anything.
#
# Seen:
#   pin/add?timeout=30s: 200, 60 bytes, pinned: yes
#   pin/rm?timeout=30: 200, 0 bytes, pinned: yes
#   cat?timeout=30s: 200, 7 bytes
#   cat?timeout=30: 200, 0 bytes
#   the command line: exit 1, time: missing unit in duration "30"
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
./ipfs daemon --offline >log 2>&1 &
daemon=$!
for _ in $(seq 60); do
	! grep -q 'Daemon is ready' log || break
	sleep 1
done
grep -q 'Daemon is ready' log || { echo "could not be tried: the daemon does not start" >&2; exit 2; }
api="http://127.0.0.1:$(sed 's|.*/tcp/||' "$IPFS_PATH/api")/api/v0"
file=$(echo 'a file' | ./ipfs add --quieter --pin=false) || exit 2

call() { # command, timeout: sets answer
	local status
	status=$(curl -s -o body -w '%{http_code}' -X POST "$api/$1?arg=$file&timeout=$2") || true
	answer="$status, $(wc -c <body) bytes"
}
pinned() {
	if ./ipfs pin ls --type=recursive "$file" >/dev/null 2>&1; then echo yes; else echo no; fi
}
call pin/add 30s
echo "pin/add?timeout=30s: $answer, pinned: $(pinned)"
[ "${answer%%,*} $(pinned)" = "200 yes" ] || exit 2
call pin/rm 30
removed="$answer, pinned: $(pinned)"
echo "pin/rm?timeout=30: $removed"
call cat 30s
echo "cat?timeout=30s: $answer"
[ "$answer" = "200, 7 bytes" ] || exit 2
call cat 30
echo "cat?timeout=30: $answer"
code=0
./ipfs --timeout=30 cat "$file" >body 2>&1 || code=$?
echo "the command line: exit $code, $(sed 's/^Error: //' body)"
[ "$removed" = "200, 0 bytes, pinned: yes" ] && [ "$answer" = "200, 0 bytes" ] || exit 1
