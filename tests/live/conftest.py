"""What the live tests share: the binary under test, its JSON, and the choice of Go releases."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WHYRSS = os.environ.get("WHYRSS", str(ROOT / "build/release/whyrss"))

LAST = ["go1.18.10", "go1.19.13", "go1.20.14", "go1.21.13", "go1.22.12", "go1.23.12", "go1.24.13", "go1.25.10", "local", "go1.27.4"]

LINES = ("heap.live heap.new heap.dead heap.slots heap.tail heap.free heap.released stack.used stack.spare stack.free stack.os "
         "runtime.mspan runtime.mcache runtime.gc runtime.profiler runtime.other binary.text binary.rodata binary.data libs "
         "native.used native.free files shm anon kernel unexplained").split()
BRIDGE = ("profile sampling new dead slots tail free untouched swapped released stacks runtime binary libs native files shm anon "
          "kernel unexplained rss").split()


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="every release, every corpus program, the long runs")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: only with --full")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--full"):
        return
    out = [i for i in items if i.get_closest_marker("full")]
    items[:] = [i for i in items if not i.get_closest_marker("full")]
    if out:
        config.hook.pytest_deselected(items=out)


@pytest.fixture(scope="session")
def full(request):
    return request.config.getoption("--full")


def whyrss(*args, timeout=60, check=True, **kw):
    """Runs the tool; returns (exit code, stdout, stderr)."""
    r = subprocess.run([WHYRSS, *map(str, args)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **kw)
    assert r.returncode in (0, 1, 2, 3), f"exit {r.returncode}: {r.stderr[-2000:]}"
    if check:
        assert r.returncode in (0, 3), f"exit {r.returncode}: {r.stderr}"
    return r.returncode, r.stdout, r.stderr


def view(name, target, *args, **kw):
    """A view's JSON."""
    _, out, _ = whyrss(*([name] if name else []), target, "--json", *args, **kw)
    return json.loads(out)


def ledger(target, *args, **kw):
    d = view("ledger", target, *args, **kw)
    check_sums(d)
    return d


def lines(d):
    return {x["id"]: x for x in d["lines"]}


def bridge(d):
    return {x["id"]: x for x in d["bridge"]}


def check_sums(d):
    """The contract's identities, which hold in every answer."""
    assert d["schema"] == "whyrss.ledger/1"
    assert [x["id"] for x in d["lines"]] == LINES
    assert [x["id"] for x in d["bridge"]] == BRIDGE
    assert sum(x["resident"] for x in d["lines"]) == d["os"]["rss"]
    total = 0
    for row in d["bridge"]:
        total += row["delta"]
        assert row["sum"] == total, row
    assert d["bridge"][0]["delta"] == d["profile"]["inuse_space"]
    assert d["bridge"][-1]["delta"] == 0 and d["bridge"][-1]["sum"] == d["os"]["rss"]
    line = lines(d)
    heap = [line[i] for i in ("heap.live", "heap.new", "heap.dead", "heap.slots", "heap.tail", "heap.free")]
    row = bridge(d)
    assert row["sampling"]["delta"] == line["heap.live"]["bytes"] - d["profile"]["inuse_space"]
    for b in ("new", "dead", "slots", "tail", "free"):
        assert row[b]["delta"] == line[f"heap.{b}"]["bytes"]
    assert row["swapped"]["delta"] == -sum(x["swapped"] for x in heap)
    assert row["untouched"]["delta"] == -sum(x["bytes"] - x["resident"] - x["swapped"] for x in heap)
    for b, prefix in (("stacks", "stack."), ("runtime", "runtime."), ("binary", "binary."), ("native", "native.")):
        assert row[b]["delta"] == sum(x["resident"] for x in d["lines"] if x["id"].startswith(prefix))
    for b in ("libs", "files", "shm", "anon", "kernel", "unexplained"):
        assert row[b]["delta"] == line[b]["resident"]
    assert row["released"]["delta"] == line["heap.released"]["resident"]
    for x in d["lines"]:
        assert 0 <= x["resident"] and 0 <= x["swapped"] and 0 <= x["bytes"]
    if d["container"] is not None:
        total = 0
        for row in d["container"]:
            total += row["delta"]
            assert row["sum"] == total, row
        by = {r["id"]: r for r in d["container"]}
        assert by["current"]["sum"] == d["cgroup"]["current"]
        assert d["container"][-1]["sum"] == d["cgroup"]["working_set"]
    gap = abs(d["os"]["rss"] - d["profile"]["inuse_space"])
    for c in d["causes"]:
        assert c["confidence"] in ("certain", "likely", "possible")
        if gap:
            assert abs(c["share"] - abs(c["bytes"]) / gap) < 0.01 or abs(c["share"] - c["bytes"] / gap) < 0.01, c


@pytest.fixture(scope="session")
def releases(full):
    """Go releases that a test runs over: all last patches in full, three in the short form."""
    return LAST if full else ["go1.21.13", "local", "go1.27.4"]
