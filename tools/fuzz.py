#!/usr/bin/env python3
"""./dev fuzz [SECONDS] [NAME …]: runs each target of tests/fuzz under libFuzzer, by default for 10 s.

What it finds lies in build/fuzz/found/; an input that broke something goes into tests/fuzz/corpus/NAME/ with its mend.
"""
import pathlib
import re
import subprocess
import sys

# Files that have a least size: a SQLite file is of whole pages, a capture holds a whole runtime.
MAX_LEN = {"recording": 1 << 17, "capture": 1 << 20}
ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/fuzz"


def targets():
    text = (ROOT / "tests/fuzz/meson.build").read_text()
    return re.findall(r"'(\w+)'", re.search(r"fuzz_targets = \[(.*?)\]", text, re.S).group(1))


def run(name, seconds):
    """Returns what went wrong, or None, and libFuzzer's last words."""
    found = BUILD / "found" / name
    (found / "corpus").mkdir(parents=True, exist_ok=True)
    for f in (ROOT / "tests/fuzz/corpus" / name).iterdir():  # what is inside is what can be changed
        if name == "capture" and f.read_bytes()[:4] == b"\x28\xb5\x2f\xfd":
            subprocess.run(["zstd", "-q", "-d", "-f", str(f), "-o", str(found / "corpus" / f.name)], check=True)
    argv = [str(BUILD / f"tests/fuzz/fuzz_{name}"), f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", f"-max_len={MAX_LEN.get(name, 16384)}",
            "-print_final_stats=1", f"-artifact_prefix={found}/", str(found / "corpus"), str(ROOT / "tests/fuzz/corpus" / name)]
    r = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=seconds + 300, check=False)
    runs = re.search(r"stat::number_of_executed_units: (\d+)", r.stderr)
    return r.returncode == 0, int(runs.group(1)) if runs else 0, r.stderr[-5000:]


def main(args):
    seconds = next((int(a) for a in args if a.isdigit()), 10)
    names = [a for a in args if not a.isdigit()] or targets()
    setup = [] if (BUILD / "build.ninja").exists() else [["meson", "setup", "build/fuzz", "--native-file", "presets/fuzz.ini"]]
    for argv in [*setup, ["ninja", "-C", "build/fuzz", "--quiet", *(f"tests/fuzz/fuzz_{n}" for n in names)]]:
        r = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        if r.returncode:
            print(f"fuzz build: FAILED\n{r.stdout[-3000:]}{r.stderr[-3000:]}")
            return 1
    failed = 0
    for name in names:
        ok, runs, text = run(name, seconds)
        print(f"fuzz {name}: {'ok' if ok else 'FAILED'}, {runs} runs", flush=True)
        if not ok:
            failed += 1
            print(text)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
