#!/usr/bin/env bash
# Checks what is in this directory, and the Compose file for a cluster, without a container runtime: the
# files are valid, the server takes the settings in them, and Caddy takes its own. Needs caddy for the last.
set -euo pipefail
cd "$(dirname "$0")"

program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
(cd ../.. && go build -o "$program/holdfast" ./cmd/holdfast)
for compose in container cluster; do
	environment=$(cd ../release && DOMAIN=pins.example.com CLUSTER_SECRET=none \
		go run ./containers ../container/Containerfile ../$compose/compose.yaml)
	mapfile -t variables <<<"$environment"
	said=$(env -i "${variables[@]}" "$program/holdfast" config check 2>&1) || {
		echo "$said" >&2
		exit 1
	}
	# A variable that the server does not know is only a warning.
	! grep -q 'level=WARN' <<<"$said" || {
		echo "$said" >&2
		exit 1
	}
done
DOMAIN=pins.example.com caddy validate --config Caddyfile --adapter caddyfile 2>&1 | grep -q '^Valid configuration' || {
	echo "check.sh: Caddy does not take the Caddyfile" >&2
	exit 1
}
echo "  the container's files are valid"
