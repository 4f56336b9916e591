"""Forecasts of `whyrss what-if` against real runs: four programs under twelve settings. Writes docs/what-if-table.md.

Each program runs with GOGC=100; what-if watches it and forecasts each setting. Then it runs with that setting for real, and live counts.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/live"))
from demos import Demo, build  # noqa: E402

WHYRSS = os.environ.get("WHYRSS", str(ROOT / "build/release/whyrss"))
MODES = ["steady", "bursty", "sawtooth", "cache"]
SETTINGS = [{"gogc": g} for g in ("25", "50", "75", "150", "200", "300", "400")] + \
    [{"gogc": "off", "memlimit": m} for m in ("160MiB", "240MiB", "400MiB")] + \
    [{"gogc": "100", "memlimit": "110MiB"}, {"gogc": "200", "memlimit": "140MiB"}]


def setting_args(s):
    return [w for k, v in s.items() for w in (f"--{k}", v)]


def setting_env(s):
    return {"GOGC": s.get("gogc", "100"), **({"GOMEMLIMIT": s["memlimit"]} if "memlimit" in s else {})}


def label(s):
    return " ".join(f"{'GOGC' if k == 'gogc' else 'GOMEMLIMIT'}={v}" for k, v in s.items())


def real(go, mode, s, seconds):
    """Median heap at the end of a cycle, cycles a second, and the highest RSS of a run with this setting."""
    with Demo(build("pace", go), ["-mode", mode], env=setting_env(s)) as d:
        time.sleep(2)
        for tries in range(3):   # a setting with few cycles is watched longer
            out = subprocess.run([WHYRSS, "live", str(d.pid), "--json", "--duration", f"{seconds * (tries + 1)}s"], check=True,
                                 capture_output=True, text=True).stdout
            ev = [json.loads(x) for x in out.splitlines()]
            peaks = [e["heap_end"] for e in ev if e["type"] == "gc" and e["heap_end"]]
            if len(peaks) >= 6:
                break
    samples = [e for e in ev if e["type"] == "sample"]
    span = samples[-1]["t"] - samples[0]["t"]
    return {"heap_peak": statistics.median(peaks) if peaks else None, "rss": max(e["rss"] for e in samples),
            "gc_per_s": (samples[-1]["num_gc"] - samples[0]["num_gc"]) / span}


def forecast(go, mode, seconds):
    """What a recording of one run with GOGC=100 says of every setting."""
    db = f"/tmp/whyrss-what-if-{os.getpid()}-{mode}.db"
    with Demo(build("pace", go), ["-mode", mode]) as d:
        time.sleep(2)
        subprocess.run([WHYRSS, "record", str(d.pid), "-o", db, "--duration", f"{seconds}s", "--hz", "20"], check=True, stderr=subprocess.DEVNULL)
    out = []
    for s in SETTINGS:
        r = subprocess.run([WHYRSS, "what-if", db, *setting_args(s), "--json"], check=True, capture_output=True, text=True)
        out.append(json.loads(r.stdout))
    os.remove(db)
    return out


def measure(go, modes, settings, seconds, say=print):
    rows = []
    for mode in modes:
        said = forecast(go, mode, seconds)
        for s, f in zip(SETTINGS, said):
            if s not in settings:
                continue
            r = real(go, mode, s, seconds)
            row = {"mode": mode, "setting": label(s)}
            for k in ("heap_peak", "gc_per_s", "rss"):
                row[k] = (f["then"][k], r[k], abs(f["then"][k] - r[k]) / r[k] if r[k] else None)
            rows.append(row)
            say(f"{mode:9} {row['setting']:32} " + "  ".join(
                f"{k} {row[k][0] / (1 << 20 if k != 'gc_per_s' else 1):8.2f} real {row[k][1] / (1 << 20 if k != 'gc_per_s' else 1):8.2f} ({row[k][2]:.0%})"
                for k in ("heap_peak", "gc_per_s", "rss")), flush=True)
    return rows


def errors(rows, key):
    v = sorted(r[key][2] for r in rows if r[key][2] is not None)
    return statistics.median(v), max(v)


def table(rows, go, path):
    with open(path, "w", encoding="utf-8") as f:
        f.write("<!-- Made by tests/bench/whatif.py (./dev bench what-if): do not edit. -->\n")
        f.write(f"Forecasts from one recording with GOGC=100 of each program, against real runs with the setting ({go}).\n\n")
        for k, name in (("heap_peak", "heap at the end of a cycle"), ("gc_per_s", "GC cycles a second"), ("rss", "RSS at most")):
            m, w = errors(rows, k)
            f.write(f"- {name}: median error {m:.1%}, worst {w:.1%}\n")
        f.write("\n| program | setting | heap peak, MiB | real | error | cycles a second | real | error | RSS, MiB | real | error |\n")
        f.write("| --- | --- " + "| ---: " * 9 + "|\n")
        for r in rows:
            cells = []
            for k in ("heap_peak", "gc_per_s", "rss"):
                unit = 1 if k == "gc_per_s" else 1 << 20
                cells += [f"{r[k][0] / unit:.2f}" if unit == 1 else f"{r[k][0] / unit:.1f}",
                          f"{r[k][1] / unit:.2f}" if unit == 1 else f"{r[k][1] / unit:.1f}", f"{r[k][2]:.0%}"]
            f.write(f"| {r['mode']} | {r['setting']} | " + " | ".join(cells) + " |\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--go", default="local")
    p.add_argument("--seconds", type=float, default=12)
    p.add_argument("--modes", default=",".join(MODES))
    p.add_argument("--out", default=str(ROOT / "docs/what-if-table.md"))
    o = p.parse_args()
    rows = measure(o.go, o.modes.split(","), SETTINGS, o.seconds)
    for k in ("heap_peak", "gc_per_s", "rss"):
        print(k, "median {:.1%} worst {:.1%}".format(*errors(rows, k)))
    table(rows, o.go, o.out)


if __name__ == "__main__":
    main()
