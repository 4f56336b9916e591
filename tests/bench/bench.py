#!/usr/bin/env python3
"""./dev bench: what a ledger costs, beside the kernel's own walk and beside what people run today.

Each figure is the median of interleaved runs on the same process in the same session; ratios are made pair by pair,
since the machines are shared and their speed drifts. Writes docs/bench.md (its tables only come from here).
Words pick parts: kernel tools load soak hour pprof (soak for an hour, only when named). --small uses a 1 GiB heap instead of 6 GiB.
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/live"))
from demos import Demo, build  # noqa: E402

WHYRSS = os.environ.get("WHYRSS", str(ROOT / "build/release/whyrss"))
MIB = 1 << 20


class Watch(threading.Thread):
    """How long a process is stopped by a tracer, by its state in /proc every half millisecond."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.stopped, self.longest, self.on = pid, 0.0, 0.0, True

    def run(self):
        began = None
        while self.on:
            try:
                with open(f"/proc/{self.pid}/stat", "rb") as f:
                    state = f.read().rsplit(b")", 1)[1].split()[0]
            except OSError:
                return
            now = time.monotonic()
            if state in (b"t", b"T"):
                began = began or now
            elif began is not None:
                self.stopped += now - began
                self.longest = max(self.longest, now - began)
                began = None
            time.sleep(0.0005)


def measure(argv, pid=None, cwd=None, timeout=600):
    """Wall and CPU seconds, peak RSS of the tool in MiB, seconds of stop of the target, exit code."""
    watch = Watch(pid) if pid else None
    if watch:
        watch.start()
    with open(os.devnull, "wb") as null:
        began = time.monotonic()
        p = subprocess.Popen(argv, stdout=null, stderr=null, stdin=subprocess.DEVNULL, cwd=cwd)
        _, status, usage = os.wait4(p.pid, 0)
        wall = time.monotonic() - began
        p.returncode = os.waitstatus_to_exitcode(status)
    if watch:
        watch.on = False
        watch.join()
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss / 1024,
            "stop": watch.longest if watch else 0.0, "code": p.returncode}


def median(rows, key):
    return statistics.median(r[key] for r in rows)


def pairs(a, b, n, pid):
    """n interleaved runs of two commands, after one warm-up of each."""
    measure(a), measure(b)
    rows = [(measure(a, pid), measure(b)) for _ in range(n)]
    ratio = [x["wall"] / max(y["wall"], 1e-4) for x, y in rows]
    return [x for x, _ in rows], [y for _, y in rows], ratio


def part_kernel(out, small):
    """The yardstick of the issue: a ledger of a heap of small objects against cat smaps_rollup."""
    out.append("## A ledger against the kernel's own walk\n")
    out.append("`cat /proc/PID/smaps_rollup` makes the kernel walk the same page tables. The target holds N MiB of small live objects "
               "(64, 208, 512 and 1152 bytes), `demo/mixed -grow N -drop 1`. Start-up, symbols and the answer's text are in our time.\n")
    out.append("| target | RSS MiB | spans | smaps_rollup ms | whyrss ms | ratio, median (min–max) | whyrss CPU ms | whyrss peak RSS MiB |")
    out.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for grow in ([64, 1000] if small else [64, 1000, 6000]):
        args = ["-grow", grow, "-drop", 1, "-goroutines", 10, "-cgo", 0, "-mmapfile", 0, "-mmapanon", 0, "-globals", 0,
                "-ballast", 0, "-large", 0]
        with Demo(build("mixed", cgo=False), args, timeout=300) as d:
            time.sleep(2)
            spans = json.loads(subprocess.run([WHYRSS, "spans", str(d.pid), "--json"], capture_output=True, text=True, check=True).stdout)
            ours, theirs, ratio = pairs([WHYRSS, str(d.pid)], ["cat", f"/proc/{d.pid}/smaps_rollup"], 11, d.pid)
            rss = int(open(f"/proc/{d.pid}/statm", encoding="ascii").read().split()[1]) * 4096
            n = spans.get("total", {}).get("spans", 0)
            out.append(f"| {grow} MiB of objects | {rss / MIB:.0f} | {n:,} | {1000 * median(theirs, 'wall'):.1f} | "
                       f"{1000 * median(ours, 'wall'):.1f} | {statistics.median(ratio):.2f} ({min(ratio):.2f}–{max(ratio):.2f}) | "
                       f"{1000 * median(ours, 'cpu'):.0f} | {max(r['rss'] for r in ours):.1f} |")
            assert all(r["code"] in (0, 3) for r in ours)
    out.append("")
    corpus = pathlib.Path(os.environ.get("ROOT", "/tmp/corpus")) / "bin/etcd"
    if corpus.exists():
        run = subprocess.run(["bash", str(ROOT / "tests/live/corpus.sh"), "up", "etcd"], capture_output=True, text=True)
        if run.returncode == 0:
            pid = int(run.stdout.split()[0])
            try:
                ours, theirs, ratio = pairs([WHYRSS, str(pid)], ["cat", f"/proc/{pid}/smaps_rollup"], 11, pid)
                out.append(f"An idle etcd ({corpus.stat().st_size / MIB:.0f} MiB binary): {1000 * median(ours, 'wall'):.1f} ms, "
                           f"{max(r['rss'] for r in ours):.1f} MiB.\n")
            finally:
                subprocess.run(["bash", str(ROOT / "tests/live/corpus.sh"), "down", "etcd"], capture_output=True)


def delve():
    """dlv from the module proxy, into the cache; None where it can't be had."""
    folder = pathlib.Path(tempfile.gettempdir()) / "whyrss-cache/bin"
    if not (folder / "dlv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"}
        subprocess.run(["go", "install", "github.com/go-delve/delve/cmd/dlv@v1.27.2"], env=env, capture_output=True)
    return folder / "dlv" if (folder / "dlv").exists() else None


def part_tools(out, small):
    """Side by side with what a user would run instead."""
    out.append("## Beside today's tools, on the same process\n")
    out.append("stop: the longest time that the target was held by a tracer. peak: the tool's peak RSS; about 20 MiB of it is the "
               "Python that started it, so smaller ones show as 20. dlv is left at its prompt by the end of its input: exit 2 or 1.\n")
    dlv = delve()
    grow = 200 if small else 1000
    args = ["-grow", grow, "-drop", 1, "-goroutines", 10, "-cgo", 0, "-mmapfile", 0, "-mmapanon", 0, "-globals", 0, "-ballast", 0,
            "-large", 0]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as tmp, Demo(build("mixed", cgo=False), args, timeout=300) as d:
        time.sleep(1)
        d.cmd("truth", tmp)
        script = pathlib.Path(tmp) / "dlv.txt"
        script.write_text("".join(f"print runtime.{v}\n" for v in ("gcController.heapInUse", "gcController.heapFree",
                          "gcController.heapReleased", "gcController.heapMarked", "memstats.numgc", "gcController.totalAlloc")) + "exit\n")
        tools = {
            "cat smaps_rollup": ["cat", f"/proc/{d.pid}/smaps_rollup"],
            "pmap -X": ["pmap", "-X", str(d.pid)],
            "go tool pprof -top heap.pb.gz": ["go", "tool", "pprof", "-top", f"{tmp}/heap.pb.gz"],
            "gdb -p, 3 variables": ["gdb", "-p", str(d.pid), "-batch", "-ex", "print 'runtime.gcController'.heapInUse.value",
                                    "-ex", "print 'runtime.gcController'.heapFree.value", "-ex", "print 'runtime.memstats'.numgc"],
            "gcore": ["gcore", "-o", f"{tmp}/core", str(d.pid)],
        }
        if dlv:
            tools["dlv attach, 6 variables"] = [str(dlv), "attach", str(d.pid), "--init", str(script), "--allow-non-terminal-interactive=true"]
        tools["whyrss"] = [WHYRSS, str(d.pid)]
        out.append(f"Target: `demo/mixed -grow {grow} -drop 1`, one run after a warm-up each (gcore: no warm-up).\n")
        out.append("| tool | wall s | stop s | peak MiB | exit | says |")
        out.append("| --- | --- | --- | --- | --- | --- |")
        says = {"cat smaps_rollup": "one RSS, no owner", "pmap -X": "RSS by mapping, the Go heap one unnamed line",
                "go tool pprof -top heap.pb.gz": "sampled live heap by call site", "gdb -p, 3 variables": "single variables",
                "gcore": "all bytes, nothing explained", "dlv attach, 6 variables": "single variables",
                "whyrss": "the whole sum, causes and actions"}
        for name, argv in tools.items():
            if shutil.which(argv[0]) is None:
                out.append(f"| {name} | not installed | | | | {says[name]} |")
                continue
            if name != "gcore":
                measure(argv)
            rows = [measure(argv, d.pid) for _ in range(1 if name == "gcore" else 3)]
            out.append(f"| {name} | {median(rows, 'wall'):.3f} | {max(r['stop'] for r in rows):.3f} | "
                       f"{max(r['rss'] for r in rows):.0f} | {rows[0]['code']} | {says[name]} |")
    out.append("\nviewcore, grf and gcvis are not in the registries that this machine reaches; what they took on such a target stands in the "
               "project's notes: grf attach 25.8 s with a stop of 25.6 s and 393 MiB, viewcore on a core 2.4 s and 1410 MiB.\n")


def part_load(out, small):
    """What reading costs a program that allocates as fast as it can."""
    out.append("## What reading costs the target\n")
    out.append("`demo/churn` allocates on all cores and measures itself: throughput, and the gaps of a 1 ms heartbeat. Each row is one run of "
               f"{10 if small else 30} s.\n")
    out.append("| run | throughput MiB/s | heartbeat p50 ms | p99 ms | max ms | ledgers | torn |")
    out.append("| --- | --- | --- | --- | --- | --- | --- |")
    for name, hz in (("alone", 0), ("1 ledger a second", 1), ("10 ledgers a second", 10), ("back to back", 1000), ("alone again", 0)):
        seconds = 10 if small else 30
        with Demo(build("churn"), ["-max-seconds", seconds + 20]) as d:
            time.sleep(1)
            end, n, torn = time.monotonic() + seconds, 0, 0
            while time.monotonic() < end:
                if not hz:
                    time.sleep(0.2)
                    continue
                began = time.monotonic()
                r = subprocess.run([WHYRSS, str(d.pid), "--json"], capture_output=True, text=True, check=False)
                n += 1
                torn += r.returncode not in (0, 3) or not json.loads(r.stdout)["read"]["consistent"]
                time.sleep(max(0, 1 / hz - (time.monotonic() - began)))
            with tempfile.TemporaryDirectory() as tmp:
                d.cmd("truth", tmp)
            rep = d.reports["churn"]
        out.append(f"| {name} | {rep['mib_per_s']:.0f} | {rep['p50_ms']:.2f} | {rep['p99_ms']:.2f} | "
                   f"{rep['max_ms']:.2f} | {n} | {torn} |")
    out.append("")


def rss_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) / 1024


class Asking:
    """Asks one URL over one connection at a fixed rate: the moments are fixed, so that a late answer does not make the rate lower."""

    def __init__(self, port, hz):
        self.connection, self.hz = http.client.HTTPConnection("127.0.0.1", port, timeout=60), hz
        self.n = self.failed = self.skipped = 0
        self.moments = set()

    def run(self, path, seconds, ledger):
        began = time.monotonic()
        for i in range(int(seconds * self.hz)):
            left = began + i / self.hz - time.monotonic()
            if left < -1 / self.hz:
                self.skipped += ledger  # the one before took longer than its time
                continue
            time.sleep(max(0, left))
            self.connection.request("GET", path)
            r = self.connection.getresponse()
            body = r.read()
            if not ledger:
                continue
            self.n += 1
            try:
                got = json.loads(body)
                self.moments.add(got["read"]["at"])
                self.failed += r.status != 200 or sum(x["resident"] for x in got["lines"]) != got["os"]["rss"]
            except (ValueError, KeyError):
                self.failed += 1
        time.sleep(max(0, began + seconds - time.monotonic()))


def quantile(gaps, q, bucket):
    """The upper edge of the bucket that holds it."""
    seen, total = 0, sum(gaps)
    for i, n in enumerate(gaps):
        seen += n
        if seen >= q * total:
            return (i + 1) * bucket
    return len(gaps) * bucket


def part_soak(out, small, seconds=600, live=64, hz=10, phase=20):
    """What ten ledgers a second do to a target, and to the session that makes them. What else goes on on the machine changes, so phases with and
    without alternate, and are added up."""
    phases = ("alone", f"{hz} pages a second, nothing read", f"{hz} ledgers a second")
    total = {p: {"gaps": [0] * 8192, "bytes": 0.0, "seconds": 0.0, "max": 0.0, "rate": []} for p in phases}
    memory, steal = [], []
    with Demo(build("churn"), ["-max-seconds", seconds + 300, "-life", "3h", "-live", live, "-cores", 1]) as d, \
            subprocess.Popen([WHYRSS, "serve", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             stdin=subprocess.DEVNULL) as server:
        try:
            url = re.search(r"http://\S+?:(\d+)/", server.stdout.readline())
            ask = Asking(int(url.group(1)), hz)
            ledger = f"/api/1/pid/{d.pid}/ledger?max_age=0"
            ask.run(ledger, 2, False)
            for turn in range(max(2, int(seconds / phase / len(phases)))):
                steal.append(os.getloadavg()[0])
                for k in range(len(phases)):
                    name = phases[(turn + k) % len(phases)]  # none is always the first after another
                    d.cmd("reset")
                    if name == phases[0]:
                        time.sleep(phase)
                    else:
                        ask.run(ledger if name == phases[2] else "/", phase, name == phases[2])
                    d.cmd("report")
                    rep, t = d.reports["churn"], total[name]
                    for i, n in enumerate(rep["gaps"]):
                        t["gaps"][i] += n
                    t["bytes"] += rep["mib_per_s"] * rep["seconds"]
                    t["seconds"] += rep["seconds"]
                    t["max"] = max(t["max"], rep["max_ms"])
                    t["rate"].append(rep["mib_per_s"])
                    bucket = rep["bucket_ms"]
                memory.append(rss_of(server.pid))
        finally:
            server.terminate()
    out.append("## Ten ledgers a second from one session\n")
    out.append(f"`./dev bench soak`: `whyrss serve` is asked for the ledger of `demo/churn -live {live} -cores 1` {hz} times a second over one connection, in "
               f"phases of {phase} s that alternate with phases in which the target is alone, and in which the server is asked as often for a page for "
               f"which it reads nothing. The target times a heartbeat of 1 ms; the phases of a kind are added up, {len(memory)} of each. The machine's load "
               f"was {statistics.median(steal):.1f} (median), {max(steal):.1f} at most.\n")
    out.append("| target | throughput MiB/s | heartbeat p50 ms | p90 ms | p99 ms | p99.9 ms | max ms |")
    out.append("| --- | --- | --- | --- | --- | --- | --- |")
    for name in phases:
        t = total[name]
        q = " | ".join(f"{quantile(t['gaps'], x, bucket):.2f}" for x in (0.5, 0.9, 0.99, 0.999))
        out.append(f"| {name} | {t['bytes'] / t['seconds']:.0f} | {q} | {t['max']:.2f} |")
    ratio = [b / a for a, b in zip(total[phases[0]]["rate"], total[phases[2]]["rate"])]
    out.append(f"\nThroughput with ledgers by that alone, phase by phase: median {statistics.median(ratio):.3f} ({min(ratio):.3f} to {max(ratio):.3f}). "
               f"{ask.n} ledgers, {len(ask.moments)} readings of their own, {ask.failed} failed, {ask.skipped} left out since the one before took longer than "
               f"{1000 // hz} ms.\n")
    k = max(1, len(memory) // 5)
    early, late = statistics.median(memory[:k]), statistics.median(memory[-k:])
    out.append(f"RssAnon of whyrss: median {early:.1f} MiB in the first fifth of the time, {late:.1f} in the last, {max(memory):.1f} at most.\n")
    return {"failed": ask.failed, "answers": ask.n, "readings": len(ask.moments), "early": early, "late": late}


def part_hour(out, small):
    """part_soak for an hour: only when it is named."""
    return part_soak(out, small, 3600)


def generated(folder, samples):
    """A profile of tests/bench/genprofile.c, made once."""
    exe, path = folder / "genprofile", folder / f"{samples}.pb.gz"
    if not exe.exists():
        sources = [*(ROOT / "src/pprof" / f"{x}.c" for x in ("build", "encode", "profile")), *sorted((ROOT / "src/base").glob("*.c"))]
        subprocess.run(["cc", "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-fno-strict-aliasing", "-fwrapv", f"-I{ROOT}/src", ROOT / "tests/bench/genprofile.c",
                        *sources, "-ldeflate", "-lm", "-o", exe], check=True)
    if not path.exists():
        subprocess.run([exe, str(samples), str(path)], check=True)
    return path


def peak(argv, timeout=3000):
    """Wall and CPU seconds, own peak RSS in MiB: by time(1), so that the RSS is not that of the Python that starts it."""
    with tempfile.NamedTemporaryFile("r") as said:
        subprocess.run(["/usr/bin/time", "-f", "%e %U %S %M", "-o", said.name, *map(str, argv)], check=True, timeout=timeout, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wall, user, system, rss = said.read().split()
    return {"wall": float(wall), "cpu": float(user) + float(system), "rss": int(rss) / 1024}


def part_pprof(out, small):
    """whyrss pprof beside google/pprof and zcat, on made profiles; the largest with --full."""
    import pprof_ref
    reference, rows = pprof_ref.binary(), []
    folder = pathlib.Path(tempfile.gettempdir()) / "whyrss-cache/bench"
    folder.mkdir(parents=True, exist_ok=True)
    reports = [[60000, "-top", 3], [60000, "-tree", 1], [60000, "-dot", 1], [60000, "-traces", 1], [60000, "-raw", 1]]
    if "--full" in sys.argv:
        reports.append([1200000, "-top", 1])
    for samples, report, n in reports[:1] if small else reports:
        path = generated(folder, samples)
        assert subprocess.run([WHYRSS, "pprof", report, path], capture_output=True, check=True).stdout == subprocess.run(
            [reference, report, path], capture_output=True, check=True).stdout or samples > 60000, f"{report} differs"
        got = [(peak([WHYRSS, "pprof", report, path]), peak([reference, report, path]), peak(["zcat", path])) for _ in range(n)]
        ours, theirs, inflate = ([g[i] for g in got] for i in range(3))
        rows.append(f"| {samples:,} | `{report}` | {median(ours, 'wall'):.2f} | {median(theirs, 'wall'):.2f} | "
                    f"{median(theirs, 'wall') / median(ours, 'wall'):.0f} | {median(theirs, 'cpu') / median(ours, 'cpu'):.0f} | {median(inflate, 'wall'):.2f} | "
                    f"{median(ours, 'rss'):.0f} | {median(theirs, 'rss'):.0f} | {median(theirs, 'rss') / median(ours, 'rss'):.1f} |")
    tiny = next(p for p in pprof_ref.made() if p.name == "cpu.pb.gz")
    pairs_of = [(measure([WHYRSS, "pprof", "-top", str(tiny)]), measure(["/bin/true"])) for _ in range(21)]
    out.append("## Profiles: `whyrss pprof` beside google/pprof\n")
    out.append(f"`./dev bench pprof` (`--full` for the last row): profiles of `tests/bench/genprofile.c`, stacks of 16 to 48 frames over 60,000 functions and 240,000 "
               f"locations; the reference is google/pprof {pprof_ref.VERSION}, whose output is compared byte for byte. Medians; side by side in one run.\n")
    out.append("| samples | report | whyrss s | google/pprof s | ratio | ratio of CPU | zcat s | whyrss MiB | google/pprof MiB | ratio |")
    out.append("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    out.extend(rows)
    out.append(f"\nA small profile ({tiny.stat().st_size:,} bytes), the whole process: {1000 * statistics.median(a['wall'] for a, _ in pairs_of):.1f} ms; "
               f"/bin/true in the same run: {1000 * statistics.median(b['wall'] for _, b in pairs_of):.1f} ms.\n")
    out.append(PPROF_TIME)


# What perf says of -top at 60,000 samples; by hand, since perf needs rights that a bench may lack.
PPROF_TIME = """Where the time goes (`perf record`, `-top`, 60,000 samples, shares of all CPU time): inflating by ISA-L on the second core 18 %; counting the values of
nodes, on both cores 14 %; edges between the nodes that are shown, for what is marked `(inline)`, 8 %; stacks of samples 7 %; locations and lines 5 %; places of lines
5 %; faulting in the memory of all these about 15 %. Inflating hides behind decoding; what is left is bound by memory.
"""


def part_stripped(out, small):
    """What it costs to find the runtime's variables without a symbol table, on real programs."""
    tool = pathlib.Path(WHYRSS).resolve().parent / "tests/unit/globals"
    subprocess.run(["ninja", "-C", str(tool.parents[2]), "--quiet", "tests/unit/globals"], check=True, stdout=subprocess.DEVNULL)
    corpus = pathlib.Path(os.environ.get("ROOT", "/tmp/corpus")) / "bin"
    script = str(ROOT / "tests/live/corpus.sh")
    out.append("## Programs without symbols\n")
    out.append("`./dev bench stripped`: opening a process (release, layout, the addresses of all variables) with its symbol table and as if it had none, "
               "CPU time of `tests/unit/globals`, median (min–max) of 21 runs each.\n")
    out.append("| program | file MiB | with symbols ms | without ms |")
    out.append("| --- | --- | --- | --- |")
    for name in ["etcd"] if small else ["etcd", "caddy", "prometheus"]:
        if not (corpus / name).exists():
            continue
        run = subprocess.run(["bash", script, "up", name], capture_output=True, text=True)
        if run.returncode != 0:
            continue
        try:
            rows = [json.loads(subprocess.run([str(tool), run.stdout.split()[0]], capture_output=True, text=True, check=True).stdout)["ms"]
                    for _ in range(22)][1:]
        finally:
            subprocess.run(["bash", script, "down", name], capture_output=True)
        cells = [f"{statistics.median(v):.1f} ({min(v):.1f}–{max(v):.1f})" for v in zip(*rows)]
        out.append(f"| {name} | {(corpus / name).stat().st_size / MIB:.0f} | {cells[0]} | {cells[1]} |")
    out.append("")


PARTS = {"kernel": part_kernel, "stripped": part_stripped, "tools": part_tools, "load": part_load, "soak": part_soak, "hour": part_hour, "pprof": part_pprof}


def main():
    words = [a for a in sys.argv[1:] if not a.startswith("--")]
    small = "--small" in sys.argv
    out = ["# Measured", "", "Made by `./dev bench`" + (" `--small`" if small else "") + "; ratios are side by side in one run. "
           f"Linux {os.uname().release}, {os.cpu_count()} shared cores, {time.strftime('%Y-%m-%d')}.", ""]
    for name, fn in PARTS.items():
        if name in words or (not words and name != "hour"):
            print(f"bench: {name} …", file=sys.stderr, flush=True)
            fn(out, small)
    text = "\n".join(out) + "\n"
    print(text)
    path = ROOT / "docs/bench.md"
    if words and not small and path.exists():  # the sections of the parts that were named, the others as they are
        fresh = {part.split("\n", 1)[0]: part for part in ("\n" + text).split("\n## ")[1:]}
        kept = ("\n" + path.read_text()).split("\n## ")
        kept = [kept[0].lstrip("\n")] + [fresh.pop(part.split("\n", 1)[0], part) for part in kept[1:]] + list(fresh.values())
        text = "\n## ".join(part.rstrip("\n") + "\n" for part in kept)
    if not small:
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
