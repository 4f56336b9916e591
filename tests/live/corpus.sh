#!/bin/bash
# Real Go programs, which nobody here wrote, to try whyrss on: build them, start one, grow its memory, shrink it, stop it.
#
# usage: corpus.sh build [NAME...]     from the Go module proxy, through the ordinary client (default: all)
#        corpus.sh up NAME             start it; prints its PID and the address of its pprof ("-": it has none)
#        corpus.sh grow NAME           a bounded load that makes its memory grow; N sets the scale
#        corpus.sh shrink NAME         what makes it let go of that memory, as far as the program has such a thing
#        corpus.sh down NAME           stop it
#        corpus.sh list                the names
#
# env: ROOT  where all of it lives (default: /tmp/corpus): bin/NAME, src/NAME, run/NAME (state and log), build.tsv
#      N     the scale of a load (each has its own default)
#
# Every program listens on 127.0.0.1 alone, loads go there alone, and only a process that `up` started is ever stopped.
# Needs: bash, python3; to build: go 1.21 or later, and the network.
set -eu

ROOT=${ROOT:-/tmp/corpus}
HERE=$(cd "$(dirname "$0")" && pwd)

# name | package | version | toolchain | CGO_ENABLED | build flags
# They differ on purpose: release of Go, with C or without, stripped (as nats-server's and Debian's own are) or not.
# One that is served is the same program with net/http/pprof, on a port of its own, stripped.
# A twin is the same program from the same source, linked with -s -w; it has the original's ports, so that one of them runs.
# Prometheus is built without the service discoveries of the clouds, most of its dependencies.
LIST='
etcd|go.etcd.io/etcd/server/v3|v3.7.3|local|1|
etcdctl|go.etcd.io/etcd/etcdctl/v3|v3.7.3|local|1|
caddy|github.com/caddyserver/caddy/v2/cmd/caddy|v2.11.9|local|1|
pebble|github.com/cockroachdb/pebble/v2/cmd/pebble|v2.1.7|local|1|
nats-server|github.com/nats-io/nats-server/v2|v2.10.22|go1.22.12|0|-ldflags=-s\ -w
hugo|github.com/gohugoio/hugo|v0.165.0|go1.27.4|0|
prometheus|github.com/prometheus/prometheus/cmd/prometheus|v0.316.0|local|0|-tags=remove_all_sd
prometheus-debian|deb:prometheus|||
etcd-stripped|twin:etcd|v3.7.3|||
caddy-stripped|twin:caddy|v2.11.9|||
pebble-stripped|twin:pebble|v2.1.7|||
pebble-served|served:pebble|v2.1.7|||
'

die() { echo "corpus.sh: $*" >&2; exit 2; }
names() { awk -F'|' 'NF { print $1 }' <<<"$LIST"; }

# ---- build ----

# A wrapper module is used because `go install PKG@VERSION` refuses a module with replace directives.
build_go() {
  local name=$1 pkg=$2 ver=$3 tc=$4 cgo=$5 flags=$6
  mkdir -p "$ROOT/src/$name"; cd "$ROOT/src/$name"
  export GOTOOLCHAIN=$tc GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=$cgo
  [ -f go.mod ] || go mod init "corpus/$name" > init.log 2>&1
  printf 'package main\n\nfunc main() {}\n' > main.go
  eval "go get $flags '$pkg@$ver'" > get.log 2>&1 && eval "go build -p 1 $flags -o '$ROOT/bin/$name' '$pkg'" > build.log 2>&1
}

# A distribution's program is unpacked, not installed: that starts no service and needs no root.
build_deb() {
  local name=$1 pkg=$2
  mkdir -p "$ROOT/src/$name"; cd "$ROOT/src/$name"
  rm -rf -- *.deb tree
  apt-get download "$pkg" > get.log 2>&1 && dpkg-deb -x ./"$pkg"_*.deb tree && cp "tree/usr/bin/$pkg" "$ROOT/bin/$name"
}

build_twin() {
  local pkg ver tc cgo flags
  IFS='|' read -r _ pkg ver tc cgo flags < <(grep "^$2|" <<<"$LIST")
  [ -f "$ROOT/src/$2/go.sum" ] || build_go "$2" "$pkg" "$ver" "$tc" "$cgo" "$flags" || return 1
  cd "$ROOT/src/$2"
  export GOTOOLCHAIN=$tc GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=$cgo
  eval "go build -p 1 $flags -ldflags='-s -w' -o '$ROOT/bin/$1' '$pkg'" > twin.log 2>&1
}

build_served() {
  local pkg ver tc cgo flags module dir
  IFS='|' read -r _ pkg ver tc cgo flags < <(grep "^$2|" <<<"$LIST")
  [ -f "$ROOT/src/$2/go.sum" ] || build_go "$2" "$pkg" "$ver" "$tc" "$cgo" "$flags" || return 1
  export GOTOOLCHAIN=$tc GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=$cgo
  cd "$ROOT/src/$2"; module=${pkg%/cmd/*}; dir=$(go list -m -f '{{.Dir}}' "$module")
  rm -rf "$ROOT/src/$1"; mkdir -p "$ROOT/src/$1"; cp go.mod go.sum main.go "$ROOT/src/$1"; cd "$ROOT/src/$1"
  cp -r "$dir" module; chmod -R u+w module; go mod edit -replace "$module=./module"
  printf 'package main\n\nimport (\n\t"net/http"\n\t_ "net/http/pprof"\n)\n\nfunc init() { go http.ListenAndServe("127.0.0.1:6064", nil) }\n' \
    > "module${pkg#"$module"}/served.go"
  go build -p 1 -ldflags='-s -w' -o "$ROOT/bin/$1" "$pkg" > build.log 2>&1
}

build() {
  local want=" $* " name pkg ver tc cgo flags t0 strip failed=0
  mkdir -p "$ROOT/bin" "$ROOT/src"
  while IFS='|' read -r name pkg ver tc cgo flags; do
    [ -n "$name" ] || continue
    [ "$want" = "  " ] || case $want in *" $name "*) ;; *) continue;; esac
    t0=$SECONDS
    if case $pkg in deb:*) (build_deb "$name" "${pkg#deb:}");; twin:*) (build_twin "$name" "${pkg#twin:}");; served:*) (build_served "$name" "${pkg#served:}");; *) (build_go "$name" "$pkg" "$ver" "$tc" "$cgo" "$flags");; esac; then
      if readelf -SW "$ROOT/bin/$name" | grep -q ' \.symtab '; then strip=unstripped; else strip=stripped; fi
      [ -n "$ver" ] || ver=$(dpkg-deb -f "$ROOT/src/$name"/*.deb Version)
      printf '%s\tok\t%s\t%s\t%ss\t%s\t%s\n' "$name" "$ver" "$(go version "$ROOT/bin/$name" | awk '{ print $NF }')" \
        $((SECONDS - t0)) "$(stat -c %s "$ROOT/bin/$name")" "$strip"
    else
      printf '%s\tFAIL\t%s\t-\t%ss\t-\tsee %s/*.log\n' "$name" "$ver" $((SECONDS - t0)) "$ROOT/src/$name"; failed=1
    fi | tee -a "$ROOT/build.tsv"
  done <<<"$LIST"
  # A failure inside the pipe shows as a missing program.
  for name in $(names); do
    [ "$want" = "  " ] || case $want in *" $name "*) ;; *) continue;; esac
    [ -x "$ROOT/bin/$name" ] || failed=1
  done
  return $failed
}

# ---- start and stop ----

# A PID alone may have passed to another process: the time at which it started (field 22, after the name) settles that.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
running() { [ -s pid ] && [ -s started ] && [ "$(born "$(cat pid)")" = "$(cat started)" ]; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start PORT PPROF COMMAND...: start it in run/NAME and wait until it listens; PORT "-": it has none.
start() {
  local port=$1 pprof=$2 i; shift 2
  nohup "$@" > log 2>&1 < /dev/null & echo $! > pid
  born "$(cat pid)" > started
  for i in $(seq 150); do
    running || { tail -n 5 log >&2; die "$NAME ended: see $PWD/log"; }
    if [ "$port" = - ]; then [ "$i" -lt 10 ] || break; elif listens "$port"; then break; fi
    [ "$i" -lt 150 ] || { down; die "$NAME does not listen on port $port after 30 s: see $PWD/log"; }
    sleep 0.2
  done
  echo "$(cat pid) $pprof"
}

# Each has its own ports: one that is taken already must not be mistaken for ours.
free_ports() { for p in "$@"; do ! listens "$p" || die "port $p is taken"; done; }

down() {
  local pid i
  running || { rm -f pid started; echo "$NAME: not running" >&2; return 0; }
  pid=$(cat pid)
  kill "$pid"
  for i in $(seq 100); do running || break; [ "$i" -lt 100 ] || kill -9 "$pid"; sleep 0.2; done
  rm -f pid started
}

load() { python3 "$HERE/corpus_load.py" "$@"; }

# ---- the programs ----

etcd_up() {
  free_ports 2379 2380; rm -rf data
  start 2379 127.0.0.1:2379 "$BIN" --data-dir data --enable-pprof --log-level error --quota-backend-bytes 4294967296 \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster default=http://127.0.0.1:2380
}
etcd_grow() { load etcd 2379 "${N:-60000}"; }            # N keys of 2 KiB
etcd_shrink() {
  local ctl=("$ROOT/bin/etcdctl" --endpoints 127.0.0.1:2379 --command-timeout 180s) rev
  [ -x "${ctl[0]}" ] || die "not built yet: corpus.sh build etcdctl"
  "${ctl[@]}" del --prefix k/
  rev=$("${ctl[@]}" get x -w json | sed 's/.*"revision":\([0-9]*\).*/\1/')
  "${ctl[@]}" compact "$rev" --physical || true          # one that was compacted already is no error
  "${ctl[@]}" defrag
}

caddy_up() {
  local i
  free_ports 2019 8088
  cat > Caddyfile <<CADDY
{
	admin 127.0.0.1:2019
	auto_https off
}
http://127.0.0.1:8088 {
	bind 127.0.0.1
	encode gzip
	root * $PWD/www
	templates
	file_server browse
}
CADDY
  mkdir -p www; for i in $(seq 200); do head -c 20000 /dev/urandom | base64 > "www/f$i.html"; done
  XDG_DATA_HOME=$PWD XDG_CONFIG_HOME=$PWD start 8088 127.0.0.1:2019 "$BIN" run --config Caddyfile --adapter caddyfile
}
caddy_grow() { load http 8088 "${N:-600}" 8; }           # N kept connections, 8 gzip requests on each
caddy_shrink() { :; }                                    # the connections were closed at the end of grow

pebble_up() {                                            # its load is its own; it ends by itself: 10 minutes, 4 GiB
  rm -rf data; mkdir data
  start - - "$BIN" bench ycsb data --workload A --cache $((512 << 20)) --duration 600s --concurrency 2 \
    --initial-keys 200000 --values 1000 --max-size 4096
}
pebble_served_up() {                                     # nearly quiet once its first keys are written
  free_ports 6064; rm -rf data; mkdir data
  start 6064 127.0.0.1:6064 "$BIN" bench ycsb data --workload A --cache $((64 << 20)) --duration 900s --concurrency 1 --rate 5 \
    --initial-keys 50000 --values 1000 --max-size 4096
}
pebble_grow() { sleep "${N:-30}"; }
pebble_shrink() { :; }

nats_server_up() {
  free_ports 4222 8222 8223; rm -rf data
  start 4222 127.0.0.1:8223 "$BIN" --addr 127.0.0.1 --port 4222 --http_port 8222 --profile 8223 --jetstream --store_dir data
}
nats_server_grow() { load nats 4222 "${N:-200000}"; }    # N messages of 1 KiB in a stream that is kept in memory
nats_server_shrink() { load nats-purge 4222; }

hugo_up() {                                              # it renders into memory
  free_ports 1313 8080; rm -rf site; mkdir -p site/layouts site/content/post
  printf 'baseURL = "http://127.0.0.1:1313/"\ntitle = "corpus"\ndisableKinds = ["taxonomy", "term"]\n' > site/hugo.toml
  printf '<html><title>{{ .Title }}</title>{{ .Content }}</html>\n' > site/layouts/single.html
  printf '<html>{{ range .Pages }}<a href="{{ .RelPermalink }}">{{ .Title }}</a>{{ end }}</html>\n' > site/layouts/list.html
  cp site/layouts/list.html site/layouts/home.html
  load hugo-pages site/content/post 1 200
  HUGO_CACHEDIR=$PWD/cache start 1313 127.0.0.1:8080 "$BIN" server --source site --bind 127.0.0.1 --port 1313 \
    --renderToMemory --disableLiveReload --disableFastRender --pprof
}
hugo_built() {                                           # waits until no rebuild has been under way for 3 s, 2 minutes at most
  local i calm=0
  for i in $(seq 120); do
    sleep 1
    if [ "$(grep -c '^Change detected' log)" = "$(grep -Ec '^(Rebuilt|Total) in' log)" ]; then calm=$((calm + 1)); else calm=0; fi
    [ $calm -lt 3 ] || return 0
  done
  die "hugo still rebuilds after $i s"
}
hugo_grow() {                                            # N more pages of 8 KiB
  load hugo-pages site/content/post 1000 "${N:-4000}"
  load until 1313 /post/ "/post/p$((1000 + ${N:-4000} - 1))/" yes 120
  hugo_built
}
hugo_shrink() {
  find site/content/post -name 'p????*.md' -delete
  load until 1313 /post/ /post/p1000/ no 120
  hugo_built
}

prometheus_config() {                                    # the target "churn" is down but for while grow serves it
  cat <<PROM
global: { scrape_interval: 5s }
scrape_configs:
  - { job_name: self, static_configs: [ { targets: ["127.0.0.1:$1"] } ] }
  - { job_name: churn, scrape_interval: 1s, static_configs: [ { targets: ["127.0.0.1:$2"] } ] }
PROM
}
prometheus_start() {
  free_ports "$1" "$2"; rm -rf data; prometheus_config "$1" "$2" > prometheus.yml
  start "$1" "127.0.0.1:$1" "$BIN" --config.file prometheus.yml --storage.tsdb.path data --web.listen-address "127.0.0.1:$1" \
    --web.enable-admin-api --log.level warn
}
# Ten scrapes, each with N series that were not there before.
prometheus_churn() { load churn "$1" "${N:-10000}" 10; }
# They are deleted, but its head block lets go of their memory only when it is next compacted, hours later.
prometheus_delete() { load prometheus-delete "$1"; }
prometheus_up() { prometheus_start 9090 9099; }
prometheus_grow() { prometheus_churn 9099; }
prometheus_shrink() { prometheus_delete 9090; }
prometheus_debian_up() { prometheus_start 9091 9098; }
prometheus_debian_grow() { prometheus_churn 9098; }
prometheus_debian_shrink() { prometheus_delete 9091; }

# ---- ----

ACT=${1:-}; shift || true
case $ACT in
list)  names;;
build) build "$@";;
up|grow|shrink|down)
  NAME=${1:-}; BIN=$ROOT/bin/$NAME fn=${NAME%-stripped}; fn=${fn//-/_}
  declare -F "${fn}_up" > /dev/null || die "no such program: '$NAME' (one of: $(names | grep -vx etcdctl | tr '\n' ' '))"
  [ -x "$BIN" ] || die "not built yet: corpus.sh build $NAME"
  mkdir -p "$ROOT/run/$NAME"; cd "$ROOT/run/$NAME"
  case $ACT in
  up)   ! running || die "$NAME runs already: PID $(cat pid)"; "${fn}_up";;
  down) down;;
  *)    running || die "$NAME is not up"; "${fn}_$ACT";;
  esac;;
*) sed -n '4,10s/^# \{0,1\}//p' "$0" >&2; exit 2;;
esac
