#!/bin/sh
# Runs every fuzz target of the module in turn, each for $1 (as in 30s).
set -eu
cd "$(dirname "$0")/.."
fuzztime=${1:?usage: hack/fuzz.sh DURATION}

# go test -list prints a package's targets, then a line "ok PACKAGE TIME".
listing=$(go test -list '^Fuzz' ./...)
targets=$(echo "$listing" | awk '/^Fuzz/ { names[++n] = $1 } /^ok/ { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')
[ -n "$targets" ] || { echo "fuzz: no targets" >&2; exit 1; }

echo "$targets" | while read -r package name; do
	echo "== $package $name"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$fuzztime" "$package" </dev/null
done
