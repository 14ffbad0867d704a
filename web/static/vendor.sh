#!/usr/bin/env bash
# Fetches the files of others anew from the npm registry, and compares them with the hashes
# in vendored.sha256. With --update it writes these hashes. Nothing of a package is run.
set -euo pipefail
cd "$(dirname "$0")"

# PACKAGE@VERSION, the file in it, the name here.
files=(
	"htmx.org@2.0.11 dist/htmx.min.js htmx.min.js"
	"htmx.org@2.0.11 LICENSE htmx.LICENSE"
	"uplot@1.6.32 dist/uPlot.iife.min.js uPlot.iife.min.js"
	"uplot@1.6.32 dist/uPlot.min.css uPlot.min.css"
	"uplot@1.6.32 LICENSE uPlot.LICENSE"
)

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for f in "${files[@]}"; do
	read -r package from to <<<"$f"
	unpacked="$dir/$package"
	if [ ! -d "$unpacked" ]; then
		mkdir -p "$unpacked"
		archive=$(cd "$dir" && npm pack --silent "$package")
		tar -xzf "$dir/$archive" -C "$unpacked" --strip-components=1
	fi
	cp "$unpacked/$from" "$dir/$to"
	chmod 0644 "$dir/$to"
done
names=()
for f in "${files[@]}"; do names+=("${f##* }"); done
if [ "${1-}" = --update ]; then
	(cd "$dir" && sha256sum "${names[@]}") >vendored.sha256
else
	(cd "$dir" && sha256sum --check --quiet "$OLDPWD/vendored.sha256")
fi
for n in "${names[@]}"; do mv "$dir/$n" "$n"; done
echo "the files are as vendored.sha256 has them"
