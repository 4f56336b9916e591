#!/bin/sh
# Writes everything that is made from the tables: docs/ref/, completions/, man/. Usage: tools/gen-docs.sh WHYRSS [--check]
# With --check nothing is written: fails when a file is not what the tables say.
set -eu
whyrss=$1
root=$(cd "$(dirname "$0")/.." && pwd)
to=$root
if [ "${2-}" = --check ]; then
	to=$(mktemp -d)
	trap 'rm -rf "$to"' EXIT
fi
mkdir -p "$to/docs/ref" "$to/completions" "$to/man"
for part in command-line ledger memstats recording; do
	"$whyrss" reference $part >"$to/docs/ref/$part.md"
done
"$whyrss" completion bash >"$to/completions/whyrss.bash"
"$whyrss" completion zsh >"$to/completions/_whyrss"
"$whyrss" completion fish >"$to/completions/whyrss.fish"
"$whyrss" man >"$to/man/whyrss.1"
[ "$to" = "$root" ] && exit 0
for f in docs/ref/command-line.md docs/ref/ledger.md docs/ref/memstats.md docs/ref/recording.md completions/whyrss.bash completions/_whyrss \
	completions/whyrss.fish man/whyrss.1; do
	cmp "$to/$f" "$root/$f" || {
		echo "$f is not what the tables say: run tools/gen-docs.sh" >&2
		exit 1
	}
done
