#!/usr/bin/env bash
# Builds a release into a directory: build.sh DIR. `make release` calls it.
#
# The same commit and the same version of Go give the same bytes, in any directory: the program
# has the version, the commit and its date in it, and nothing of the machine. Every file has the
# date of the commit. It is built from a clone of its own, so what is not committed is not in it.
# The file GO-VERSION names that version of Go; GOTOOLCHAIN chooses one.
#
# TARGETS          GOOS/GOARCH of what to build; all, unless it is set
# RELEASE_VERSION  the version, instead of that in the file VERSION (for trying upgrades)
set -euo pipefail
: "${1:?usage: build.sh DIR}"
mkdir -p "$1"
out=$(cd "$1" && pwd)

all="linux/amd64 linux/arm64 linux/riscv64 darwin/amd64 darwin/arm64 freebsd/amd64"
read -ra targets <<<"${TARGETS:-$all}"

if [ -n "$(ls -A "$out")" ]; then
	echo "build.sh: $out is not empty" >&2
	exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
cd "$(dirname "$0")/../.."
[ -z "$(git status --porcelain)" ] || echo "build.sh: there are changes that are not committed, and so not in this release" >&2
git clone -q "$PWD" "$work/src"
cd "$work/src"
version=${RELEASE_VERSION:-$(cat VERSION)}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
if [ -z "${RELEASE_VERSION:-}" ]; then
	tag=$(git describe --exact-match --match 'v[0-9]*' 2>/dev/null || true)
	if [ -z "$tag" ]; then # of a time before the release, and sorted before it by all package managers
		version+="-dev.$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd).g$(git rev-parse --short=12 HEAD)"
	elif [ "$tag" != "v$version" ]; then
		echo "build.sh: the tag is $tag, and the file VERSION says $version" >&2
		exit 1
	fi
fi
export SOURCE_DATE_EPOCH
# What "go env -w" has set here may say where modules come from and where they are kept, and nothing
# about what is built.
for name in GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB GOINSECURE GOVCS GOTOOLCHAIN GOMODCACHE GOCACHE; do
	value=$(go env "$name")
	export "$name=$value"
done
export GOENV=off GOFLAGS= GOWORK=off CGO_ENABLED=0 LC_ALL=C TZ=UTC
export GOAMD64=v1 GOARM64=v8.0 GORISCV64=rva20u64 GOFIPS140=off # any processor of each kind
unset GOOS GOARCH GOEXPERIMENT GODEBUG

build() { # GOOS GOARCH FILE
	GOOS=$1 GOARCH=$2 go build -trimpath -buildvcs=true -ldflags "-s -w -X main.version=$version" -o "$3" ./cmd/holdfast
}
stamp() { # gives everything below a directory the date of the commit
	find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# What is the same on all systems: texts, and what the program writes about itself.
# The SBOM has the hash of the tool that made it, so that is built the same everywhere, too.
(cd deploy/release && go build -trimpath -buildvcs=false -o "$work/tools/" ./notices github.com/goreleaser/nfpm/v2/cmd/nfpm github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod)
build "$(go env GOHOSTOS)" "$(go env GOHOSTARCH)" "$work/host/holdfast"
export PATH="$work/host:$PATH"
common=$work/common
mkdir -p "$common"/{docs,man,completions}
cp LICENSE-APACHE LICENSE-MIT README.md CHANGELOG.md config.example.toml "$common"
cp docs/*.md "$common/docs"
# Files that the documents say to put somewhere. Those for containers need the whole source.
mkdir -p "$common"/deploy/{cluster,prometheus,grafana}
cp deploy/cluster/{holdfast.toml,holdfast.conf,ipfs-cluster.service,service.json} "$common/deploy/cluster"
cp deploy/prometheus/{holdfast.yml,holdfast-alerts.yml} "$common/deploy/prometheus"
cp deploy/grafana/holdfast.json "$common/deploy/grafana"
"$work/tools/notices" ./cmd/holdfast "${targets[@]}" >"$common/THIRD-PARTY"
holdfast man "$common/man"
holdfast completion bash >"$common/completions/holdfast.bash"
holdfast completion zsh >"$common/completions/_holdfast"
holdfast completion fish >"$common/completions/holdfast.fish"

# What the packages have in addition.
package=$work/package
mkdir -p "$package/man"
sed 's|^ExecStart=/usr/local/bin/holdfast |ExecStart=/usr/bin/holdfast |' deploy/holdfast.service |
	sed '/^# By hand:/,/^# :by hand$/d' >"$package/holdfast.service"
cp deploy/holdfast.sysusers deploy/release/config.toml deploy/release/lintian-overrides "$package"
cp -r deploy/release/scripts "$package"
cat deploy/release/copyright LICENSE-MIT >"$package/copyright"
gzip -9n <"$common/THIRD-PARTY" >"$package/THIRD-PARTY.gz"
gzip -9n <CHANGELOG.md >"$package/CHANGELOG.md.gz"
for page in "$common"/man/*.1; do gzip -9n <"$page" >"$package/man/${page##*/}.gz"; done
gzip -9n >"$package/changelog.gz" <<-EOF
	holdfast (${version/-/\~}) unstable; urgency=medium

	  * CHANGELOG.md.gz beside this file says what changed.

	 -- The Holdfast authors <holdfast-ipfs@users.noreply.github.com>  $(date -R -d "@$SOURCE_DATE_EPOCH")
EOF

for target in "${targets[@]}"; do
	os=${target%/*} arch=${target#*/}
	name=holdfast-$version-$os-$arch
	dir=$work/archives/$name
	mkdir -p "$dir"
	cp -r "$common"/. "$dir"
	build "$os" "$arch" "$dir/holdfast"
	if [ "$os" = linux ]; then
		cp deploy/holdfast.service deploy/holdfast.sysusers "$dir"
	fi
	stamp "$dir"
	tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner -C "${dir%/*}" -c "$name" | gzip -9n >"$out/$name.tar.gz"

	# The tool gives the document the time of its run, and ours is that of the commit.
	GOOS=$os GOARCH=$arch "$work/tools/cyclonedx-gomod" app -json -noserial -std -licenses -assert-licenses -main cmd/holdfast . |
		sed "s|^\( *\"timestamp\": \)\"[^\"]*\"|\1\"$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)\"|" >"$out/$name.cdx.json"

	if [ "$os" = linux ]; then
		cp "$dir/holdfast" "$package/holdfast"
		stamp "$package"
		for packager in deb rpm; do
			(cd "$package" && VERSION=$version ARCH=$arch "$work/tools/nfpm" package --config "$work/src/deploy/release/nfpm.yaml" --packager $packager --target "$out" >"$work/nfpm.log") || {
				cat "$work/nfpm.log" >&2 # its errors, too
				exit 1
			}
		done
	fi
done
cp "$common/THIRD-PARTY" "$out"
go env GOVERSION >"$out/GO-VERSION"
(cd "$out" && sha256sum -- * >"$work/SHA256SUMS" && mv "$work/SHA256SUMS" .)
stamp "$out"
