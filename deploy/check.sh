#!/usr/bin/env bash
# Checks holdfast.service, and the units in cluster: systemd must take them without a warning,
# and holdfast.service must not be more exposed than before.
set -euo pipefail
cd "$(dirname "$0")"

# systemd's exposure level times ten; 0 is best. It is 11 with systemd 252. What is left
# is the network, which the service is for.
threshold=15

if ! command -v systemd-analyze >/dev/null; then
	echo "deploy/check.sh: holdfast.service was NOT checked: systemd-analyze is not installed"
	exit 0
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# verify fails if the program does not exist, and here it is not installed.
sed 's|^ExecStart=/usr/local/bin/holdfast |ExecStart=/bin/true |' holdfast.service >"$dir/holdfast.service"
grep -q '^ExecStart=/bin/true serve$' "$dir/holdfast.service" || {
	echo "deploy/check.sh: ExecStart of holdfast.service is not as expected" >&2
	exit 1
}

# With its drop-in for a cluster, too.
cat "$dir/holdfast.service" cluster/holdfast.conf >"$dir/holdfast-cluster.service"
sed 's|^\(ExecStart\(Pre\)\?\)=/usr/local/bin/ipfs-cluster-service |\1=/bin/true |' cluster/ipfs-cluster.service >"$dir/ipfs-cluster.service"

for unit in holdfast holdfast-cluster ipfs-cluster; do
	# For some bad values it only prints to stderr, and still exits with 0.
	status=0
	said=$(systemd-analyze verify --man=no --recursive-errors=no "$dir/$unit.service" 2>&1) || status=$?
	if ((status)) || grep -qF "$dir/$unit.service" <<<"$said"; then
		echo "deploy/check.sh: systemd-analyze verify says of $unit.service:" >&2
		echo "$said" >&2
		exit 1
	fi
done

if ! report=$(systemd-analyze security --offline=true --threshold="$threshold" --no-pager "$dir/holdfast.service" 2>&1); then
	echo "$report" >&2
	echo "deploy/check.sh: holdfast.service is more exposed than $threshold/10" >&2
	exit 1
fi
tail -n 1 <<<"$report"
