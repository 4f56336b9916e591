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
import tempfile
import time
from xml.etree import ElementTree

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


AGAIN = 5  # more failures than this are no accident


def pytest(argv, results, full):
    return run([*argv, f"--junit-xml={results}"], timeout=3 * 3600 if full else 4800, env={"PYTHONDONTWRITEBYTECODE": "1"})


def outcome(results):
    """How many passed, failed and were skipped, and the ids of those that failed."""
    n, bad = {"passed": 0, "failed": 0, "skipped": 0}, []
    if not results.exists():
        return n, bad
    for case in ElementTree.parse(results).iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            n["failed"] += 1
            bad.append(f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}")
        else:
            n["skipped" if "skipped" in kinds else "passed"] += 1
    results.unlink()
    return n, bad


def live(full, words):
    if not build("release"):
        return
    argv = [python_with_pytest(), "-m", "pytest", "-q", "-rs", "--no-header", "-p", "no:cacheprovider", "tests/live"]
    if full:
        argv.append("--full")
    if words:
        argv += ["-k", " or ".join(words)]
    global passed, failed, skipped
    with tempfile.TemporaryDirectory() as tmp:
        results = pathlib.Path(tmp) / "results.xml"
        code, out = pytest(argv, results, full)
        n, bad = outcome(results)
        if bad and len(bad) <= AGAIN:
            # The machines are shared. What fails twice, the second time alone, has failed; what does not is named, to be mended.
            say(out[-12000:])
            code, out = pytest([*argv[:argv.index("tests/live")], *(["--full"] if full else []), *dict.fromkeys(bad)], results, full)
            again, still = outcome(results)
            for name in sorted(set(bad) - set(still)):
                say(f"UNSTEADY {name}: failed, then passed alone")
            n["failed"] = len(set(still))
            n["passed"] += again["passed"]
    passed += n["passed"]
    failed += n["failed"]
    skipped += n["skipped"]
    say(out[-12000:] if code != 0 else "\n".join(out.strip().splitlines()[-40:]))
    if code != 0 and not n["failed"]:
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
