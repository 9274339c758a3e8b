#!/bin/sh
# Installs what the tests need and this machine lacks: redis-server, postgresql,
# a C compiler (go test -race uses cgo), curl and Node.js with npm; then the Go
# modules, and OpenFeature's SDKs for JavaScript. It says nothing when all of it is there, and it never starts a service: tests start
# private servers of their own.
set -eu
cd "$(dirname "$0")/.."

say() { echo "deps: $*" >&2; }
die() { say "$@"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

have go || die "Go is missing: https://go.dev/dl (go.mod names the version)"

have_postgres() {
	have initdb && have postgres && return
	for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb \
		/opt/homebrew/opt/postgresql*/bin/initdb /usr/local/opt/postgresql*/bin/initdb; do
		[ -x "$initdb" ] && return
	done
	return 1
}

# A compiler without the C library's headers is no use to cgo.
have_compiler() {
	cc=$(go env CC)
	have "${cc%% *}" && echo '#include <stdlib.h>' | $cc -E - >/dev/null 2>&1
}

missing=
have redis-server || missing="$missing redis"
have_postgres || missing="$missing postgres"
have_compiler || missing="$missing compiler"
have curl || missing="$missing curl"
{ have node && have npm; } || missing="$missing node"

# Names of the packages that bring $missing, given as redis, postgres, ….
packages() {
	for need in $missing; do
		case $need in
		redis) echo "$1" ;;
		postgres) echo "$2" ;;
		compiler) echo "$3" ;;
		curl) echo curl ;;
		node) echo "$4" ;;
		esac
	done | tr '\n' ' '
}

# Runs a command as root, its output shown only when it fails.
as_root() {
	if ! $sudo "$@" >"$log" 2>&1; then
		cat "$log" >&2
		die "failed: $*"
	fi
}

install_debian() {
	sudo=
	if [ "$(id -u)" != 0 ]; then
		have sudo || die "to install $1, run \`make deps\` as root once: there is no sudo here"
		[ -t 0 ] || sudo -n true 2>/dev/null || die "to install $1, run \`make deps\` as root once: sudo asks for a password here"
		sudo=sudo
	fi
	log=$(mktemp)
	policy=/usr/sbin/policy-rc.d
	ours=
	# Where the machine has no policy of its own, one that forbids starting
	# services holds while the packages are set up.
	trap 'rm -f "$log"; [ -z "$ours" ] || $sudo rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	if [ ! -e "$policy" ]; then
		ours=1
		printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
		$sudo chmod 755 "$policy"
	fi
	say "installing $1"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 update
	# shellcheck disable=SC2086 # a list of packages
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends $1
	for need in $missing; do
		case $need in
		redis) keep_stopped redis-server ;;
		postgres) keep_stopped postgresql ;;
		esac
	done
}

# The package may have started its service all the same, and would at the next
# boot. We only touch services that we brought.
keep_stopped() {
	$sudo service "$1" stop >/dev/null 2>&1 || true
	if have systemctl; then
		$sudo systemctl disable "$1" >/dev/null 2>&1 || true
	fi
	$sudo update-rc.d "$1" disable >/dev/null 2>&1 || true
	say "the service $1 is installed, but not started; the tests need none"
}

install_macos() {
	have brew || die "$1 missing, and so is Homebrew (https://brew.sh) to install them"
	case " $missing " in
	*" compiler "*) die "the C compiler is missing: run xcode-select --install" ;;
	esac
	say "installing $1"
	# shellcheck disable=SC2086 # a list of formulas
	brew install --quiet $1 >&2
}

if [ -n "$missing" ]; then
	if have apt-get; then
		install_debian "$(packages redis-server postgresql 'gcc libc6-dev' 'nodejs npm')"
	elif [ "$(uname)" = Darwin ]; then
		install_macos "$(packages redis postgresql '' node)"
	else
		die "install these with your system's package manager:$missing (Redis 6.2 or later, PostgreSQL 13 or later, gcc with the C library's headers, Node.js 18 or later with npm)"
	fi
fi

go mod download

# The folder's lock file names every version and its checksum.
sdks=cmd/handrail/testdata/ofrep-js
if ! cmp -s "$sdks/package-lock.json" "$sdks/node_modules/.handrail-lock"; then
	out=$(npm ci --prefix "$sdks" --ignore-scripts --no-audit --no-fund 2>&1) || { echo "$out" >&2; die "failed: npm ci in $sdks"; }
	cp "$sdks/package-lock.json" "$sdks/node_modules/.handrail-lock"
fi
