#!/usr/bin/env bash
# Kubo v0.43.0: block put --pin refuses a block as too big, and has stored and pinned it
#
# A block of more than 2 MiB needs --allow-big-block. Without it, block put stores the
# block, pins it, and looks at its size after that. The caller has an error and no CID, but
# the block stays: the pin keeps it from repo gc. dag put looks at the size first, and
# leaves nothing.
#
# Seen (3 MiB; pins and stored blocks are counted before and after):
#   dag put --pin: exit 1, over 2MiB; pins: 0 more, blocks: 0 more
#   block put --pin: exit 1, over 2MiB; pins: 1 more, blocks: 1 more
#   after repo gc: blocks: 1 more
#
# Exits 0 while this is so, 1 once it is not, 2 if it could not be tried. Needs Go 1.26.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.26

require github.com/ipfs/kubo v0.43.0
MOD
go build -mod=mod -o ipfs github.com/ipfs/kubo/cmd/ipfs >/dev/null 2>&1 ||
	{ echo "could not be tried: Kubo cannot be built" >&2; exit 2; }
export IPFS_PATH="$dir/repository" IPFS_TELEMETRY=off
# The profile listens on loopback alone, and has neither bootstrap peers nor mDNS. No node is started.
./ipfs init --empty-repo --profile=test >/dev/null || exit 2
head -c 3145728 /dev/zero >big

count() { # pins and blocks
	pins=$(./ipfs pin ls --quiet | wc -l)
	blocks=$(./ipfs refs local | wc -l)
}
put() { # what, command...
	local what=$1 code=0 before_pins before_blocks
	shift
	count
	before_pins=$pins before_blocks=$blocks
	./ipfs "$@" big >output 2>&1 || code=$?
	count
	pins=$((pins - before_pins)) blocks=$((blocks - before_blocks))
	echo "$what: exit $code, $(grep -o 'over 2MiB' output || cat output); pins: $pins more, blocks: $blocks more"
	result="$code $pins $blocks"
}
./ipfs repo gc >/dev/null || exit 2
put "dag put --pin" dag put --pin --input-codec=raw --store-codec=raw
[ "$result" = "1 0 0" ] || exit 2
count
start=$blocks
put "block put --pin" block put --pin
./ipfs repo gc >/dev/null || exit 2
count
echo "after repo gc: blocks: $((blocks - start)) more"
[ "$result" = "1 1 1" ] && [ $((blocks - start)) = 1 ] || exit 1
