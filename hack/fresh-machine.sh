#!/bin/sh
# Runs a command of a fresh clone on a machine that has Go, make, git and
# nothing else: no compiler, no Redis, no PostgreSQL. The machine is a Debian
# that debootstrap puts into a temporary folder, with processes and mounts of
# its own; afterwards nothing may still run there, and the folder goes.
#
#   sudo hack/fresh-machine.sh                  # make test
#   sudo hack/fresh-machine.sh make deps        # or any other command
#
# Needs root, debootstrap and unshare. It clones what is committed. SUITE and
# MIRROR choose another release or another mirror; the proxy settings and the
# certificate authorities of this machine, and its Go, are handed on.
set -eu
cd "$(dirname "$0")/.."

suite=${SUITE:-bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian}
[ $# -gt 0 ] || set -- make test

die() { echo "fresh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "run it as root: it makes a machine inside a folder"
for tool in debootstrap unshare git go; do
	command -v "$tool" >/dev/null || die "$tool is missing"
done

root=$(mktemp -d "${TMPDIR:-/tmp}/handrail-fresh.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$root"

echo "fresh: Debian $suite" >&2
debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$root" "$mirror" >"$root.log" 2>&1 ||
	{ cat "$root.log" >&2; rm -f "$root.log"; die "debootstrap failed"; }
rm -f "$root.log"
cp -a "$(go env GOROOT)" "$root/usr/local/go"
git clone --quiet --no-hardlinks . "$root/srv/handrail"

# How this machine reaches the network.
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
for conf in /etc/apt/apt.conf.d/*proxy*; do
	[ ! -e "$conf" ] || cp "$conf" "$root/etc/apt/apt.conf.d/"
done
if [ -d /usr/local/share/ca-certificates ]; then
	cp -R /usr/local/share/ca-certificates "$root/usr/local/share/"
	chroot "$root" update-ca-certificates >/dev/null 2>&1
fi

cat >"$root/srv/inside" <<'INSIDE'
#!/bin/sh
# The first process of the fresh machine.
set -eu
mount -t proc proc /proc
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
cd /srv/handrail

for program in gcc cc curl redis-server postgres initdb /usr/lib/postgresql/*/bin/postgres; do
	! command -v "$program" >/dev/null || { echo "fresh: $program is here already" >&2; exit 1; }
done

code=0
"$@" </dev/null || code=$?

# Programs other than this one, given a moment to end.
running() {
	for process in /proc/[0-9]*; do
		[ "${process#/proc/}" != $$ ] || continue
		line=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
		[ -z "$line" ] || echo "${process#/proc/} $line"
	done
}
for _ in 1 2 3 4 5; do
	left=$(running | grep -av ' /bin/sh /srv/inside ' || true)
	[ -n "$left" ] || break
	sleep 1
done
if [ -n "$left" ]; then
	echo "fresh: still running:" >&2
	echo "$left" >&2
	exit 1
fi
echo "fresh: exit code $code, nothing left running" >&2
exit "$code"
INSIDE
chmod 755 "$root/srv/inside"

echo "fresh: $*" >&2
unshare --mount --pid --fork --kill-child -- chroot "$root" /usr/bin/env -i \
	HOME=/root CI=true LC_ALL=C PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} ${no_proxy:+"no_proxy=$no_proxy"} \
	GOPROXY="$(go env GOPROXY)" GOSUMDB="$(go env GOSUMDB)" GONOSUMDB="$(go env GONOSUMDB)" GOPRIVATE="$(go env GOPRIVATE)" \
	/bin/sh /srv/inside "$@"
