#!/usr/bin/env bash
# What somebody does with the deb, in a Debian that systemd runs. /root/old.deb is upgraded
# to /root/new.deb. test.sh calls it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
data=/var/lib/holdfast

fail() {
	echo "try-deb.sh: $*" >&2
	exit 1
}
is() { [ "$1" = "$2" ] || fail "$3 is \"$1\", want \"$2\""; }
ready() { # waits until the server answers
	for ((i = 0; i < 300; i++)); do
		[ "$(curl -s http://127.0.0.1:5050/readyz)" != ok ] || return 0
		sleep 0.1
	done
	fail "the server is not ready: $(curl -sS http://127.0.0.1:5050/readyz 2>&1)"
}
pins() { curl -fsS -H "Authorization: Bearer $token" http://127.0.0.1:5050/api/psa/pins "$@"; }

echo "  install"
dpkg -i /root/old.deb >/root/out
grep -q 'systemctl enable --now holdfast' /root/out || fail "an installation says only: $(cat /root/out)"
is "$(systemctl is-enabled holdfast || true)" disabled "the service after an installation"
is "$(systemctl is-active holdfast || true)" inactive "the service after an installation"
is "$(stat -c '%U:%G %a' $data)" "holdfast:holdfast 700" "the data directory"
is "$(stat -c '%U:%G %a' /etc/holdfast/config.toml)" "root:root 644" "the configuration"
holdfast config check --config /etc/holdfast/config.toml >/dev/null
for file in man/man1/holdfast-serve.1.gz bash-completion/completions/holdfast zsh/vendor-completions/_holdfast fish/vendor_completions.d/holdfast.fish; do
	[ -s /usr/share/$file ] || grep -q "path-exclude=/usr/share/${file%%/*}" -r /etc/dpkg || fail "there is no /usr/share/$file"
done
bash -n /usr/share/bash-completion/completions/holdfast

echo "  start"
# Nothing but loopback is here, so nothing is to be looked for outside.
mkdir -p /etc/systemd/system/holdfast.service.d
printf '[Service]\nEnvironment=HOLDFAST_NODE_ROUTING=none HOLDFAST_NODE_BOOTSTRAP=\n' >/etc/systemd/system/holdfast.service.d/test.conf
systemctl daemon-reload
systemctl enable --now holdfast
is "$(systemctl is-active holdfast)" active "the service"
ready
pid=$(systemctl show -P MainPID holdfast)
is "$(stat -c %U "/proc/$pid")" holdfast "the user of the server"
is "$(sed -n 's/^CapEff:\t//p' "/proc/$pid/status")" 0000000000000000 "what the server may do"
is "$(sed -n 's/^NoNewPrivs:\t//p' "/proc/$pid/status")" 1 "NoNewPrivs"
is "$(sed -n 's/^Seccomp:\t//p' "/proc/$pid/status")" 2 "Seccomp"
for dir in /usr /etc /var/lib; do
	! nsenter -t "$pid" -m -- sh -c "echo >$dir/x" 2>/dev/null || fail "the server sees a $dir that can be written"
done
is "$(nsenter -t "$pid" -m -- ls /home /root | tr -d '\n')" /home:/root: "what the server sees of the home directories"
echo 'correct horse battery' | holdfast user add you@example.org --admin --password-stdin --data $data >/dev/null
token=$(holdfast token create you@example.org --name test --data $data)
pins -H 'Content-Type: application/json' -d '{"cid":"bafkqabtimvwgy3yk","name":"first"}' >/dev/null
holdfast backup /var/lib/holdfast-backups --data $data >/dev/null
is "$(find $data /var/lib/holdfast-backups ! -user holdfast | wc -l)" 0 "the number of files of other owners"

echo "  upgrade"
echo '# mine' >>/etc/holdfast/config.toml
dpkg -i /root/new.deb >/root/out
! grep -q 'enable --now' /root/out || fail "an upgrade says: $(cat /root/out)"
ready
[ "$(systemctl show -P MainPID holdfast)" != "$pid" ] || fail "the server was not restarted"
grep -q '^# mine$' /etc/holdfast/config.toml || fail "the configuration was replaced"
is "$(pins | grep -o '"name":"first"')" '"name":"first"' "the pin after an upgrade"
is "$(dpkg-query -W -f '${Version}' holdfast)" "$(holdfast version | sed 's/^holdfast \([^ ]*\) .*/\1/; s/-/~/')" "the version"

echo "  an upgrade does not start what was stopped"
systemctl stop holdfast
dpkg -i --force-downgrade /root/old.deb >/dev/null 2>&1
dpkg -i /root/new.deb >/dev/null
is "$(systemctl is-active holdfast || true)" inactive "the service"

echo "  restore"
mv $data $data.old
holdfast restore /var/lib/holdfast-backups --data $data >/dev/null 2>&1
systemctl start holdfast
ready
is "$(find $data ! -user holdfast | wc -l)" 0 "the number of files of other owners after a restore"
holdfast pin ls --all --data $data | grep -q first || fail "the restored server has no pin"
rm -r $data.old

echo "  from a unit with a dynamic user"
systemctl stop holdfast
mkdir -p -m 700 /var/lib/private
mv $data /var/lib/private/holdfast
chown -R 61234:61234 /var/lib/private/holdfast
ln -s private/holdfast $data
systemctl start holdfast
ready
[ ! -L $data ] || fail "the data is not moved"
holdfast pin ls --all --data $data | grep -q first || fail "the data is lost"

echo "  remove, and install again"
dpkg -r holdfast >/dev/null
is "$(systemctl is-active holdfast || true)" inactive "the service"
[ ! -e /usr/bin/holdfast ] || fail "the program is left"
[ -e /etc/holdfast/config.toml ] || fail "the configuration is gone"
[ -e $data/db ] || fail "the data is gone"
dpkg -i /root/new.deb >/dev/null
systemctl start holdfast
ready

echo "  purge"
dpkg -P holdfast >/root/out
grep -q "^$data is kept" /root/out || fail "a purge says: $(cat /root/out)"
[ ! -e /etc/holdfast/config.toml ] || fail "the configuration is left"
[ -e $data/db ] || fail "the data is gone"
is "$(systemctl list-unit-files --no-legend 'holdfast*')" "" "the units"
is "$(find /etc /usr /var/lib/dpkg/info /run/systemd -name '*holdfast*' ! -path '*/holdfast.service.d*' | tr '\n' ' ')" "" "what is left"

echo "  without a package, with the data of a trial"
userdel holdfast
rm -r $data /var/lib/holdfast-backups
cd /root/by-hand
echo 'correct horse battery' | ./holdfast user add trial@example.org --admin --password-stdin >/dev/null 2>&1
install -m 755 holdfast /usr/local/bin/holdfast
install -m 644 holdfast.service /etc/systemd/system/holdfast.service
install -D -m 644 holdfast.sysusers /etc/sysusers.d/holdfast.conf
systemd-sysusers
systemctl daemon-reload
cp -a ~/.local/share/holdfast $data
systemctl enable --now holdfast 2>/dev/null
ready
is "$(find $data ! -user holdfast | wc -l)" 0 "the number of files of other owners"
holdfast user ls --data $data | grep -q trial@example.org || fail "the account of the trial is lost"

echo "  the package over that"
dpkg -i /root/new.deb >/root/out 2>&1
grep -q '^Warning: /etc/systemd/system/holdfast.service is used' /root/out || fail "an installation over another unit says: $(cat /root/out)"
rm /etc/systemd/system/holdfast.service /usr/local/bin/holdfast
systemctl daemon-reload
systemctl restart holdfast
ready
is "$(readlink "/proc/$(systemctl show -P MainPID holdfast)/exe")" /usr/bin/holdfast "the program"
