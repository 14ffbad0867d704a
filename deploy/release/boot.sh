# Functions that run systemd in a directory with a Debian, in namespaces of its own, without a
# container runtime and without a network. To be sourced.

booted=

# boot DIR starts the system there, and waits until it runs.
boot() {
	local cgroups=/sys/fs/cgroup
	[ "$(stat -f -c %T $cgroups)" = cgroup2fs ] || cgroups=/sys/fs/cgroup/unified # a host with the old ones beside
	booted_cgroup=$cgroups/holdfast-test-$$
	mkdir "$booted_cgroup"
	bash -c 'echo $$ >"$1/cgroup.procs" && exec unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child bash "$2" "$3"' \
		- "$booted_cgroup" deploy/release/boot-inside.sh "$1" </dev/null >/dev/null 2>&1 &
	booted_parent=$!
	for ((i = 0; i < 100; i++)); do
		booted=$(pgrep -P "$booted_parent" || true)
		if [ -n "$booted" ] && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; then return; fi
		sleep 0.3
	done
	echo "boot.sh: systemd does not start in $1" >&2
	return 1
}

# inside COMMAND runs a command in that system.
inside() { nsenter -t "$booted" -m -u -i -n -p -C -r -w -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }

# shut_down ends the system, if one runs.
shut_down() {
	[ -n "$booted" ] || return 0
	kill -KILL "$booted" 2>/dev/null || true
	wait "$booted_parent" 2>/dev/null || true
	booted=
	find "$booted_cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
}
