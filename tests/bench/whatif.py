"""Forecasts of `whyrss what-if` against real runs: four programs under twelve settings. Writes the table of docs/what-if.md.

Each program runs with GOGC=100; what-if takes its recording and forecasts each setting. At the same time it runs with that setting, and
live counts.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/live"))
from demos import Demo, build, go_version  # noqa: E402

WHYRSS = os.environ.get("WHYRSS", str(ROOT / "build/release/whyrss"))
MODES = ["steady", "bursty", "sawtooth", "cache"]
SETTINGS = [{"gogc": g} for g in ("25", "50", "75", "150", "200", "300", "400")] + \
    [{"gogc": "off", "memlimit": m} for m in ("90MiB", "130MiB", "220MiB")] + \
    [{"gogc": "100", "memlimit": "64MiB"}, {"gogc": "200", "memlimit": "80MiB"}]
# Small enough that five of them leave the machine idle most of the time: what-if does not say how a starved program behaves.
MARKS = "<!-- table of tests/bench/whatif.py -->", "<!-- end of table -->"
SIZE = ["-live", "24", "-rate", "40"]

AT_ONCE = 4
# Long enough for the slowest setting's median to be known within some percent: with a live heap that comes and goes each cycle ends
# somewhere else, so that it takes a hundred of them.
SECONDS = {"steady": 30, "bursty": 45, "sawtooth": 150, "cache": 30}


def setting_args(s):
    return [w for k, v in s.items() for w in (f"--{k}", v)]


def setting_env(s):
    return {"GOGC": s.get("gogc", "100"), **({"GOMEMLIMIT": s["memlimit"]} if "memlimit" in s else {})}


def label(s):
    return " ".join(f"{'GOGC' if k == 'gogc' else 'GOMEMLIMIT'}={v}" for k, v in s.items())


def real(events):
    """Median heap at the end of a cycle with the interval that the median is sure within, cycles a second, the highest RSS."""
    peaks = sorted(e["heap_end"] for e in events if e["type"] == "gc" and e["heap_end"])
    samples = [e for e in events if e["type"] == "sample"]
    span = samples[-1]["t"] - samples[0]["t"]
    wide = 0.98 * math.sqrt(len(peaks))
    return {"heap_peak": statistics.median(peaks) if peaks else None, "rss": max(e["rss"] for e in samples),
            "gc_per_s": (samples[-1]["num_gc"] - samples[0]["num_gc"]) / span,
            "sure": (peaks[max(0, int(len(peaks) / 2 - wide))], peaks[min(len(peaks) - 1, int(len(peaks) / 2 + wide))]) if peaks else None,
            "pace": (samples[-1]["total_alloc"] - samples[0]["total_alloc"]) / span}


def ahead_of_others():
    """This session before all others on the CPU, where that is allowed: a mark that takes ten times as long is another program."""
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as f:
        f.write("-20")


def group(go, mode, settings, seconds):
    """
    One run with GOGC=100 that is recorded, and one with each of the settings, all at the same time: what else the machine does meets all
    of them. Returns (forecast, reality) of each setting.
    """
    db = f"{tempfile.gettempdir()}/whyrss-what-if-{os.getpid()}-{mode}-{time.monotonic_ns()}.db"
    with contextlib.ExitStack() as stack:
        base, *others = [stack.enter_context(Demo(build("pace", go), ["-mode", mode, *SIZE], env=env))
                         for env in [{}, *map(setting_env, settings)]]
        time.sleep(2)
        watches = [subprocess.Popen([WHYRSS, "live", str(d.pid), "--json", "--duration", f"{seconds}s"], stdout=subprocess.PIPE, text=True)
                   for d in others]
        texts = [None] * len(watches)
        readers = [threading.Thread(target=lambda i=i: texts.__setitem__(i, watches[i].communicate()[0])) for i in range(len(watches))]
        for r in readers:
            r.start()
        subprocess.run([WHYRSS, "record", str(base.pid), "-o", db, "--duration", f"{seconds}s", "--hz", "20"], check=True, stderr=subprocess.DEVNULL)
        for r in readers:
            r.join()
    said = [json.loads(subprocess.run([WHYRSS, "what-if", db, *setting_args(s), "--json"], check=True, capture_output=True, text=True).stdout)
            for s in settings]
    if not os.environ.get("WHATIF_KEEP"):
        os.remove(db)
    return list(zip(said, (real([json.loads(x) for x in t.splitlines()]) for t in texts)))


def measure(go, modes, settings, seconds=None, say=print):
    rows = []
    for mode in modes:
        for at in range(0, len(settings), AT_ONCE):
            some = settings[at:at + AT_ONCE]
            for s, (f, r) in zip(some, group(go, mode, some, seconds or SECONDS[mode])):
                row = {"mode": mode, "setting": label(s), "sure": r["sure"]}
                for k in ("heap_peak", "gc_per_s", "rss"):
                    row[k] = (f["then"][k], r[k], abs(f["then"][k] - r[k]) / r[k] if r[k] and f["then"][k] else None)
                rows.append(row)
                say(f"{mode:9} {row['setting']:32} " + "  ".join(
                    f"{k} {(row[k][0] or 0) / (1 << 20 if k != 'gc_per_s' else 1):8.2f} real {(row[k][1] or 0) / (1 << 20 if k != 'gc_per_s' else 1):8.2f} "
                    f"({row[k][2] or 0:.0%})" for k in ("heap_peak", "gc_per_s", "rss")) +
                    f"  {r['pace'] / (1 << 20):.0f} MiB/s, sure {[x >> 20 for x in r['sure'] or ()]}", flush=True)
    return rows


def errors(rows, key):
    v = sorted(r[key][2] for r in rows if r[key][2] is not None)
    return statistics.median(v), max(v)


def table(rows, go):
    """What docs/what-if.md says between its marks."""
    out = [f"{len(rows)} pairs, {go}:", ""]
    for k, name in (("heap_peak", "heap at the end of a cycle"), ("gc_per_s", "GC cycles a second"), ("rss", "RSS at most")):
        out.append("- {}: median error {:.1%}, worst {:.1%}".format(name, *errors(rows, k)))
    out += ["", "| program | setting | heap peak, MiB | real | error | cycles a second | real | error | RSS, MiB | real | error |",
            "| --- | --- " + "| ---: " * 9 + "|"]
    for r in rows:
        cells = []
        for k in ("heap_peak", "gc_per_s", "rss"):
            unit, digits = (1, 2) if k == "gc_per_s" else (1 << 20, 1)
            cells += [f"{r[k][0] / unit:.{digits}f}", f"{r[k][1] / unit:.{digits}f}", f"{r[k][2]:.0%}"]
        out.append(f"| {r['mode']} | {r['setting']} | " + " | ".join(cells) + " |")
    return "\n".join(out) + "\n"


def write(text, path):
    page = path.read_text(encoding="utf-8")
    begin, end = page.index(MARKS[0]) + len(MARKS[0]), page.index(MARKS[1])
    path.write_text(page[:begin] + "\n" + text + page[end:], encoding="utf-8")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--go", default="local")
    p.add_argument("--seconds", type=float, help="of each run; by default as long as the program needs")
    p.add_argument("--modes", default=",".join(MODES))
    o = p.parse_args()
    ahead_of_others()
    rows = measure(o.go, o.modes.split(","), SETTINGS, o.seconds)
    for k in ("heap_peak", "gc_per_s", "rss"):
        print(k, "median {:.1%} worst {:.1%}".format(*errors(rows, k)))
    if o.modes == ",".join(MODES):
        write(table(rows, go_version(o.go)), ROOT / "docs/what-if.md")


if __name__ == "__main__":
    main()
