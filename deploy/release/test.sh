#!/usr/bin/env bash
# Tries a release as its users would: test.sh [STEP...]. Without steps it does all of them:
#
#   same       two builds, in different directories, with caches and settings of Go of their own,
#              give the same bytes
#   lint       lintian has no error, rpmlint too; what rpm says of the rpm
#   deb        in a Debian of its own, which systemd runs: installed, started in its sandbox,
#              upgraded over, removed, purged
#   rpm        the rpm's scripts, in a Debian without anything that the rpm needs
#   empty      the program alone in an empty root, as in the container image
#   container  the Containerfile and the Compose file, as far as parsers see
#   systems    the tests compile for every system; the programs run where qemu can run them
#
# It needs root, Debian, some 3 GB in TMPDIR, and the network for Debian's packages. The
# system that it makes has no network other than loopback.
set -euo pipefail
cd "$(dirname "$0")/../.."
source deploy/release/boot.sh

steps=("$@")
((${#steps[@]})) || steps=(same lint deb rpm empty container systems)
need=(git gzip lintian rpm rpmlint mmdebstrap systemd-analyze unshare nsenter curl caddy qemu-aarch64-static qemu-riscv64-static)
missing=()
for program in "${need[@]}"; do command -v "$program" >/dev/null || missing+=("$program"); done
if ((EUID != 0)) || ((${#missing[@]})); then
	echo "test.sh needs root, and these programs that are missing: ${missing[*]}" >&2
	echo "    apt-get install --no-install-recommends lintian rpm rpmlint mmdebstrap systemd util-linux caddy qemu-user-static" >&2
	exit 1
fi

work=$(mktemp -d)
# shellcheck disable=SC2154 # boot.sh sets it
trap 'shut_down; rm -rf --one-file-system "$work"' EXIT
arch=$(go env GOHOSTARCH)

fail() {
	echo "test.sh: $*" >&2
	exit 1
}
has() { # TEXT PATTERN WHAT
	grep -qE -- "$2" <<<"$1" || fail "$3 is:"$'\n'"$1"$'\n'"and has no $2"
}

# The release, and one before it for upgrades. KEEP names a directory that has both already.
releases() {
	new=${KEEP:-$work}/new old=${KEEP:-$work}/old
	[ -e "$new/SHA256SUMS" ] || TARGETS=linux/$arch deploy/release/build.sh "$new"
	[ -e "$old/SHA256SUMS" ] || TARGETS=linux/$arch RELEASE_VERSION=0.0.9 deploy/release/build.sh "$old"
	new_deb=$(ls "$new"/*.deb) old_deb=$(ls "$old"/*.deb) new_rpm=$(ls "$new"/*.rpm) old_rpm=$(ls "$old"/*.rpm)
	(cd "$new" && sha256sum --quiet -c SHA256SUMS)
}

step_same() {
	printf '%s\n' GOEXPERIMENT=jsonv2 GOFLAGS=-ldflags=-w >"$work/goenv" # as "go env -w" writes it
	git clone -q . "$work/a longer/path/of another clone"
	(cd "$work/a longer/path/of another clone" && git checkout -q "$(git -C "$OLDPWD" rev-parse HEAD)" &&
		TARGETS=linux/$arch GOCACHE=$work/gocache GOENV=$work/goenv GOAMD64=v3 GOARM64=v8.2,lse GORISCV64=rva22u64 deploy/release/build.sh "$work/again")
	diff -r "$new" "$work/again" || fail "two builds differ"
	rm -rf "$work/gocache"
	[ "$(stat -c %s "$new/SHA256SUMS")" -gt 0 ] || fail "there is nothing to compare"
	sed 's/^/  /' "$new/SHA256SUMS"
}

step_lint() {
	lintian --allow-root --tag-display-limit 0 --fail-on error "$new_deb" # warnings are shown
	# The rpm has no signature and no changelog of its own; only the service may enter its
	# directory; and nfpm does not say of a file what it is: program, manual page, documentation.
	said=$(rpmlint "$new_rpm" 2>&1 | grep ': E: ' | grep -vE 'E: (no-signature|no-changelogname-tag|no-binary|not-listed-as-documentation|non-standard-dir-perm /var/lib/holdfast 700)' || true)
	[ -z "$said" ] || fail "rpmlint says: $said"
	said=$(rpm -qp --queryformat '%{NAME} %{ARCH} %{LICENSE}\n' "$new_rpm")
	has "$said" '^holdfast x86_64|^holdfast aarch64' "what the rpm says"
	said=$(rpm -qpc "$new_rpm")
	[ "$said" = /etc/holdfast/config.toml ] || fail "the rpm's configuration files are $said"
	for file in cluster/{holdfast.toml,holdfast.conf,ipfs-cluster.service,service.json} prometheus/{holdfast.yml,holdfast-alerts.yml} grafana/holdfast.json; do
		has "$(rpm -qpl "$new_rpm")" "^/usr/share/doc/holdfast/deploy/$file$" "the rpm's list"
		has "$(dpkg-deb -c "$new_deb")" "/usr/share/doc/holdfast/deploy/$file$" "the deb's list"
	done
	has "$(rpm -qpl --dump "$new_rpm")" '^/var/lib/holdfast .* 040700 holdfast holdfast ' "the rpm's list"
	has "$(jq_licences "$new"/*.cdx.json)" '^MIT$' "the list of licences"
	others=$(jq_licences "$new"/*.cdx.json | grep -vE '^(MIT|Apache-2.0|BSD-2-Clause|BSD-3-Clause|BSD-Source-Code|ISC|MPL-2.0|MPL-2.0-no-copyleft-exception|Unlicense|0BSD|CC0-1.0|Zlib|WTFPL)$' || true)
	[ -z "$others" ] || fail "there are licences that nobody has looked at: $others"
}
jq_licences() { grep -oE '"id": "[A-Za-z0-9.+-]+"' "$1" | cut -d'"' -f4 | sort -u; }

debian() { # DIR: a Debian, made once
	[ -e "${KEEP:-$work}/debian.tar" ] ||
		mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus,curl,ca-certificates,procps bookworm "${KEEP:-$work}/debian.tar" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
	mkdir -p "$1"
	tar -xf "${KEEP:-$work}/debian.tar" -C "$1"
}

step_deb() {
	debian "$work/deb"
	cp "$old_deb" "$work/deb/root/old.deb"
	cp "$new_deb" "$work/deb/root/new.deb"
	mkdir "$work/deb/root/by-hand"
	tar -xzf "$new"/*.tar.gz -C "$work/deb/root/by-hand" --strip-components=1
	cp deploy/release/try-deb.sh "$work/deb/root"
	boot "$work/deb"
	inside bash /root/try-deb.sh || {
		inside journalctl --no-pager -u holdfast | tail -n 30 >&2
		fail "the deb does not do what it should"
	}
	shut_down
}

step_rpm() {
	debian "$work/rpm"
	mkdir -p "$work/rpm/usr/lib/systemd/system-preset"
	echo 'disable *' >"$work/rpm/usr/lib/systemd/system-preset/99-default-disable.preset" # as Fedora has it
	# Debian has no packages of the names that the rpm needs, but it has their programs.
	local with=(rpm --root "$work/rpm" --nodeps)
	"${with[@]}" -i "$old_rpm"
	has "$(chroot "$work/rpm" stat -c '%U:%G %a' /var/lib/holdfast)" '^holdfast:holdfast 700$' "the data directory"
	chroot "$work/rpm" holdfast config check --config /etc/holdfast/config.toml >/dev/null
	has "$(chroot "$work/rpm" systemctl is-enabled holdfast || true)" disabled "the state of the service"
	echo kept >"$work/rpm/var/lib/holdfast/kept"
	echo '# mine' >>"$work/rpm/etc/holdfast/config.toml"
	"${with[@]}" -U "$new_rpm"
	has "$(cat "$work/rpm/etc/holdfast/config.toml")" '^# mine$' "the configuration after an upgrade"
	has "$("${with[@]:0:3}" -q holdfast)" "^holdfast-$(cat VERSION)" "what is installed"
	"${with[@]}" -e holdfast 2>&1 | grep -v 'directory not empty' || true
	[ ! -e "$work/rpm/usr/bin/holdfast" ] || fail "the program is left"
	has "$(cat "$work/rpm/var/lib/holdfast/kept")" kept "the data after the removal"
}

step_empty() {
	local root=$work/empty
	mkdir "$root"
	tar -xzf "$new"/holdfast-*-linux-"$arch".tar.gz -C "$root" --strip-components=1 --wildcards '*/holdfast'
	[ "$(ls "$root")" = holdfast ] || fail "the root is not empty"
	has "$(chroot "$root" /holdfast version)" "committed $(TZ=UTC git log -1 --date=format-local:%F --format=%cd)" "the version"
	# As the user of the image, with a directory for the data and nothing else: no /tmp, no
	# /proc, no /etc.
	mkdir "$root/data"
	chown 65532:65532 "$root/data"
	env -i HOLDFAST_DATA=/data HOLDFAST_NODE_ROUTING=none HOLDFAST_NODE_BOOTSTRAP= HOLDFAST_HTTP_LISTEN=127.0.0.1:0 \
		HOLDFAST_NODE_LISTEN=/ip4/127.0.0.1/tcp/0 HOLDFAST_METRICS_LISTEN= \
		"$(command -v chroot)" --userspec=65532:65532 "$root" /holdfast serve 2>"$work/empty.log" &
	local pid=$!
	while [ ! -e "$root/data/run.json" ]; do
		kill -0 $pid 2>/dev/null || fail "it does not start: $(cat "$work/empty.log")"
		sleep 0.1
	done
	local url
	url=$(sed 's/.*"http":"\([^"]*\)".*/\1/' "$root/data/run.json")
	[ "$(curl -fsS "$url/readyz")" = ok ] || fail "it is not ready"
	kill $pid
	wait $pid || fail "it ends with $?: $(cat "$work/empty.log")"
}

step_container() {
	deploy/container/check.sh
}

step_systems() {
	local target
	for target in linux/amd64 linux/arm64 linux/riscv64 darwin/amd64 darwin/arm64 freebsd/amd64; do
		echo "  $target"
		GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 go vet ./...
		GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 go build -trimpath -o "$work/program" ./cmd/holdfast
		case $target in
		linux/arm64) has "$(qemu-aarch64-static "$work/program" version)" linux/arm64 version ;;
		linux/riscv64) has "$(qemu-riscv64-static "$work/program" version)" linux/riscv64 version ;;
		esac
	done
}

releases
for step in "${steps[@]}"; do
	echo "== $step"
	"step_$step"
done
echo "all is well"
