#!/bin/bash
# Build one small Go program ("probe") with every Go release, to record the runtime's layout of each from its DWARF.
#
# usage: build-probes.sh OUTDIR [RELEASE...]
#
#   RELEASE    1.25.3              that release, and its GOEXPERIMENT variants that change the runtime's structures
#              1.25.3+greenteagc   that variant alone
#              (default: all; the patch releases are discovered, see releases())
#
# writes OUTDIR/go1.25.3              the probe: CGO_ENABLED=0, -trimpath, default flags, so with symbol table and DWARF
#        OUTDIR/go1.25.3+greenteagc   the same, built with GOEXPERIMENT=greenteagc
#        OUTDIR/src/main.go           its source (written from the text below)
#        OUTDIR/STATUS                a line is added for each probe tried: name, result, seconds, bytes or the reason
#
# results: ok | have (was there already: printed only) | unserved (the module proxy has no such toolchain)
#          unoffered (that release knows no such GOEXPERIMENT) | FAIL
# The exit status is 1 if any probe FAILed. A probe that exists is not built again: remove it to rebuild it.
#
# env: KEEP   releases whose toolchain stays in the default GOMODCACHE and GOCACHE, because the tests build with them.
#             Any other release (some 600 MB while it is in use) gets throwaway caches, deleted after its probes.
#      GO     the go command that fetches the toolchains; 1.21 or later (default: go)
#
# The toolchains are Go modules (golang.org/toolchain), which GOTOOLCHAIN fetches and checks against the sum database.
set -u

OUT=${1:?usage: build-probes.sh OUTDIR [RELEASE...]}; shift
GO=${GO:-go}
KEEP=${KEEP-1.21.13 1.22.12 1.23.12 1.24.13 1.25.10 1.26.8 1.27.4 1.18.10 1.19.13 1.20.14}
FIRST_MINOR=18
OLD='1.18.10 1.19.13 1.20.14'

mkdir -p "$OUT/src" && OUT=$(cd "$OUT" && pwd) || exit 2
SCRATCH=                                # throwaway caches of the release in work
export CGO_ENABLED=0 GOOS=linux GOARCH=amd64 GOFLAGS=-buildvcs=false GOWORK=off
unset GOROOT GOEXPERIMENT GODEBUG GOTOOLCHAIN

# The module cache is read-only on purpose, so it takes a chmod to delete one.
# shellcheck disable=SC2317  # it is called by the traps
drop_scratch() {
  [ -n "$SCRATCH" ] || return 0
  chmod -R u+w "$SCRATCH"; rm -rf "$SCRATCH"; SCRATCH=
}
trap drop_scratch EXIT
trap 'exit 130' INT TERM

# The probe uses each part of the runtime that whyrss reads: the linker drops what a program can't reach, DWARF included.
write_source() {
  cat > "$OUT/src/main.go.new" <<'GO'
// A probe for whyrss: written by tools/build-probes.sh, built with each Go release.
// It uses the runtime's statistics and profiles, prints "ready", and waits until its standard input ends.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"time"
)

type node struct {
	next *node
	data [1000]byte
}

var (
	list  *node
	table = map[string]*node{}
	queue = make(chan *node, 4)
)

func main() {
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)

	for i := 0; i < 1000; i++ {
		list = &node{next: list}
		table[fmt.Sprint(i)] = list
	}
	runtime.SetFinalizer(list, func(n *node) { n.data[0]++ })
	go func() {
		for n := range queue {
			n.data[1]++
		}
	}()
	queue <- list
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()

	runtime.GC()
	debug.FreeOSMemory()
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	var samples []metrics.Sample
	for _, d := range metrics.All() {
		samples = append(samples, metrics.Sample{Name: d.Name})
	}
	metrics.Read(samples)
	for _, name := range []string{"heap", "allocs", "goroutine", "block", "mutex", "threadcreate"} {
		if err := pprof.Lookup(name).WriteTo(io.Discard, 0); err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			os.Exit(1)
		}
	}

	fmt.Println("ready", runtime.Version(), len(table), len(samples), mem.NumGC, gc.NumGC)
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(list)
}
GO
  # The file keeps its time when its text is the same, so that it tells when the source last changed.
  if cmp -s "$OUT/src/main.go.new" "$OUT/src/main.go"; then rm "$OUT/src/main.go.new"; else mv "$OUT/src/main.go.new" "$OUT/src/main.go"; fi
}

# All releases, one a line: KEEP first, then each x.y.0, then the other patches.
# The proxy's list names only some of the versions that it serves, so the gaps below each highest patch are filled in:
# a number that it does not serve after all is reported as unserved.
releases() {
  local all
  all=$("$GO" list -m -versions go | tr ' ' '\n' | awk -F. -v first="$FIRST_MINOR" '
    $1 == 1 && $2 ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ && $2 >= first { if (!($2 in top) || $3 > top[$2]) top[$2] = $3 + 0 }
    END { for (m in top) for (p = 0; p <= top[m]; p++) print "1." m "." p }' | sort -V)
  [ -n "$all" ] || { echo "build-probes.sh: the module proxy lists no release" >&2; exit 2; }
  # shellcheck disable=SC2086  # KEEP and OLD are lists
  { printf '%s\n' $KEEP $OLD; grep '\.0$' <<<"$all"; echo "$all"; } | awk 'NF && !seen[$0]++'
}

# The GOEXPERIMENT variants worth a probe: the other garbage collector, where a release has both.
variants() {
  case $1 in
  1.25.*)        echo greenteagc;;
  1.26.*|1.27.*) echo nogreenteagc;;
  esac
}

# status NAME RESULT SECONDS NOTE
status() {
  local line
  line=$(printf '%s\t%s\t%ss\t%s' "$@"); echo "$line"
  [ "$2" = have ] || echo "$line" >> "$OUT/STATUS"
  [ "$2" != FAIL ] || failed=1
}

# The first release of a series had no patch number before 1.21: go1.20, then go1.20.1.
called() { case $1 in 1.18.0|1.19.0|1.20.0) echo "go${1%.0}";; *) echo "go$1";; esac; }

# fetch RELEASE: sets $root to the release's GOROOT, or $result and $why.
fetch() {
  for _ in 1 2; do
    if root=$(GOTOOLCHAIN=$(called "$1") "$GO" env GOROOT 2>"$work/fetch.log"); then
      [ "$(GOTOOLCHAIN=local "$root/bin/go" env GOVERSION 2>/dev/null)" = "$(called "$1")" ] && return 0
      echo "its GOROOT $root is another release" >> "$work/fetch.log"
    fi
    why=$(tail -n 1 "$work/fetch.log" | cut -c 1-300)
    # A plain no is final; anything else (a time-out, a dropped connection) gets a second try.
    if grep -Eq 'not available|403 Forbidden|404 Not Found|410 Gone|not found' "$work/fetch.log"; then result=unserved; return 1; fi
    result=FAIL
  done
  return 1
}

# build RELEASE EXPERIMENT NAME: with the toolchain of $root. Sets $result and $why.
build() {
  local tmp=$work/probe godebug=
  case $1 in 1.19*|1.20*) godebug=goindex=0;; esac    # the package index of 1.19 to 1.20.7 fails on a GOROOT inside a module cache
  if ! GODEBUG=$godebug GOTOOLCHAIN=local GOEXPERIMENT=$2 "$root/bin/go" build -trimpath -o "$tmp" . > "$work/build.log" 2>&1; then
    why=$(grep -v '^#' "$work/build.log" | head -n 1 | cut -c 1-300)
    if grep -q 'unknown GOEXPERIMENT' "$work/build.log"; then result=unoffered; else result=FAIL; fi
    return
  fi
  # It must be what its name says, have the sections that layouts are read from, and run.
  result=FAIL
  local said want; want=$(called "$1")
  said=$("$tmp" < /dev/null 2>&1) || { why="it does not run: $(head -n 1 <<<"$said")"; return; }
  # A variant says "go1.25.3 X:greenteagc", and from 1.26 on "go1.26.0-X:nogreenteagc".
  case $said in "ready $want "[0-9]*|"ready $want"[\ -]"X:$2 "*) ;; *) why="it says: $said"; return;; esac
  [ "$(readelf -SW "$tmp" | grep -Ec ' \.(symtab|z?debug_info) ')" = 2 ] || { why='no symbol table or no DWARF'; return; }
  mv "$tmp" "$OUT/$3"; result=ok; why=$(stat -c %s "$OUT/$3")
}

# one RELEASE VARIANT...: the probes of a release; a VARIANT is a GOEXPERIMENT, or "-" for the release as it comes.
one() {
  local rel=$1 v name root result why t0 todo=(); shift
  for v in "$@"; do
    name=go$rel; [ "$v" = - ] || name+=+$v
    if [ -e "$OUT/$name" ]; then status "$name" have 0 "$(stat -c %s "$OUT/$name")"; else todo+=("$v"); fi
  done
  [ ${#todo[@]} -gt 0 ] || return 0
  t0=$SECONDS
  (
    # A subshell, for the caches are this release's only.
    case " $KEEP " in
    *" $rel "*) ;;
    *) SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/probe-caches.XXXXXX") || exit 1
       trap drop_scratch EXIT
       export GOMODCACHE=$SCRATCH/mod GOCACHE=$SCRATCH/build;;
    esac
    work=$(mktemp -d "${TMPDIR:-/tmp}/probe-build.XXXXXX") && cp "$OUT/src/main.go" "$work/" && cd "$work" || exit 1
    trap 'drop_scratch; rm -rf "$work"' EXIT
    # The language version is the release's own, for GODEBUG defaults follow it.
    printf 'module probe\n\ngo %s\n' "${rel%.*}" > go.mod
    if ! fetch "$rel"; then
      status "go$rel" "$result" $((SECONDS - t0)) "$why"
    else
      for v in "${todo[@]}"; do
        name=go$rel exp=
        [ "$v" = - ] || name+=+$v exp=$v
        build "$rel" "$exp" "$name"
        status "$name" "$result" $((SECONDS - t0)) "$why"; t0=$SECONDS
      done
    fi
    exit "${failed:-0}"
  ) || failed=1
}

failed=0
write_source
list=${*:-$(releases)} || exit 2
[ -n "$list" ] || exit 2
for arg in $list; do
  arg=${arg#go}
  case $arg in
  *+*) one "${arg%%+*}" "${arg#*+}";;
  *)   # shellcheck disable=SC2046  # none, or a list
       one "$arg" - $(variants "$arg");;
  esac
done
exit "$failed"
