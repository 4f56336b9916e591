"""The profile of real programs from outside is the one that they serve themselves, stack by stack; cores and captures say the same."""
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest
from conftest import whyrss
from pprofpb import parse
from test_corpus import HOME, corpus
from test_profile import heads, rows, take

# Of pebble's own tool, which serves nothing, a stripped build with net/http/pprof; nats-server is stripped by its makers.
PROGRAMS = [("etcd", False), ("caddy", True), ("pebble-served", True), ("nats-server", True), ("etcd-stripped", True)]


@pytest.fixture(scope="module", params=[pytest.param(n, id=n, marks=pytest.mark.full if f else ()) for n, f in PROGRAMS])
def quiet(request):
    if not (HOME / "bin" / request.param).exists():
        corpus("build", request.param, timeout=1500)
    pid, pprof = corpus("up", request.param)[:2]
    yield int(pid), pprof
    corpus("down", request.param)


def served(pprof, kind):
    with urllib.request.urlopen(f"http://{pprof}/debug/pprof/{kind}", timeout=60) as f:
        return parse(f.read())


def between(pprof, kind, ours):
    """What ours() says between two answers of the program that are equal: then no cycle published anything meanwhile."""
    for _ in range(60):
        before = served(pprof, kind)
        got = ours()
        after = served(pprof, kind)
        if rows(before) == rows(after) and len(rows(before)) > 3:
            return got, before
        time.sleep(0.5)
    pytest.fail("the program never was quiet")


@pytest.mark.parametrize("kind", ["heap", "allocs"])
def test_published_is_what_it_serves(quiet, kind, tmp_path):
    pid, pprof = quiet
    got, want = between(pprof, kind, lambda: take(pid, tmp_path / "p", "--kind", kind))
    assert heads(got) == heads(want)
    assert rows(got) == rows(want)
    print(kind, len(rows(got)), "stacks are equal")


def stop(pid):
    """Each thread stops on its own."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 60
    while any((t / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0] != "T" for t in pathlib.Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_cores_and_captures_say_the_same(quiet, tmp_path):
    pid, _ = quiet
    stop(pid)
    try:
        whyrss("capture", pid, "--stacks", "-o", tmp_path / "c.whyrss", timeout=120)
        asked = [("--kind", k, "--as", how) for k in ("heap", "allocs") for how in ("published", "now")]
        asked += [("--kind", k) for k in ("goroutine", "threadcreate", "stacks", "fragmentation")]
        live = {a: take(pid, tmp_path / "p", *a) for a in asked}
        targets = [tmp_path / "c.whyrss"]
        if shutil.which("gcore") and sum(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS")) < 2 << 20:
            subprocess.run(["gcore", "-o", tmp_path / "core", str(pid)], check=True, capture_output=True, timeout=300)
            targets.append(tmp_path / f"core.{pid}")
        for target in targets:
            # gdb lets a stopped process run for a moment when it attaches: of a core what no cycle has published meanwhile
            for a in asked if target.suffix == ".whyrss" else [a for a in asked if "published" in a or "threadcreate" in a]:
                got = take(target, tmp_path / "q", *a)
                assert rows(got, every=True) == rows(live[a], every=True), (target, a)
                assert heads(got) == heads(live[a]), (target, a)
            target.unlink()
    finally:
        os.kill(pid, signal.SIGCONT)
