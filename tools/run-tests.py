#!/usr/bin/env python3
"""Runs all tests and checks, prints one line a group, and closes on "N passed, N failed".

The short form is what CI runs; --full adds every Go release, every corpus program and the long runs.
WORDS pick groups: check unit asan fuzz live.
"""
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
passed = failed = skipped = 0


def say(text):
    print(text, flush=True)


def run(argv, timeout=5400, env=None):
    r = subprocess.Popen(argv, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)
    try:
        out, _ = r.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        r.kill()
        out, _ = r.communicate()
        return 124, out + f"\ntimed out after {timeout} s"
    return r.returncode, out


def count(ok, name, text=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        say(f"FAILED {name}\n{text[-6000:]}")


def build(preset):
    code, out = run(["./dev", "build", preset])
    count(code == 0, f"build {preset}", out)
    return code == 0


def checks():
    code, out = run([sys.executable, "tools/check.py"])
    for line in out.splitlines():
        m = re.fullmatch(r"check (\S+): (ok|FAILED)", line)
        if m:
            count(m.group(2) == "ok", f"check {m.group(1)}", out)


def unit(preset, full):
    if not build(preset):
        return
    env = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
    if full:
        env["WHYRSS_FULL"] = "1"
    code, out = run(["meson", "test", "-C", f"build/{preset}", "--print-errorlogs"], env=env)
    log = ROOT / f"build/{preset}/meson-logs/testlog.txt"
    text = log.read_text(errors="replace") if log.exists() else out
    ok = len(re.findall(r"^\[       OK \]", text, re.M))
    bad = sorted(set(re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M)))
    global passed
    passed += ok
    for name in bad:
        count(False, f"unit ({preset}) {name}", out)
    if code != 0 and not bad:
        count(False, f"unit ({preset})", out)
    if ok == 0:
        count(False, f"unit ({preset})", "no test ran\n" + out)


def fuzz(full):
    """Every target for a short while; their corpora are run by the unit tests, under ASan too."""
    code, out = run([sys.executable, "tools/fuzz.py", "300" if full else "5"])
    for line in out.splitlines():
        m = re.match(r"fuzz (\S+): (ok|FAILED)", line)
        if m:
            count(m.group(2) == "ok", f"fuzz {m.group(1)}", out)
    if code != 0 and "FAILED" not in out:
        count(False, "fuzz", out)


def python_with_pytest():
    """This interpreter, else the distribution's own, which has the package that ./dev installs."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False).returncode == 0:
            return python
    return sys.executable


def live(full, words):
    if not build("release"):
        return
    argv = [python_with_pytest(), "-m", "pytest", "-q", "-rs", "--no-header", "-p", "no:cacheprovider", "tests/live"]
    if full:
        argv.append("--full")
    for w in words:
        argv += ["-k", w]
    code, out = run(argv, timeout=3 * 3600 if full else 4800, env={"PYTHONDONTWRITEBYTECODE": "1"})
    global passed, failed, skipped
    tail = out.strip().splitlines()[-1] if out.strip() else ""
    n = {k: int(v) for v, k in re.findall(r"(\d+) (passed|failed|error|errors|skipped)", tail)}
    passed += n.get("passed", 0)
    failed += n.get("failed", 0) + n.get("error", 0) + n.get("errors", 0)
    skipped += n.get("skipped", 0)
    say(out[-12000:] if code != 0 else "\n".join(out.strip().splitlines()[-40:]))
    if code != 0 and not n.get("failed") and not n.get("error") and not n.get("errors"):
        failed += 1


def main():
    args = sys.argv[1:]
    full = "--full" in args
    words = [a for a in args if a != "--full"]
    groups = {"check": checks, "unit": lambda: unit("release", full), "asan": lambda: unit("asan", full), "fuzz": lambda: fuzz(full),
              "live": lambda: live(full, [w for w in words if w not in ("check", "unit", "asan", "fuzz", "live")])}
    picked = [g for g in groups if g in words] or (["live"] if words else list(groups))
    for g in picked:
        start = time.time()
        say(f"== {g}")
        groups[g]()
        say(f"== {g}: {time.time() - start:.0f} s")
    tail = f", {skipped} skipped" if skipped else ""
    say(f"{passed} passed, {failed} failed{tail}")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
