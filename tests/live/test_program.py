"""`whyrss run` passes everything through; `whyrss gctrace` reads what each release prints; `whyrss what-if` forecasts."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, WHYRSS, whyrss
from demos import Demo, build
from test_record import wait_for

sys.path.insert(0, str(ROOT / "tests/bench"))


def run(*args, text=None, **kw):
    return subprocess.run([WHYRSS, "run", *map(str, args)], input=text, capture_output=True, text=True, timeout=60, **kw)


def test_run_passes_through():
    r = run("--", "sh", "-c", "cat; echo problem >&2; exit 7", text="hello\n")
    assert (r.returncode, r.stdout) == (7, "hello\n") and r.stderr.startswith("problem")
    assert run("--", "sh", "-c", "kill -TERM $$").returncode == 128 + 15
    assert run("--", "/nonexistent").returncode == 1
    assert run("--").returncode == 2
    assert run("--", "sh", "-c", "echo ${GODEBUG:-unset}").stdout == "unset\n"


def test_run_watches(tmp_path):
    db = tmp_path / "x.db"
    p = subprocess.Popen([WHYRSS, "run", "-o", str(db), "--", build("nothing")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert p.stdout.readline().startswith("ready")
    wait_for(db, "SELECT count(*) FROM ledger", 2)
    p.send_signal(signal.SIGTERM)       # passed on: the demo has no handler
    p.wait(20)
    assert p.returncode == 128 + 15
    said = p.stderr.read()
    assert "GC cycles" in said and "heap.live" in said
    got = json.loads(whyrss(db, "--json")[1])
    assert got["ended"] == "the program has ended" and got["samples"] >= 5
    assert got["gc"]["cycles"] >= 2     # from its first moment
    assert got["ledgers"] >= 2 and got["peak"]["sites"] is not None and sum(x["peak"] for x in got["lines"]) == got["peak"]["ledger_rss"]


def test_run_gctrace():
    r = run("--gctrace", "--", build("nothing"), text="")
    assert r.returncode == 0 and "GC cycles" in r.stderr and " ms clock" not in r.stderr


@pytest.mark.parametrize("go", ["local", "go1.21.13", *(pytest.param(g, marks=pytest.mark.full) for g in
                                                        ("go1.18.10", "go1.19.13", "go1.20.14", "go1.24.13", "go1.27.4"))])
def test_gctrace(go, tmp_path):
    """Every line that a real program prints is one of ours, and nothing else is."""
    if go in ("go1.18.10", "go1.19.13", "go1.20.14"):
        pytest.skip("the demos need Go 1.21")
    log = tmp_path / "log"
    with open(log, "wb") as f, Demo(build("nothing", go), env={"GODEBUG": "gctrace=1,scavtrace=1"}, stderr=f) as d:
        d.cmd("gc")
        d.cmd("free")
    with open(log, "a", encoding="utf-8") as f:
        f.write("an error\n")
    lines = log.read_text().splitlines()
    code, out, err = whyrss("gctrace", log, "--json")
    got = [json.loads(x) for x in out.splitlines()]
    assert sum(g["type"] == "gc" for g in got) == sum(x.startswith("gc ") for x in lines) >= 3
    assert sum(g["type"] == "scav" for g in got) == sum(x.startswith("scav ") for x in lines)
    assert err == "an error\n"
    r = subprocess.run([WHYRSS, "gctrace"], input=log.read_text(), capture_output=True, text=True, timeout=20)
    assert r.returncode == 0 and r.stdout == "an error\n" and "GC cycles" in r.stderr


def test_a_log_of_another_language():
    r = subprocess.run([WHYRSS, "gctrace"], input="[GC 512K->400K]\n", capture_output=True, text=True, timeout=20)
    assert r.returncode == 1 and r.stdout == "[GC 512K->400K]\n" and r.stderr.count("\n") == 1 and "GODEBUG=gctrace=1" in r.stderr
    r = subprocess.run([WHYRSS, "gctrace"], input=b"\xff\0" * 200000, capture_output=True, timeout=20)
    assert r.returncode == 1 and r.stdout == b"\xff\0" * 200000


def test_what_if():
    with Demo(build("pace"), ["-mode", "steady"]) as d:
        got = json.loads(whyrss("what-if", d.pid, "--gogc", 200, "--duration", "6s", "--json", timeout=60)[1])
        advice = json.loads(whyrss("what-if", d.pid, "--advise", "--under", "400MiB", "--duration", "4s", "--json", timeout=60)[1])
        assert whyrss("what-if", d.pid, check=False)[0] == 2
    assert set(got["now"]) == set(got["then"]) == {"heap_peak", "rss", "gc_per_s", "gc_cpu"} and got["because"]
    assert 1.2 < got["then"]["heap_peak"] / got["now"]["heap_peak"] < 1.8
    assert 0.3 < got["then"]["gc_per_s"] / got["now"]["gc_per_s"] < 0.8
    assert "GOGC" in advice["advice"]["environment"] and advice["then"]["rss"] <= 400 << 20
