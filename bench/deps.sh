#!/bin/sh
# Installs what `make bench` uses and this machine lacks, on Debian and Ubuntu:
# wrk, without which nothing is measured, redis-server, and the peers nginx,
# HAProxy and Caddy, each of which may be missing. No service is left running or
# enabled: the bench starts servers of its own.
set -eu

say() { echo "bench-deps: $*" >&2; }
die() { say "$@"; exit 1; }
have() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null 2>&1; }

missing=
for program in wrk redis-server nginx haproxy caddy; do
	have "$program" || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
have apt-get || die "install these with your system's package manager:$missing"

sudo=
if [ "$(id -u)" != 0 ]; then
	have sudo || die "run it as root once, to install:$missing"
	sudo=sudo
fi

# Where the machine has no policy of its own, one that forbids starting services
# holds while the packages are set up.
policy=/usr/sbin/policy-rc.d
ours=
trap '[ -z "$ours" ] || $sudo rm -f "$policy"' EXIT
trap 'exit 1' HUP INT TERM
if [ ! -e "$policy" ]; then
	ours=1
	printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
	$sudo chmod 755 "$policy"
fi

say "installing$missing"
apt() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >&2; }
apt update

# Not every release has each of them; one that it lacks is no reason to go
# without the others.
for program in $missing; do
	if ! apt install --no-install-recommends "$program"; then
		say "$program cannot be installed"
		[ "$program" != wrk ] || exit 1
		continue
	fi
	[ "$program" != wrk ] || continue
	# The package may have started its service all the same, and would at the
	# next boot. Only services that came with it are touched.
	$sudo service "$program" stop >/dev/null 2>&1 || true
	if have systemctl; then
		$sudo systemctl disable "$program" >/dev/null 2>&1 || true
	fi
	$sudo update-rc.d "$program" disable >/dev/null 2>&1 || true
done
