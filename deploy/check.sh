#!/usr/bin/env bash
# Checks holdfast.service: systemd must take it without a warning, and it must not be
# more exposed than before.
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

# For some bad values it only prints to stderr, and still exits with 0.
status=0
said=$(systemd-analyze verify --man=no --recursive-errors=no "$dir/holdfast.service" 2>&1) || status=$?
if ((status)) || grep -qF "$dir/holdfast.service" <<<"$said"; then
	echo "deploy/check.sh: systemd-analyze verify says:" >&2
	echo "$said" >&2
	exit 1
fi

if ! report=$(systemd-analyze security --offline=true --threshold="$threshold" --no-pager "$dir/holdfast.service" 2>&1); then
	echo "$report" >&2
	echo "deploy/check.sh: holdfast.service is more exposed than $threshold/10" >&2
	exit 1
fi
tail -n 1 <<<"$report"
