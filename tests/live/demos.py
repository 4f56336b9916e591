"""Build and drive the Go programs of demo/ (see demo/README.md).

    from demos import DEMOS, Demo, build
    with Demo(build("fragmentation", "go1.21.13")) as d:
        d.pid, d.ready["cause"]
        t = d.truth()            # memstats, metrics, smaps, rss, profile, …
        d.cmd("gc2")

By hand: `python3 tests/live/demos.py [--go go1.21.13] [NAME …]` measures
programs and prints the gap of each, worked out from their own numbers.
Python 3.11, standard library only.
"""

import argparse
import collections
import contextlib
import fcntl
import functools
import gzip
import hashlib
import json
import math
import os
import re
import selectors
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = os.path.join(ROOT, "demo")
CACHE = os.environ.get("WHYRSS_CACHE") or os.path.join(tempfile.gettempdir(), "whyrss-cache")

Row = collections.namedtuple("Row", "cause cgo notes")

# name -> the cause that must come first, whether it needs cgo, what to know
DEMOS = {
    "schedule": Row("gc-schedule", False, "lasts until a GC, at most 2 min; tick restores it, -keep 1s keeps it"),
    "retention": Row("retention", False, "GOGC=off + GOMEMLIMIT: lasts until gc, free; tick restores it"),
    "fragmentation": Row("fragmentation", False, "lasts"),
    "leakedgoroutines": Row("goroutines", False, "lasts"),
    "fatstacks": Row("stacks", False, "lasts: just above the limit for shrinking"),
    "cleak": Row("native-leak", True, "lasts"),
    "cretention": Row("native-retention", True, "lasts"),
    "mapfile": Row("mapped-files", False, "lasts; needs a TMPDIR that is no tmpfs"),
    "rawmmap": Row("raw-mmap", False, "lasts"),
    "hugepages": Row("released-not-gone", False, "re-execs itself with GODEBUG; -mode thp for huge pages"),
    "untouched": Row("not-a-gap", False, "lasts; RSS is below the profile"),
    "untouchedzero": Row("not-a-gap", False, "lasts; RSS is below the profile, the pages are present"),
    "profileoff": Row("profile-off", False, "runtime.MemProfile is not linked: no heap profile"),
    "stale": Row("profile-stale", False, "GC off; gc ends it. -mode dropped for the other direction"),
    "profiler": Row("profiler-overhead", False, "lasts"),
    "limitmisfit": Row("limit-misfit", False, "GOMEMLIMIT below the live heap, a few GCs a second"),
    "spantail": Row("span-tail", False, "lasts; exact profile (MemProfileRate=1)"),
    "pagetables": Row("page-tables", False, "lasts; VmPTE, not in RSS"),
    "nothing": Row("nothing-wrong", False, "lasts"),
    "mapshrink": Row("map-never-shrinks", False, "lasts; the profile shows it as in use"),
    "smallview": Row("small-view-pins-big-array", False, "lasts; the profile shows it as in use"),
    "pool": Row("pool", False, "refreshed every 30 s; two GCs at once (gc2) empty it"),
    "pagecache": Row("container-metric", False, "the cgroup's page cache; RSS stays small"),
    "mixed": Row("fragmentation", True, "anchors.md section 5 at a quarter; builds without cgo too"),
    "churn": Row("", False, "load: allocates on all cores for -max-seconds; no cause"),
    "profiles": Row("", False, "something in every profile of runtime/pprof; no cause"),
    "pace": Row("", False, "load: allocates at a pace of the wall clock, -mode steady, bursty, sawtooth, cache; no cause"),
    "tour": Row("fragmentation", False, "the README's first example: five causes of different size"),
}


def _environment(go, cgo, experiment=None):
    env = {k: v for k, v in os.environ.items() if k not in ("GODEBUG", "GOGC", "GOMEMLIMIT", "GOEXPERIMENT")}
    env["GOTOOLCHAIN"] = go
    if go.startswith(("go1.19", "go1.20")):
        env["GODEBUG"] = "goindex=0"  # the package index of 1.19 to 1.20.7 fails on a GOROOT inside a module cache
    env["GOFLAGS"] = "-buildvcs=false"
    env["CGO_ENABLED"] = "1" if cgo else "0"
    experiment = experiment or os.environ.get("WHYRSS_GOEXPERIMENT")
    if experiment:
        env["GOEXPERIMENT"] = experiment
    return env


@functools.lru_cache(maxsize=None)
def go_version(go="local"):
    """The version behind a GOTOOLCHAIN value, such as go1.26.8."""
    if re.fullmatch(r"go1\.\d+(\.\d+)?", go):
        return go
    return subprocess.run(["go", "env", "GOVERSION"], env=_environment(go, False), cwd=SOURCE, check=True,
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def _sources(name):
    yield os.path.join(SOURCE, "go.mod")
    for top in ("truth", name):
        for folder, _, files in sorted(os.walk(os.path.join(SOURCE, top))):
            for f in sorted(files):
                yield os.path.join(folder, f)


@contextlib.contextmanager
def own_caches():
    """Environment of builds with a toolchain (some 600 MB) that is not to stay: it is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="whyrss-toolchain-") as folder:
        env = {"GOMODCACHE": folder + "/mod", "GOCACHE": folder + "/build"}
        try:
            yield env
        finally:  # a module cache is read-only, so it takes the go command to empty one
            subprocess.run(["go", "clean", "-modcache"], env=os.environ | env | {"GOTOOLCHAIN": "local"}, cwd=SOURCE, check=False)


def build(name, go="local", out=None, cgo=None, flags=(), experiment=None, env=None):
    """Build demo NAME with a toolchain and return the path of the binary.

    The result is cached by content: sources, Go version, cgo, flags, GOEXPERIMENT. With
    `out`, a folder, the binary is put there as NAME; else it stays in the cache. `env` is that of own_caches().
    """
    if cgo is None:
        cgo = DEMOS[name].cgo
    version = go_version(go)
    h = hashlib.sha256()
    for part in ("1", name, version, str(bool(cgo)), experiment or os.environ.get("WHYRSS_GOEXPERIMENT", ""), *flags):
        h.update(part.encode() + b"\0")
    for path in _sources(name):
        with open(path, "rb") as f:
            h.update(path.removeprefix(SOURCE).encode() + b"\0" + f.read() + b"\0")
    folder = os.path.join(CACHE, "demo", f"{name}-{version}-{h.hexdigest()[:16]}")
    binary = os.path.join(folder, name)
    if not os.path.exists(binary):
        os.makedirs(folder, exist_ok=True)
        # One build at a time over all processes: the machines are small. Fetching a toolchain takes its time and keeps nobody waiting.
        with open(os.path.join(CACHE, "lock-own" if env else "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(binary):
                new = binary + ".new"
                r = subprocess.run(["go", "build", "-p", "2", *flags, "-o", new, "./" + name], cwd=SOURCE,
                                   env=_environment(go, cgo, experiment) | (env or {}), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
                if r.returncode:
                    raise RuntimeError(f"go build {name} ({version}): {r.stdout}")
                os.rename(new, binary)
    if out is None:
        return binary
    os.makedirs(out, exist_ok=True)
    return shutil.copy2(binary, os.path.join(out, name))


class Demo:
    """A running demo. A context manager; it only ever ends its own process."""

    def __init__(self, binary, args=(), env=None, timeout=60, nice=0, stderr=None):
        self.binary, self.args, self.env = binary, list(args), env or {}
        self.timeout, self.nice, self.stderr = timeout, nice, stderr
        self.proc = self.ready = self.pid = None
        self.reports = {}     # further lines a program prints, "NAME {json}"
        self._buffer = b""

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def start(self):
        env = {k: v for k, v in os.environ.items() if k not in ("GODEBUG", "GOGC", "GOMEMLIMIT")} | self.env
        argv = [self.binary, *map(str, self.args)]
        if self.nice:
            argv = ["nice", "-n", str(self.nice), *argv]   # nice execs: the PID stays
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, env=env)
        self.pid = self.proc.pid
        try:
            while self.ready is None:
                line = self._line(self.timeout)
                if line.startswith("ready "):
                    self.ready = json.loads(line[6:])
        except BaseException:
            self.close()
            raise
        return self

    def _line(self, timeout):
        end = time.monotonic() + timeout
        with selectors.DefaultSelector() as sel:
            sel.register(self.proc.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = end - time.monotonic()
                if left <= 0 or not sel.select(left):
                    raise TimeoutError(f"{os.path.basename(self.binary)}: no answer in {timeout} s")
                piece = os.read(self.proc.stdout.fileno(), 65536)
                if not piece:
                    raise RuntimeError(f"{os.path.basename(self.binary)} ended early, exit code {self.proc.wait()}")
                self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode()

    def cmd(self, *words, timeout=60):
        """Send a command and wait for done; returns the lines before it."""
        self.proc.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.proc.stdin.flush()
        lines = []
        while True:
            line = self._line(timeout)
            if line == "done":
                return lines
            if line.startswith("error "):
                raise RuntimeError(line[6:])
            word, _, rest = line.partition(" ")
            if rest.startswith("{"):
                self.reports[word] = json.loads(rest)
            lines.append(line)

    def truth(self, folder=None):
        """What the program knows about itself, parsed (see read_truth)."""
        if folder:
            self.cmd("truth", folder)
            return read_truth(folder)
        with tempfile.TemporaryDirectory(prefix="whyrss-truth-") as folder:
            self.cmd("truth", folder)
            return read_truth(folder)

    def close(self, timeout=5):
        """Close stdin, so that the program cleans up and ends; kill it only if it does not."""
        if self.proc is None:
            return
        for f in (self.proc.stdin,):
            try:
                f.close()
            except OSError:
                pass
        try:
            self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        if not self.proc.stdout.closed:
            # What a program says at the end, such as churn's numbers.
            self._buffer += self.proc.stdout.read() or b""
            self.proc.stdout.close()
            for line in self._buffer.decode(errors="replace").splitlines():
                word, _, rest = line.partition(" ")
                if rest.startswith("{"):
                    self.reports[word] = json.loads(rest)
        self.code = self.proc.returncode


_VMA = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+) *(.*)$")


def parse_smaps(text):
    """smaps as a list of dicts: start, end, perms, offset, dev, inode, path, and every size in bytes."""
    maps = []
    for line in text.splitlines():
        m = _VMA.match(line)
        if m:
            maps.append({"start": int(m[1], 16), "end": int(m[2], 16), "perms": m[3], "offset": int(m[4], 16),
                         "dev": m[5], "inode": int(m[6]), "path": m[7]})
            continue
        key, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            maps[-1][key] = int(words[0]) * 1024
        elif key == "VmFlags":
            maps[-1][key] = words
    return maps


def parse_status(text):
    """/proc/PID/status: kB rows in bytes, the others as they are."""
    status = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        words = value.split()
        status[key] = int(words[0]) * 1024 if len(words) == 2 and words[1] == "kB" else value.strip()
    return status


def parse_heap_txt(text):
    """Totals of a debug=1 heap profile, corrected for sampling as pprof does."""
    head = re.match(r"heap profile: (\d+): (\d+) \[(\d+): (\d+)\] @ heap/(\d+)", text)
    rate = int(head[5]) // 2
    objects = space = variance = samples = 0
    for n, b in re.findall(r"^(\d+): (\d+) \[\d+: \d+\] @", text, re.M):
        n, b = int(n), int(b)
        if not n:
            continue
        p = 1 - math.exp(-b / n / rate) if rate > 1 else 1
        objects, space, samples = objects + n / p, space + b / p, samples + n
        variance += n * (1 - p) * (b / n / p) ** 2
    return {"rate": rate, "inuse_objects": round(objects), "inuse_space": round(space), "samples": samples,
            "error": math.sqrt(variance) / space if space else None}


def read_truth(folder):
    """The files of the truth command: memstats, metrics, smaps, status, rss sums, profile, heap_pb (path-free bytes)."""
    def text(name):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as f:
            return f.read()

    t = {"memstats": json.loads(text("memstats.json")), "metrics": json.loads(text("metrics.json")),
         "smaps": parse_smaps(text("smaps")), "status": parse_status(text("status")),
         "heap_txt": None, "heap_pb": None, "profile": None}
    keys = ("Rss", "Pss", "Swap", "Anonymous", "AnonHugePages", "LazyFree", "Private_Dirty", "Shared_Clean", "Private_Clean")
    t["sums"] = {k: sum(m.get(k, 0) for m in t["smaps"]) for k in keys}
    t["rss"] = t["sums"]["Rss"]
    if os.path.exists(os.path.join(folder, "heap.txt")):
        t["heap_txt"] = text("heap.txt")
        t["profile"] = parse_heap_txt(t["heap_txt"])
        with open(os.path.join(folder, "heap.pb.gz"), "rb") as f:
            t["heap_pb"] = f.read()
        gzip.decompress(t["heap_pb"])   # whole, or this raises
    for name in os.listdir(folder):     # what a single demo adds
        if name.endswith(".json") and name not in ("memstats.json", "metrics.json"):
            t[name[:-5]] = json.loads(text(name))
    return t


def arithmetic(t):
    """The gap by hand, in bytes: what MemStats and smaps can tell apart."""
    ms, mt = t["memstats"], t["metrics"]
    live = mt["/gc/heap/live:bytes"]
    profile = t["profile"]["inuse_space"] if t["profile"] else 0
    file_rss = sum(m["Rss"] for m in t["smaps"] if m["path"].startswith("/"))
    return {
        "rss": t["rss"], "profile": profile, "gap": t["rss"] - profile, "live": live,
        "sampling": live - profile, "new+dead": ms["HeapAlloc"] - live,
        "slots+tail": ms["HeapInuse"] - ms["HeapAlloc"], "free": ms["HeapIdle"] - ms["HeapReleased"],
        "released": ms["HeapReleased"], "lazyfree": t["sums"]["LazyFree"], "stacks": ms["StackSys"],
        "buckets": ms["BuckHashSys"], "runtime": ms["MSpanSys"] + ms["MCacheSys"] + ms["GCSys"] + ms["OtherSys"],
        "file": file_rss, "anon-go": t["sums"]["Rss"] - file_rss - (ms["Sys"] - ms["HeapReleased"]),
        "pte": t["status"]["VmPTE"], "sys-rel": ms["Sys"] - ms["HeapReleased"],
    }


def main():
    p = argparse.ArgumentParser(description="measure demos")
    p.add_argument("--go", default="local", help="GOTOOLCHAIN value (local, go1.21.13, …)")
    p.add_argument("--args", default="", help="arguments for the programs")
    p.add_argument("--settle", type=float, default=1, help="seconds to wait before asking")
    p.add_argument("--json", action="store_true")
    p.add_argument("names", nargs="*", default=[])
    o = p.parse_args()
    for name in o.names or DEMOS:
        began = time.monotonic()
        binary = build(name, o.go)
        built = time.monotonic()
        with Demo(binary, o.args.split()) as d:
            ready = time.monotonic()
            time.sleep(o.settle)
            a = arithmetic(d.truth())
        a["start_s"], a["build_s"] = round(ready - built, 1), round(built - began, 1)
        if o.json:
            print(json.dumps({"demo": name, "go": d.ready["go"], "expect": d.ready["expect"], "bytes": a}))
            continue
        print(f"{name} ({d.ready['go']}, {d.ready['cause']}) built {a.pop('build_s')} s, ready {a.pop('start_s')} s, exit {d.code}")
        print("  " + "  ".join(f"{k} {v / 2**20:.1f}" for k, v in a.items()))
        print("  expect " + "  ".join(f"{k} {v / 2**20:.1f}" for k, v in d.ready["expect"].items()), *d.reports.items())
        sys.stdout.flush()


if __name__ == "__main__":
    main()
